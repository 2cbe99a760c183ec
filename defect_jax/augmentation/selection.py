"""Keeps the best of several candidates of each image, by criteria that are recorded with it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from sklearn import linear_model, pipeline, preprocessing

from defect_jax.data import areas, listing, parts, regions
from defect_jax.errors import UserError

Record = dict[str, Any]  # why a candidate was kept: `filter` of a manifest's line
# Inverse strength of the L2 penalty, which is strong since there are more features than areas; steps at most.
_REGULAR, _ITERATIONS = 0.01, 1000
_MOST = 200  # real areas of a class that are looked at

# ([[(photo, mask, name) per candidate] per image], class of each) -> (which to keep, why, per image)
Select = Callable[[Sequence[Sequence[tuple]], Sequence[str]], tuple[Int[np.ndarray, 'b'], list[Record]]]


def sharpness(images: Float[np.ndarray, 'n h w c']) -> Float[np.ndarray, 'n']:
  """Mean absolute difference of neighbouring pixels; blur lowers it."""
  down, right = np.abs(np.diff(images, axis=1)), np.abs(np.diff(images, axis=2))
  return 0.5 * (down.mean((1, 2, 3)) + right.mean((1, 2, 3)))


def choose(distance: Float[np.ndarray, 'b c'], sharp: Float[np.ndarray, 'b c'], least: float,
           typical: float) -> tuple[Int[np.ndarray, 'b'], list[Record]]:
  """Which candidate of each image to keep: of those that are new, the one whose sharpness is most like the photos'.

  distance: LPIPS to the nearest training photo, from `least` on a candidate counts as new. sharp: `sharpness`, above 0;
  typical: that of the photos. Where none is new, the farthest from the training photos is kept, and the record says so.
  """
  new = distance >= least
  # A factor of 2 too sharp is as unlike the photos as one too blurred.
  unlike = np.where(new, np.abs(np.log(sharp / typical)), np.inf)
  chosen = np.where(new.any(1), np.argmin(unlike, 1), np.argmax(distance, 1))
  records = [{'candidates': distance.shape[1], 'kept': int(kept), 'new': bool(new[i, kept]),
              'lpips_to_nearest': round(float(distance[i, kept]), 4), 'least_lpips': round(float(least), 4),
              'sharpness_of_photos': round(float(sharp[i, kept] / typical), 3)} for i, kept in enumerate(chosen)]
  return chosen, records


class DefectFilter:
  """Keeps made defects that look like the class that was asked for, and like real ones.

  The class of a made area is that of a logistic regression on VGG16's features, fitted to real areas. It is an artefact
  if it is farther from the real ones of its class than most of these are from those of other groups: the anomaly score
  of nearest neighbours (as in Roth et al. 2022). Photos of one group are so alike that nothing new would be as near.
  """

  def __init__(self, features: Float[np.ndarray, 'n f'], labels: Sequence[str], groups: Sequence[str],
               quantile: float = 0.95):
    """Takes real areas of two classes or more, at least two of each; areas of one group belong together (in a class of
    one group each area is its own). Distances up to the quantile are no artefact."""
    self._features, self._labels = np.float32(features), np.array(labels)
    regression = linear_model.LogisticRegression(C=_REGULAR, class_weight='balanced', max_iter=_ITERATIONS)
    self._classifier = pipeline.make_pipeline(preprocessing.StandardScaler(), regression)
    self._classifier.fit(self._features, self._labels)
    self._thresholds = {}
    for name in sorted(set(labels)):
      own, group = self._features[self._labels == name], np.array(groups)[self._labels == name]
      same = group[:, None] == group
      apart = np.where(np.eye(len(group), dtype=bool) if same.all() else same, np.inf, _distances(own, own))
      self._thresholds[name] = float(np.quantile(apart.min(1), quantile))

  def choose(self, features: Float[np.ndarray, 'b c f'],
             wanted: Sequence[str]) -> tuple[Int[np.ndarray, 'b'], list[Record]]:
    """Which candidate of each image to keep: one that passes, that is, has the asked class and is no artefact; else one
    that is no artefact, else any; of several the one most probably of the class. The record says what is against it."""
    chosen, records, classes = [], [], self._classifier.classes_
    for candidates, name in zip(np.float32(features), wanted, strict=True):
      distance = _distances(candidates, self._features[self._labels == name]).min(1)
      probabilities = self._classifier.predict_proba(candidates)
      reads_as, asked = classes[probabilities.argmax(1)], probabilities[:, classes == name][:, 0]
      real = distance <= self._thresholds[name]
      passes = (reads_as == name) & real
      kept = int(np.argmax(passes * 1. + real + asked))
      chosen.append(kept)
      records.append({'candidates': len(candidates), 'kept': kept, 'passed': int(passes.sum()),
                      'reads_as': str(reads_as[kept]), 'probability': round(float(asked[kept]), 4),
                      'artefact': not real[kept], 'distance': round(float(distance[kept]), 4),
                      'most': round(self._thresholds[name], 4)})
    return np.array(chosen), records


def by_real_defects(records: Sequence[parts.Record], part: str, defects: Sequence[str], candidates: int, places: int,
                    quantile: float, size: int, seed: int,
                    features_of: Callable[[Float[np.ndarray, 'n s s c']], Float[np.ndarray, 'n f']]) -> Select | None:
  """A choice by DefectFilter, from squares of `size` around real defects of `part`; None for a single candidate. Raises
  UserError if real defects of a class, or good photos, are missing."""
  if candidates == places == 1:
    return None
  geometry = regions.Geometry(size=size, channels=3, region='mask')
  by_class = {name: [record for record in listing.of_part(records, part) if record.label == name]
              for name in dict.fromkeys((*defects, areas.GOOD))}
  for name, of_class in by_class.items():
    if len(of_class) < 2:
      raise UserError(f'filter.candidates = {candidates}, filter.places = {places}: real photos say what reads as '
                      f'{name}, and there are {len(of_class)} of it in part {part}; add some or set both to 1')
  counts = {name: min(len(of_class), _MOST) for name, of_class in by_class.items()}
  crop = areas.Crop(size, (geometry.context, geometry.context), (0.5, 1.))
  real, _ = areas.draw(by_class, counts, crop, seed, 1.)
  defect_filter = DefectFilter(features_of(np.float32([area.image for area in real]) / 255),
                               [area.label for area in real], [area.group for area in real], quantile)

  def select(candidates, wanted):
    squares = [regions.place(photo, mask > 0, geometry, name)[0] for image in candidates for photo, mask, name in image]
    features = features_of(np.stack(squares))
    return defect_filter.choose(features.reshape(len(candidates), -1, features.shape[1]), wanted)

  return select


def passed(record: Mapping[str, Any]) -> bool:
  """Whether one of the candidates of a record of DefectFilter.choose passes, so that the kept one does."""
  return record['passed'] > 0


def merit(record: Mapping[str, Any]) -> tuple[bool, bool, float]:
  """What DefectFilter.choose ranks candidates by, of the kept one; the higher, the better."""
  return passed(record), not record['artefact'], record['probability']


def _distances(a, b):
  """Euclidean distances `[n, m]` of the rows of `[n, F]` and `[m, F]`."""
  # In float32: scipy's cdist differs by 1e-5, and sets that were begun before would be gone on with by other figures.
  squares = np.sum(a * a, 1)[:, None] + np.sum(b * b, 1) - 2 * a @ b.T
  return np.sqrt(np.maximum(squares, 0))
