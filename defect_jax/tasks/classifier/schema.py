"""Keys of a classifier's config and what may stand there."""

from defect_jax.models import cnn
from defect_jax.schema import Boolean, Choice, Integer, Names, Number, Optional, Text, Tuple
from defect_jax.tasks.vae.schema import SCHEMA as VAE

_DATA = {key: VAE['data'][key] for key in ('source', 'path', 'cell_type', 'few_shot', 'size', 'channels', 'context',
                                           'box', 'fit', 'max_broken', 'resident_mb')}
SCHEMA = {
    'task': Choice('classifier'), 'seed': VAE['seed'], 'batch': Integer(1, 65536), 'dtype': VAE['dtype'],
    'mode': Choice('evaluate', 'predict'), 'classifier': Optional(Text()), 'photos': Optional(Text()),
    'data': _DATA | {'defects': Names(least=0), 'merge': Boolean(), 'good': Integer(0), 'more': Names(least=0),
                     'region': Choice('full', 'box'),
                     'augment': VAE['data']['augment'] | {'turn': Boolean(), 'rotate': Number(0, 180),
                                                          'contrast': Number(0, below=1)}},
    'made': {'sets': Names(least=0), 'ratio': Number(0)},
    'model': {'kind': Choice(*cnn.KINDS), 'widths': Tuple(Integer(1, 4096)), 'blocks': Integer(1, 100),
              'hidden': Integer(0, 65536), 'dropout': Number(0, below=1), 'views': Integer(1, 1000)},
    'optimizer': {'lr': Number(above=0, high=10), 'weight_decay': Number(0), 'average': Number(0, below=1)},
    'validation': {'share': Number(0, 0.5), 'patience': Integer(0)},
    'mirrored': Boolean(), 'prevalence': Optional(Number(above=0, below=1)),
    'threshold': Number(above=0, below=1), 'heatmaps': Boolean(),
    'measure': {'part': Choice('dev', 'final')},
    'steps': VAE['steps'],
}
