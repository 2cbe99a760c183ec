"""Defects of training photos pasted on good ones: what made images have to be better than."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt32
from scipy import ndimage

from defect_jax.data.salience import Salience

_TRIED = 16  # boxes of a photo without a mask, of which the most salient is taken
_SIDES = 0.2, 0.5  # of such a box over the image's side
_SOFT = 1.5  # px, sigma of the border between piece and photo; its middle lies three pixels outside the mask
_EIGHT = np.ones((3, 3), bool)


class Photo(NamedTuple):
  """A training photo with the mask of its defect, empty if that is unknown."""
  image: Float[np.ndarray, 's s c']
  mask: Bool[np.ndarray, 's s']
  file: str
  label: str
  sha256: str


class Maker:
  """`make` of production.produce, of photos of one size. Image i follows from (seed, i), as do its photos and place."""

  def __init__(self, good: list[Photo], defective: list[Photo], seed: int):
    self._good, self._defective, self._seed = good, defective, seed
    self._salience = Salience([photo.image for photo in good])

  def __call__(self, indices: UInt32[np.ndarray, 'n']) -> tuple[list[dict], list[dict]]:
    """Of each image {'file', 'mask'}, and its line of the manifest."""
    images, lineage = zip(*(self._make(int(index)) for index in indices), strict=True)
    return list(images), list(lineage)

  def _make(self, index):
    rng = np.random.default_rng((self._seed, index))
    good, defective = (photos[int(rng.integers(len(photos)))] for photos in (self._good, self._defective))
    made, mask = paste(good.image, defective.image, defective.mask, rng, self._salience)
    lineage = {'class': defective.label, 'method': 'cutpaste', 'seed': self._seed, 'source': good.file,
               'source_sha256': good.sha256, 'source_part': 'pool', 'other_source': defective.file}
    return {'file': made, 'mask': np.uint8(255) * mask}, lineage


def paste(good: Float[np.ndarray, 's s c'], defective: Float[np.ndarray, 's s c'], mask: Bool[np.ndarray, 's s'],
          rng: np.random.Generator, salience: Salience) -> tuple[Float[np.ndarray, 's s c'], Bool[np.ndarray, 's s']]:
  """A piece of a defective photo laid over a good one, softly, and where the piece is at least a hundredth of it.

  Where the defect has a mask, the piece is what the mask covers, moved to where it fits. Else (an empty mask) it is a
  box that stays where it is, since such photos (solar cells) look alike at one place: of some random boxes the one that
  is most unusual beside good photos. The piece is made as bright as the good photo along its border, so that brightness
  does not give it away.
  """
  if mask.any():
    defective, mask = _moved(defective, mask, rng)
  else:
    mask = _most_salient(salience(defective), rng)
  soft_mask = ndimage.gaussian_filter(np.float32(ndimage.binary_dilation(mask, _EIGHT, 3)), _SOFT)
  soft_mask = np.where(soft_mask < 0.01, 0, soft_mask)[..., None]
  border = (soft_mask[..., 0] > 0) & ~ndimage.binary_dilation(mask, _EIGHT)
  lighter = (good - defective)[border].mean(0) if border.any() else 0
  made = (1 - soft_mask) * good + soft_mask * (defective + lighter)
  return np.clip(made, 0, 1).astype(np.float32), soft_mask[..., 0] > 0


def _moved(image, mask, rng):
  """Image and mask, both moved so that the mask's bounding box lies anywhere within, and flipped by chance.

  A defect that the photo's edge cuts off stays at that edge.
  """
  if rng.integers(2):
    image, mask = image[:, ::-1], mask[:, ::-1]
  offset = []
  for axis, side in zip((1, 0), mask.shape, strict=True):
    span = np.flatnonzero(mask.any(axis))
    drawn = int(rng.integers(-span[0], side - span[-1]))
    offset.append(drawn if span[0] and span[-1] < side - 1 else 0)
  # What the soft border reaches beyond the photo goes on as its edge does.
  return ndimage.shift(image, (*offset, 0), order=0, mode='nearest'), ndimage.shift(mask, offset, order=0)


def _most_salient(salience, rng):
  """Mask of the box with the highest mean of `salience` `[S, S]`."""
  best, mask = -1., None
  for _ in range(_TRIED):
    sides = [max(2, round(side * rng.uniform(*_SIDES))) for side in salience.shape]
    top, left = (int(rng.integers(length - side + 1)) for length, side in zip(salience.shape, sides, strict=True))
    box = np.s_[top:top + sides[0], left:left + sides[1]]
    if (value := float(salience[box].mean())) > best:
      best, mask = value, np.zeros(salience.shape, bool)
      mask[box] = True
  return mask
