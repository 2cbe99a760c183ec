"""Keys of a VAE's config and what may stand there."""

from defect_jax.data import dataset, regions
from defect_jax.data.sources import elpv
from defect_jax.models import vae as models
from defect_jax.schema import Boolean, Choice, Integer, Named, Names, Number, Optional, Text, Tuple
from defect_jax.training import control, routing

_RATE = Number(above=0, high=10)
SCHEMA = {
    'task': Choice('vae'),
    'seed': Integer(0, 2**31 - 1),
    'batch': Integer(1, 65536),
    'dtype': Choice('float32', 'bfloat16'),
    'average': Number(0, below=1),
    'data': {
        'source': Choice(*dataset.SOURCES), 'path': Optional(Text()), 'part': Choice('pool', 'dev', 'final'),
        'defects': Names(), 'cell_type': Choice(*elpv.CELL_TYPES), 'few_shot': Integer(0),
        'size': Integer(32, 256), 'channels': Choice(1, 3), 'region': Choice(*regions.REGIONS),
        'context': Number(1, 100), 'box': Optional(Tuple(Integer(0), 4)), 'fit': Choice(*regions.FITS),
        'max_broken': Number(0, 1), 'resident_mb': Number(0),
        'augment': {'flip_horizontal': Boolean(), 'flip_vertical': Boolean(), 'shift': Integer(0, 31),
                    'brightness': Number(0, 1)},
        'blotch': {'strength': Number(0, 1), 'grain': Integer(1, 128)}},
    'model': {'patch': Choice(1, 2, 4, 8), 'widths': Tuple(Integer(1, 4096), 2), 'blocks': Integer(0, 100),
              'latent': Integer(1, 4096), 'activation': Choice(*models.ACTIVATIONS), 'linear': Boolean()},
    'streams': Named({'loss': Choice(*routing.LOSSES), 'params': Text(), 'optimizer': Choice(*routing.OPTIMIZERS),
                      'lr': _RATE}),
    'control': {'policy': Choice(*control.POLICIES), 'beta': Number(0), 'slope': Number(above=0),
                'weights': {'kld': Number(0), 'mse': Number(0), 'lpips': Number(0)}, 'proportional': Number(0),
                'integral': Number(0),
                'speed': {'kld': Number(above=0), 'mse': Number(above=0), 'lpips': Number(above=0)},
                'smoothing': Number(0, below=1),
                'slew': Number(above=0, below=1)},
    'targets': {'kld': Number(above=0), 'mse': Optional(Number(above=0)), 'mse_of_variance': Optional(Number(above=0)),
                'lpips': Optional(Number(above=0))},
    'steps': {'total': Integer(1), 'log': Integer(1), 'eval': Integer(1), 'checkpoint': Integer(1)},
}
