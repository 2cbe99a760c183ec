"""configs/classifier.py:vgg16 for as many photos of defects as there are, hundreds rather than 25.

  python -m defect_jax.main --config=configs/classifier_many.py --config.data.path=PHOTOS

All photos are trained on, with none held back for early stopping; a strong weight decay takes its place. Copies are
mirrored and turned only, and what is predicted is the mean over mirrored ones.
"""

from ml_collections import ConfigDict

from configs import classifier
from defect_jax.config import parse_arg


def get_config(arg: str | None = None) -> ConfigDict:
  """`tiny`: as of configs/classifier.py."""
  tiny = parse_arg(arg, tiny=False).tiny
  config = classifier.get_config('vgg16,tiny' if tiny else 'vgg16')
  config.data.few_shot = 0
  config.data.augment.shift = 0
  config.data.augment.brightness = config.data.augment.contrast = 0.0
  config.model.dropout = 0.0
  config.mirrored = True
  config.validation.share = 0.0
  config.optimizer.lr = 0.0003
  config.optimizer.weight_decay = 1.0
  if not tiny:
    config.batch = 128
    config.model.views = 4
    config.steps.total, config.steps.eval = 6000, 1000
  return config
