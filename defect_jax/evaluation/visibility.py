"""Whether made defects can be seen: an image shows one where its patches are like none of good photos.

On ball screws and magnetic tiles it sees 70 to 98 of 100 real defects within their masks, and 5 of 100 good places.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from defect_jax import parallel
from defect_jax.data import photos
from defect_jax.detectors import base, neighbours

Images = Float[np.ndarray, 'n s s c']
Masks = Bool[np.ndarray, 'n s s']
LEAST = 10  # good images that say what is usual
MOST = 32  # images of 64 px that are looked at of each kind, for the time it takes; fewer of larger ones
_PIXELS, _FEWEST, _LARGEST = MOST * 64**2, 12, 128
_QUANTILE = 0.95  # of good images score no more than what counts as usual
_HIGH = 0.9  # within a mask and around it
_PATCHES = 2000  # of good images that others are compared with
_BLURS = 1., 2.  # px: images of a VAE are blurred, which is no defect
_CHUNK = 8
# Where too few good images say what is usual.
NOTHING: Mapping[str, float | None] = {'visible': None, 'visible_real': None}


class Usual:
  """What good images look like.

  Each pixel of an image is as unusual as its patch is far from all patches of good ones (PatchCore's idea, see
  detectors.neighbours). The score is that of the most unusual pixel; with a mask, the 90th percentile within it over
  that around it, since some places of good parts are more unusual than others. An image whose score is above those of
  95 % of the good ones shows a defect.
  """

  def __init__(self, good: Images, groups: Sequence[str], masks: Masks | None = None, seed: int = 0,
               blurs: Sequence[float] = ()):
    """good: at least LEAST images of at least two groups. Each is scored by the patches of half of the other groups,
    since its own are at no distance. blurs: sigmas, pixels, of Gaussians by which good images may be blurred too."""
    names = sorted(set(groups))
    self._half_of = {name: row % 2 for row, name in enumerate(names)}
    halves, settings = self._halves(groups), base.Settings(seed=seed, bank=_PATCHES)
    of_blurs = [good, *(ndimage.gaussian_filter(good, (0, sigma, sigma, 0)) for sigma in blurs)]
    self._maps = [base.maps_function((neighbours.Neighbours.fit(np.concatenate(
        [images[halves != half] for images in of_blurs]), settings),), ('knn',)) for half in (0, 1)]
    self.threshold = max(float(np.quantile(self.scores(images, groups, masks), _QUANTILE)) for images in of_blurs)

  def scores(self, images: Images, groups: Sequence[str], masks: Masks | None = None) -> Float[np.ndarray, 'n']:
    """Of images; those of a good image's group are compared with the half of good ones that it is not in."""
    halves, scores = self._halves(groups), np.zeros(len(images))
    for half in np.unique(halves):
      rows = np.flatnonzero(halves == half)
      of_half = parallel.in_chunks(self._maps[half], images[rows], _CHUNK)['knn']
      scores[rows] = of_half.max((1, 2)) if masks is None else [
          _within(knn, mask) for knn, mask in zip(of_half, masks[rows], strict=True)]
    return scores

  def share(self, images: Images, groups: Sequence[str], masks: Masks | None = None) -> float | None:
    """How many of the images show a defect; None without images."""
    return float(np.mean(self.scores(images, groups, masks) > self.threshold)) if len(images) else None

  def _halves(self, groups: Sequence[str]) -> Int[np.ndarray, 'n']:
    return np.array([self._half_of.get(name, 0) for name in groups], int)


def enough(groups: Sequence[str]) -> bool:
  """Whether good images of these groups say what is usual."""
  return len(groups) >= LEAST and len(set(groups)) > 1


def of_images(made: Images, good: Images, groups: Sequence[str], real: Images, seed: int = 0
              ) -> Mapping[str, float | None]:
  """visible: share of made images that show a defect; visible_real: of photos of real ones, by the same measure. None
  with too few good ones, of those `groups`."""
  if not enough(groups) or not len(made):
    return NOTHING
  made, real, rows = few(made), few(real), evenly(len(good), count_of(good.shape[1]))
  usual = Usual(few(good), [groups[row] for row in rows], seed=seed, blurs=_BLURS)
  return {'visible': usual.share(made, [''] * len(made)), 'visible_real': usual.share(real, [''] * len(real))}


def of_changes(before: Images, after: Images, masks: Masks, real: Images, seed: int = 0) -> Mapping[str, float | None]:
  """As of_images, of what was changed within masks: in good images, of which one may come several times, and of real
  defects within the same masks."""
  rows = evenly(len(before), count_of(before.shape[1]))
  before, after, masks, real = (images[rows] for images in (before, after, masks, real))
  groups = [hashlib.sha256(image.tobytes()).hexdigest() for image in before]
  if not enough(groups):
    return NOTHING
  usual = Usual(before, groups, masks, seed)
  return {'visible': usual.share(after, groups, masks), 'visible_real': usual.share(real, [''] * len(real), masks)}


def few(images: Images) -> Images:
  """As many of the images as are looked at, evenly drawn, scaled down where they are large."""
  rows = evenly(len(images), count_of(images.shape[1]))
  if images.shape[1] <= _LARGEST:
    return images[rows]
  return np.stack([photos.scale(np.float32(image), _LARGEST) for image in images[rows]])


def count_of(side: int) -> int:
  """How many images of so many pixels a side are looked at."""
  return max(_FEWEST, min(MOST, _PIXELS // min(side, _LARGEST)**2))


def evenly(count: int, most: int) -> list[int]:
  """At most so many of 0 to count - 1, evenly spread."""
  return list(range(count)) if count <= most else [row * count // most for row in range(most)]


def _within(knn, mask):
  around = knn if mask.all() else knn[~mask]
  return np.quantile(knn[mask], _HIGH) / np.quantile(around, _HIGH)
