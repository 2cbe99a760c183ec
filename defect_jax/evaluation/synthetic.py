"""Made defects on good images, with their masks: to tune a detector without a labelled defect."""

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from defect_jax.data.samples import Sample

Image = Float[np.ndarray, 'h w c']

KINDS = ('blotch', 'cutpaste')
_LEAST, _LARGEST = 0.03, 0.25  # side of a defect over the image's shorter side
_STRENGTH = 0.1, 0.4  # how much a blotch is brighter or darker, in intensities
_VISIBLE = 1 / 255  # a pixel that changes by less belongs to no mask


def paste(image: Image, rng: np.random.Generator) -> tuple[Image, Bool[np.ndarray, 'h w'], str]:
  """A good image in [0, 1] with one made defect, the mask of what differs by at least a level of 8 bits, and the kind.

  Kinds, drawn by chance: `blotch`, a spot of noise that is smooth inside and has an irregular sharp edge, brighter or
  darker; `cutpaste`, a rectangle of the image itself set down elsewhere (Li et al. 2021, "CutPaste").
  """
  kind = KINDS[int(rng.integers(len(KINDS)))]
  while True:  # a defect that nobody can see, such as a piece pasted on its like, is drawn again
    made = (_blotch if kind == 'blotch' else _cutpaste)(image, rng)
    mask = np.abs(made - image).max(-1) >= _VISIBLE
    if mask.sum() >= 4:
      return made, mask, kind
    kind = 'blotch'  # where the image is of one value, no piece of it can be seen


def with_defects(photos: Iterable[Sample], seed: int, first: int = 0) -> Iterator[Sample]:
  """Every good photo, and the same with a made defect and its mask; `first`: number of the first photo, by which, with
  the seed, its defect is drawn."""
  for number, sample in enumerate(photos, first):
    yield sample
    image, mask, kind = paste(sample.image, np.random.default_rng((seed, number)))
    yield Sample(dataclasses.replace(sample.record, label=kind), image, mask)


def _box(shape, rng):
  """Rows and columns of a random box."""
  sides = [int(np.clip(min(shape) * rng.uniform(_LEAST, _LARGEST), 3, side)) for side in shape]
  return tuple(slice(start, start + side) for start, side in
               ((int(rng.integers(length - side + 1)), side) for length, side in zip(shape, sides, strict=True)))


def _blotch(image, rng):
  part, made = _box(image.shape[:2], rng), image.copy()
  height, width = made[part].shape[:2]
  y, x = (np.linspace(-1, 1, side)[:, None] for side in (height, width))
  rough = ndimage.gaussian_filter(rng.normal(size=(height, width)), max(1, min(height, width) / 6))
  area = np.hypot(y, x.T) + 0.3 * rough / (rough.std() + 1e-9) < 0.9
  strength = rng.choice((-1, 1)) * rng.uniform(*_STRENGTH)
  made[part] = np.clip(made[part] + (strength * area)[..., None], 0, 1)
  return made.astype(np.float32)


def _cutpaste(image, rng):
  piece, made = image[_box(image.shape[:2], rng)], image.copy()
  top, left = (int(rng.integers(length - side + 1)) for length, side in zip(image.shape, piece.shape[:2], strict=False))
  made[top:top + piece.shape[0], left:left + piece.shape[1]] = piece[::-1, ::-1]
  return made
