"""The photos and made images of a small classifier's config."""

import types

from defect_jax.augmentation import made
from defect_jax.config import load
from defect_jax.data import dataset, splits


def config_of(root):
  """The config of a small classifier of a folder, as far as its photos go."""
  config = load('configs/classifier.py:tiny')
  config.data.update(source='folder', path=str(root), few_shot=0, good=0, defects=(), split='hash', fit='crop', bits=16)
  return config


def open_photos(config):
  """What a classifier of a config is trained on, held out and tested on, and the lines for the user."""
  data = config.data.to_dict()
  photos = splits.split(part=config.measure.part, share=config.validation.share, seed=config.seed, test_only=False,
                        **data)
  images = made.load(config.made.sets, config.made.ratio, photos, seed=config.seed, **data)
  return types.SimpleNamespace(real=photos.train, validation=photos.validation, test=photos.test, made=images,
                               lines=dataset.lines(photos, images))
