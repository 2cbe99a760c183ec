"""Keys of an anomaly config and what may stand there."""

from defect_jax.detectors import reconstruction, residuals
from defect_jax.schema import Boolean, Choice, Integer, Names, Number, Optional, Text
from defect_jax.tasks.vae.schema import SCHEMA as VAE

_FRACTION = Number(above=0, below=1)
SCHEMA = {
    'task': Choice('anomaly'), 'seed': VAE['seed'], 'batch': Integer(1, 4096), 'mode': Choice('evaluate', 'predict'),
    'vae': Optional(Text()), 'photos': Optional(Text()),
    'data': VAE['data'] | {'part': Choice('pool'), 'defects': Names(least=0), 'region': Choice('full', 'box')},
    'tiles': {'on': Boolean(), 'reduce': Integer(1, 64), 'overlap': Number(0, 0.9), 'most': Integer(2)},
    'score': {'map': Choice(*reconstruction.OF_VAE), 'reduce': Choice(*residuals.REDUCTIONS),
              'top': Number(above=0, high=1),
              'blur': Number(0, 16), 'smooth': Number(0, 64), 'layers': Integer(1, 5), 'features': Boolean()},
    'threshold': {'quantile': _FRACTION, 'value': Optional(Number())},
    'baselines': {'pca': Integer(1, 4096), 'bank': Integer(1, 10**6)},
    'measure': {'part': Choice('synthetic', 'dev', 'final')},
    'heatmaps': Boolean(),
    'train': {key: VAE[key]
              for key in ('batch', 'dtype', 'average', 'model', 'streams', 'control', 'targets', 'steps')},
}
