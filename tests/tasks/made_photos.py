"""Folders of made photos, small and quick to learn."""

import numpy as np
from PIL import Image

from defect_jax.data import parts


def names(part, count, label='dent'):
  """The first `count` names below ng/<label>/ that belong to a part."""
  every = (f'ng/{label}/{number:03d}.png' for number in range(10000))
  return [name for name in every if parts.part_of(name) == part][:count]


def write(path, array):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(array).save(path)


def bumps(seed, size=32):
  """A photo: a dark spot somewhere on a soft slope."""
  rng = np.random.default_rng(seed)
  y, x = np.mgrid[:size, :size] / size
  top, left, depth = rng.uniform(0.2, 0.8, 3)
  image = 0.4 + 0.3 * x + 0.1 * rng.normal() * y - 0.5 * depth * np.exp(-((x - left)**2 + (y - top)**2) / 0.02)
  return np.uint8(np.clip(image, 0, 1) * 255)


def make_photos(root, pool=13, dev=3):
  """A folder with so many photos of class dent in each part; returns those of the pool."""
  for number, name in enumerate(names('pool', pool) + names('dev', dev)):
    write(root / name, bumps(number))
  return [root / name for name in names('pool', pool)]
