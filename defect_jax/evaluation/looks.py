"""Where a classifier looks: how much of its saliency lies on marked defects and on the part, beside their areas; and
how much of what it says is gone where marked defects are covered."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import threadpoolctl
from jaxtyping import Bool, Float
from scipy import ndimage

from defect_jax.data import part_area, parts, samples, tiles

Saliency = Callable[[Float[np.ndarray, 'n s s c']], Float[np.ndarray, 'n s s']]
LogOdds = Callable[[Float[np.ndarray, 'n s s c']], Float[np.ndarray, 'n']]  # of being defective
MOST = 24  # defective photos that are looked at
_GOOD = 12  # good photos by which it is said whether parts stand before a background
_AROUND = 2  # px around a defect or part that count as it, since saliency is blurred
_EIGHT = np.ones((3, 3), bool)  # neighbours in a mask


@threadpoolctl.threadpool_limits.wrap(2, 'openmp')  # k-means by many threads waits more than it works
def look(defective: Sequence[parts.Record], good: Sequence[parts.Record], tiling: tiles.Tiling, saliency: Saliency,
         log_odds: LogOdds) -> dict[str, Any]:
  """'saliency_on_defect' and 'saliency_on_part', means over photos of the share of the saliency that lies there, and
  'defect_area' and 'part_area', the shares of the image that these cover: where nothing draws the eye, both are alike.
  'by_defect': see by_defect. 'looks_at': of how many photos.

  None for defects where none are marked, and for the part where it fills the photos. Records are looked at in order,
  MOST of the defective ones.
  """
  shown, beside = ([sample for sample in samples.read_all(records, tiling) if not sample.reason]
                   for records in (defective[:MOST], good[:_GOOD]))
  maps = saliency(np.stack([sample.image for sample in shown])) if shown else ()
  before_background = part_area.clear([part_area.of_photo(sample.image) for sample in beside])
  pairs = [(values, np.asarray(sample.mask)) for values, sample in zip(maps, shown, strict=True)]
  return {'looks_at': len(shown), **_figures('saliency_on_defect', 'defect_area', pairs),
          'by_defect': by_defect([(sample.image, mask) for sample, (_, mask) in zip(shown, pairs, strict=True)
                                  if mask.any()], [sample.image for sample in beside], log_odds),
          **_figures('saliency_on_part', 'part_area', _parts(maps, shown) if before_background else ())}


def by_defect(marked: Sequence[tuple[Float[np.ndarray, 's s c'], Bool[np.ndarray, 's s']]],
              good: Sequence[Float[np.ndarray, 's s c']], log_odds: LogOdds) -> float | None:
  """The share of what speaks for a defect that is gone where it is covered: how much the log-odds of marked photos
  fall, beside how far they lie above those of good photos, means over all. 0 where the verdict comes from elsewhere;
  None without marked or good photos, or where these are not told apart."""
  if not marked or not good:
    return None
  images = [*(image for image, _ in marked), *(covered(image, mask) for image, mask in marked), *good]
  before, after, usual = (float(np.mean(values)) for values in np.split(
      log_odds(np.stack(images)), [len(marked), 2 * len(marked)]))
  return (before - after) / (before - usual) if before > usual else None


def covered(image: Float[np.ndarray, 's s c'], area: Bool[np.ndarray, 's s']) -> Float[np.ndarray, 's s c']:
  """The image with an area and two pixels around it as what lies next to it, softened."""
  around = ndimage.binary_dilation(area, _EIGHT, _AROUND)
  if around.all():
    return np.full_like(image, image.mean())
  nearest = ndimage.distance_transform_edt(around, return_distances=False, return_indices=True)
  filled = ndimage.gaussian_filter(image[tuple(nearest)], (_AROUND, _AROUND, 0))
  return np.where(around[..., None], filled, image).astype(np.float32)


def _parts(maps, shown):
  for values, sample in zip(maps, shown, strict=True):
    if (area := part_area.of_photo(sample.image)) is not None:
      yield values, area


def _figures(name, name_of_area, pairs):
  found = [share_on(values, area) for values, area in pairs if area.any()]
  means = [float(mean) for mean in np.mean(found, 0)] if found else [None, None]
  return dict(zip((name, name_of_area), means, strict=True))


def share_on(saliency: Float[np.ndarray, 's s'], area: Bool[np.ndarray, 's s']) -> tuple[float, float]:
  """The share of a saliency map that lies within two pixels of an area, not empty, and the share of the image that this
  covers. A map that is zero everywhere counts as even."""
  around = ndimage.binary_dilation(area, _EIGHT, _AROUND)
  total, covered = float(saliency.sum()), float(around.mean())
  return float(saliency[around].sum()) / total if total else covered, covered
