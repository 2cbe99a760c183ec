"""Keys of the config and what may stand there."""

from defect_jax.config import UserError
from defect_jax.data import dataset
from defect_jax.data.sources import elpv
from defect_jax.diffusion import finetune
from defect_jax.schema import Boolean, Choice, Integer, Names, Number, Optional, Text, Tuple

_STEPS = {'total': Integer(1), 'log': Integer(1), 'eval': Integer(1), 'checkpoint': Integer(1)}
_RATE = Number(above=0, high=1000)
_WIDTHS = Tuple(Integer(8, 4096))
SCHEMA = {
    'task': Choice('inpaint_train'), 'seed': Integer(0, 2**31 - 1), 'batch': Integer(finetune.RANGES, 65536),
    'dtype': Choice('float32', 'bfloat16'),
    'data': {
        'source': Choice(*dataset.SOURCES), 'path': Optional(Text()), 'part': Choice('pool'), 'classes': Names(),
        'cell_type': Choice(*elpv.CELL_TYPES), 'few_shot': Integer(0), 'size': Integer(32, 1024),
        'context': Tuple(Number(1, 100), 2), 'share': Tuple(Number(above=0, high=1), 2),
        'areas': Integer(4, 10**6),
        'max_broken': Number(0, 1), 'flip_horizontal': Boolean(), 'flip_vertical': Boolean()},
    'masks': {'size': Tuple(Number(above=0, high=1), 2), 'dilate': Tuple(Integer(0, 256), 2),
              'coarse': Number(0, 1), 'tries': Integer(1, 1000)},
    'weights': Optional(Text()),
    'tune': {'method': Choice('full', 'lora'), 'text': Boolean(), 'rank': Integer(1, 1024),
             'scale': Number(above=0)},
    'prompts': Tuple(Text()), 'text_drop': Number(0, 1),
    'model': {
        'autoencoder': {'widths': _WIDTHS, 'blocks': Integer(1, 8), 'latent': Integer(1, 64)},
        'unet': {'widths': _WIDTHS, 'blocks': Integer(1, 8), 'attention': Tuple(Boolean()), 'heads': Integer(1, 64)},
        'text': {'width': Integer(8, 4096), 'blocks': Integer(1, 48), 'heads': Integer(1, 64),
                 'length': Integer(4, 77)}},
    'autoencoder': {'lr': _RATE, 'batch': Integer(1, 65536), 'lpips': Number(0),
                    'kld': Number(0), 'steps': _STEPS},
    'optimizer': {'lr': _RATE, 'warmup': Integer(0), 'clip': Number(above=0), 'average': Number(0, below=1),
                  'outside': Number(0, 1), 'accumulate': Integer(1, 1024), 'again': Boolean()},
    'steps': _STEPS,
    'measure': {'part': Choice('dev', 'final'), 'images': Integer(2, 10**5), 'steps': Integer(1, 500),
                'guidance': Number(1, 100), 'batch': Integer(1, 4096), 'margin': Number(1, 10),
                'size': Integer(32, 512)},
    'save': {'dtype': Choice('float32', 'bfloat16')},
}


def check(config):
  """UserError for values that do not go together."""
  for key, pair in (('masks.size', config.masks.size), ('masks.dilate', config.masks.dilate)):
    if len(pair) != 2 or pair[0] > pair[1]:
      raise UserError(f'{key} = {pair}: give two numbers, the smaller first')
  if config.weights is None and (config.tune.method != 'full' or config.tune.text):
    raise UserError('tune: is about given weights; name them in weights, or leave tune.method=full and tune.text=false')
  if config.optimizer.warmup >= config.steps.total:
    raise UserError(f'optimizer.warmup = {config.optimizer.warmup}: must be below the {config.steps.total} steps')
