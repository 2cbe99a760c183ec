"""Defects of training photos pasted on good ones: what made images have to be better than."""

import numpy as np
from scipy import ndimage

from defect_jax.data.salience import Salience

_TRIED = 16  # boxes of a photo without a mask, of which the most salient is taken
_SIDES = 0.2, 0.5  # of such a box over the image's side
_SOFT = 1.5  # px, sigma of the border between piece and photo; its middle lies three pixels outside of what is marked
_EIGHT = np.ones((3, 3), bool)


class Maker:
  """`make` of production.produce. Image i follows from (seed, i): its photos, piece and place are drawn by them."""

  def __init__(self, good, defective, seed):
    """good, defective: lists of Photo that all show one size. seed: of the draws."""
    self._good, self._defective, self._seed = good, defective, seed
    self._salience = Salience([photo.image for photo in good])

  def __call__(self, indices):
    """(list of {'file', 'mask'}, list of dicts of a manifest's keys)."""
    return tuple(map(list, zip(*(self._one(int(index)) for index in indices), strict=True)))

  def _one(self, index):
    rng = np.random.default_rng((self._seed, index))
    good, defective = (of[int(rng.integers(len(of)))] for of in (self._good, self._defective))
    made, mask = paste(good.image, defective.image, defective.mask, rng, self._salience)
    lineage = {'class': defective.label, 'method': 'cutpaste', 'seed': self._seed, 'source': good.file,
               'source_sha256': good.sha256, 'source_part': 'pool', 'other_source': defective.file}
    return {'file': made, 'mask': np.uint8(255) * mask}, lineage


class Photo:
  """A training photo: image float32 `[S, S, C]`, mask bool `[S, S]`, file, label and SHA-256."""

  def __init__(self, image, mask, file, label, sha256):
    self.image, self.mask, self.file, self.label, self.sha256 = image, mask, file, label, sha256


def paste(good, defective, mask, rng, salience):
  """A piece of a defective photo laid over a good one, softly.

  Where the defect is marked, the piece is what is marked, moved to where it fits. Else it is a box that stays where
  it is, since such photos (solar cells) look alike at one place: of some boxes drawn by chance the one that is most
  unusual beside good photos. The piece is made as bright as the good photo along its border, so that it is
  not told by its brightness.

  Args:
    good, defective: float32 `[S, S, C]` in [0, 1]. mask: bool `[S, S]` of the defect, empty where it is unknown.
    rng: NumPy generator. salience: data.salience.Salience of good photos.

  Returns the image and which of its pixels are the piece's at least by a hundredth, bool `[S, S]`.
  """
  if mask.any():
    defective, mask = _moved(defective, mask, rng)
  else:
    mask = _most_salient(salience(defective), rng)
  alpha = ndimage.gaussian_filter(np.float32(ndimage.binary_dilation(mask, _EIGHT, 3)), _SOFT)
  alpha = np.where(alpha < 0.01, 0, alpha)[..., None]
  border = (alpha[..., 0] > 0) & ~ndimage.binary_dilation(mask, _EIGHT)
  lighter = (good - defective)[border].mean(0) if border.any() else 0
  made = (1 - alpha) * good + alpha * (defective + lighter)
  return np.clip(made, 0, 1).astype(np.float32), alpha[..., 0] > 0


def _moved(image, mask, rng):
  """Image and mask, both moved so that the mask's bounding box lies anywhere within, and mirrored by chance.

  A defect that the photo's edge cuts off stays at that edge.
  """
  if rng.integers(2):
    image, mask = image[:, ::-1], mask[:, ::-1]
  rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
  by = [_drawn(where[0], side - 1 - where[-1], rng) for where, side in zip((rows, columns), mask.shape, strict=True)]
  # What the soft border reaches beyond the photo goes on as its edge does.
  return ndimage.shift(image, (*by, 0), order=0, mode='nearest'), ndimage.shift(mask, by, order=0)


def _drawn(before, after, rng):
  """How far to move what has so many pixels free before and after it."""
  drawn = int(rng.integers(-before, after + 1))
  return drawn if before and after else 0


def _most_salient(salience, rng):
  """Mask of the box with the highest mean of `salience` `[S, S]`."""
  best, mask = -1., None
  for _ in range(_TRIED):
    sides = [max(2, round(side * rng.uniform(*_SIDES))) for side in salience.shape[:2]]
    start = [int(rng.integers(length - side + 1)) for length, side in zip(salience.shape[:2], sides, strict=True)]
    box = np.s_[start[0]:start[0] + sides[0], start[1]:start[1] + sides[1]]
    if (value := float(salience[box].mean())) > best:
      best, mask = value, np.zeros(salience.shape[:2], bool)
      mask[box] = True
  return mask
