"""Whether photos under one name are of one thing: one product, laid alike, in one light, with one kind of defect."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import threadpoolctl
from jaxtyping import Float
from scipy import stats
from sklearn import cluster, metrics

from defect_jax.data import part_area, parts, regions, samples, thumbnails, tiles
from defect_jax.data.parts import GOOD
from defect_jax.evaluation import generation

# Silhouette of two clusters of features from which they are two things. Of real sets of one product 0.13 to 0.46, of
# mono- and polycrystalline solar cells together 0.48, so these pass as one; of two products 0.61 and more.
_TWO = 0.5
# The same of squares around defects: 0.10 to 0.40 of single kinds, 0.13 to 0.18 of two kinds of one product joined by
# hand. So kinds that differ little are not found, only those that differ as defects of two products do (0.46).
_TWO_KINDS = 0.45
_ALIKE = 0.5  # median overlap of two parts (intersection over union) below which parts lie in any pose; laid alike: 0.9
_BY_LIGHT = 0.95  # AUROC of brightness alone, from which it tells good from defective photos
_MOST, _POSED, _LEAST = 40, 16, 8  # photos of a class that are looked at, for their pose, and at least
_TRIED = 4  # of these: where no part stands before a background in any, it fills the others too
_SHARE, _SIDE_LEAST = 0.1, 4  # of a class, and photos: fewer are odd ones, no second product
_CLUSTERED = 16  # photos of a class, of which clusters mean anything: of 8 some fall apart by chance
_SHOWN = 4  # photos of each side that are named
_SIDE = 64  # px that features are taken of


@threadpoolctl.threadpool_limits.wrap(1, 'openmp')  # k-means of some photos by many threads waits more than it works
def find(records: Sequence[parts.Record]) -> dict[str, Any]:
  """The summary's `mixture`: {code: figures} of what was found, {} for nothing.

  mixed_products, mixed_kinds: {label: {'counts': [n, m], 'examples': [files, files]}}. any_pose: {label: median
  overlap}. light_drifts: {'auroc', 'levels': [of good, of defective photos]}, medians of brightness in [0, 1].
  Of each class up to 40 photos are looked at. Classes of fewer than 8 photos are left out, and of
  two kinds nothing is said below 16.
  """
  levels, found = {}, {}
  for label, of_class in _by_class(records):
    small = [(record, thumbnail) for record, thumbnail in zip(of_class, thumbnails.load(of_class), strict=True)
             if thumbnail is not None]
    if len(small) < _LEAST:
      continue
    known, pictures = [record for record, _ in small], np.stack([np.float32(one)[..., None] for _, one in small])
    levels[label] = np.median(pictures, (1, 2, 3))
    for code, figures in (('mixed_products', _two(known, _smaller(pictures), _TWO)),
                          ('any_pose', _overlap(pictures[:_POSED])),
                          ('mixed_kinds', _kinds(known) if label != GOOD else None)):
      if figures is not None:
        found.setdefault(code, {})[label] = figures
  return found | _light(levels)


def _by_class(records: Sequence[parts.Record]) -> Iterator[tuple[str, list[parts.Record]]]:
  for label, group in itertools.groupby(sorted(records, key=lambda one: (one.label, one.file)), lambda one: one.label):
    of_class = list(group)
    yield label, of_class[::-(-len(of_class) // _MOST)]


def _two(records: Sequence[parts.Record], images: Float[np.ndarray, 'n s s 1'], least: float) -> dict[str, Any] | None:
  """The two clusters of images by VGG16's features, if they are apart (Rousseeuw 1987); the larger one first."""
  if len(images) < _CLUSTERED:
    return None
  features = generation.features_of(images)
  features /= np.linalg.norm(features, axis=1, keepdims=True)
  labels = cluster.KMeans(2, n_init=5, random_state=0).fit_predict(features)
  counts = np.bincount(labels, minlength=2)
  if counts.min() < max(_SIDE_LEAST, _SHARE * len(labels)) or metrics.silhouette_score(features, labels) < least:
    return None
  sides = sorted((np.flatnonzero(labels == side) for side in (0, 1)), key=len, reverse=True)
  return {'counts': [*map(len, sides)], 'examples': [[records[row].file for row in side[:_SHOWN]] for side in sides]}


def _smaller(images):
  """Means of squares of pixels, of _SIDE px a side."""
  factor = thumbnails.SIDE // _SIDE
  return images.reshape(len(images), _SIDE, factor, _SIDE, factor, 1).mean((2, 4))


def _overlap(images: Float[np.ndarray, 'n s s 1']) -> float | None:
  """Median overlap of the parts of two photos where these lie in any pose; None where they lie alike or fill them."""
  areas = [part_area.of_photo(image) for image in images[:_TRIED]]
  if not any(area is not None for area in areas):
    return None
  areas += [part_area.of_photo(image) for image in images[_TRIED:]]
  if not part_area.clear(areas):
    return None
  known = [area for area in areas if area is not None]
  overlaps = [(one & other).sum() / (one | other).sum() for one, other in itertools.combinations(known, 2)]
  middle = float(np.median(overlaps)) if overlaps else 1.
  return middle if middle < _ALIKE else None


def _kinds(records: Sequence[parts.Record]) -> dict[str, Any] | None:
  """Two kinds of defects by the squares around their masks, all made equally bright."""
  geometry, seen = regions.Geometry(_SIDE, 1, 'mask'), []
  for record in records:
    if record.annotation:
      sample = samples.read(record, tiles.Tiling(geometry))
      seen += [] if sample.image is None else [(record, np.clip(sample.image - sample.image.mean() + 0.5, 0, 1))]
  return None if not seen else _two([record for record, _ in seen], np.stack([image for _, image in seen]), _TWO_KINDS)


def _light(levels: dict[str, Float[np.ndarray, 'n']]) -> dict[str, Any]:
  """Whether brightness alone tells good photos from defective ones."""
  good, others = levels.get(GOOD, []), [level for label, of in levels.items() if label != GOOD for level in of]
  if len(good) < _LEAST or len(others) < _LEAST:
    return {}
  auroc = stats.mannwhitneyu(others, good).statistic / (len(good) * len(others))
  if max(auroc, 1 - auroc) < _BY_LIGHT:
    return {}
  return {'light_drifts': {'auroc': float(max(auroc, 1 - auroc)),
                           'levels': [float(np.median(good)), float(np.median(others))]}}
