"""How well anomaly scores tell defective photos from good ones, and anomaly maps defective pixels from sound ones."""

import collections
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from sklearn import metrics

from defect_jax.data import samples
from defect_jax.detectors import threshold
from defect_jax.detectors.scores import Score, Scored
from defect_jax.evaluation import classification

Maps = Sequence[Float[np.ndarray, 'h w']]
Masks = Sequence[Bool[np.ndarray, 'h w']]

LARGEST_FPR = 0.3  # of AUPRO
_BOOTSTRAPS = 200
_EIGHT = np.ones((3, 3), int)  # pixels that touch by a corner are one region


def of_images(defective: Bool[np.ndarray, 'n'], scores: Float[np.ndarray, 'n'], seed: int = 0) -> dict[str, Any]:
  """AUROC and AUPR (average precision) of scores, which are higher for what is more anomalous, with 95 % intervals, and
  the best F1 that any threshold reaches; all None where there are not both good and defective photos.

  The intervals are percentiles of 200 bootstraps, of good and defective photos each by themselves, so that no resample
  lacks one kind.
  """
  names = ('image_auroc', 'image_auroc_ci', 'image_aupr', 'image_aupr_ci', 'image_f1_max', 'f1_max_threshold')
  defective, scores = np.asarray(defective, bool), np.asarray(scores, float)
  if defective.all() or not defective.any():
    return dict.fromkeys(names)
  rng, result = np.random.default_rng(seed), []
  kinds = [np.flatnonzero(defective == kind) for kind in (False, True)]
  draws = [np.concatenate([rng.choice(kind, len(kind)) for kind in kinds]) for _ in range(_BOOTSTRAPS)]
  counts = np.stack([np.bincount(draw, minlength=len(scores)) for draw in draws])
  for figure, drawn in zip((metrics.roc_auc_score, metrics.average_precision_score),
                           _resampled(defective, scores, counts), strict=True):
    result += [float(figure(defective, scores)), tuple(map(float, np.quantile(drawn, (0.025, 0.975))))]
  precision, recall, thresholds = metrics.precision_recall_curve(defective, scores)
  f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
  best = int(np.argmax(f1[:-1]))  # chosen on the labels it is measured by, so optimistic
  return dict(zip(names, (*result, float(f1[best]), float(thresholds[best])), strict=True))


def _resampled(defective: Bool[np.ndarray, 'n'], scores: Float[np.ndarray, 'n'], counts: Int[np.ndarray, 'd n'],
               ) -> tuple[Float[np.ndarray, 'd'], Float[np.ndarray, 'd']]:
  """AUROC and average precision of resamples, which hold each photo `counts` times, all at once.

  Scikit-learn's figures, one call after the other, took half a second for a score, and a run compares forty.
  """
  order = np.argsort(-scores, kind='stable')
  last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # photos of one score are above together
  found, alarms = (np.cumsum(counts[:, order] * kind, 1)[:, last] for kind in (defective[order], ~defective[order]))
  found, alarms = (np.pad(values, ((0, 0), (1, 0))) for values in (found, alarms))
  above = np.maximum(found + alarms, 1)  # none is above where no photo of the highest scores was drawn
  recall = found / found[:, -1:]
  return (np.trapezoid(recall, alarms / alarms[:, -1:], axis=1),
          np.sum(np.diff(recall) * (found / above)[:, 1:], 1))


def at_threshold(defective: Bool[np.ndarray, 'n'], scores: Float[np.ndarray, 'n'], value: float,
                 ) -> dict[str, float | None]:
  """'f1', and the shares of good ('false_alarms') and defective ('found') photos above; None where there are none."""
  defective, above = np.asarray(defective, bool), np.asarray(scores) > value
  return {'f1': float(metrics.f1_score(defective, above, zero_division=0.)) if defective.any() else None,
          'false_alarms': float(above[~defective].mean()) if (~defective).any() else None,
          'found': float(above[defective].mean()) if defective.any() else None}


def of_pixels(masks: Masks, maps: Maps) -> dict[str, float | None]:
  """{'pixel_auroc', 'aupro'} of anomaly maps; the masks of good photos are all False. Both come from one sorting of the
  pixels, nearly all of the work, and are None where no pixel, or every pixel, is defective.

  AUPRO: area under the per-region overlap against the false-positive rate from 0 to 0.3, divided by 0.3. The overlap is
  the share of a region that is above the threshold, averaged over all regions of all photos: a small defect counts as
  much as a large one (Bergmann et al. 2021, "The MVTec Anomaly Detection Dataset", section 5). Regions are 8-connected.
  Exact: the threshold takes every value of the maps; between them, and where it first passes 0.3, all is straight.
  """
  if not 0 < sum(mask.sum() for mask in masks) < sum(mask.size for mask in masks):
    return {'pixel_auroc': None, 'aupro': None}
  fpr, tpr, overlap = _curves(masks, maps)
  inside = fpr < LARGEST_FPR
  area = np.trapezoid(np.append(overlap[inside], np.interp(LARGEST_FPR, fpr, overlap)),
                      np.append(fpr[inside], LARGEST_FPR))
  return {'pixel_auroc': float(np.trapezoid(tpr, fpr)), 'aupro': float(area / LARGEST_FPR)}


def _curves(masks, maps):
  """False-positive rate, true-positive rate and mean overlap of regions, while the threshold goes down past every value
  of the maps: from 0 to 1, three arrays of one length."""
  share = []  # of its region that a pixel makes up, 0 for sound ones
  for mask in masks:
    regions, count = ndimage.label(mask, _EIGHT)
    sizes = np.bincount(regions.ravel(), minlength=count + 1).astype(float)
    share.append(np.where(mask, 1 / np.maximum(sizes, 1)[regions], 0.).ravel())
  share, scores = np.concatenate(share), np.concatenate([values.ravel() for values in maps])
  order = np.argsort(-scores)
  last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # pixels of one score pass together
  share = share[order]
  defective = np.cumsum(share > 0)[last]
  sound = np.arange(1, len(order) + 1)[last] - defective
  # A region's pixels add up to 1, so all of them to the number of regions.
  return tuple(np.append(0., values / values[-1]) for values in (sound, defective, np.cumsum(share)[last]))


class Results:
  """What photos were scored with, photo by photo: scores, maxima of maps, and the maps in `keep`, all by name."""

  def __init__(self, keep: Sequence[str] = ()):
    self.samples: list[samples.Sample] = []
    self.scores, self.largest, self.maps = (collections.defaultdict(list) for _ in range(3))
    self._keep, self._pixels = keep, {}

  @property
  def labels(self) -> list[str]:
    return [sample.record.label for sample in self.samples]

  @property
  def groups(self) -> list[str]:
    return [sample.record.group for sample in self.samples]

  def add(self, photo: Scored) -> None:
    self.samples.append(photo.sample)
    for name, value in photo.scores.items():
      self.scores[name].append(value)
    for name, values in photo.maps.items():
      self.largest[name].append(values.max())
      if name in self._keep:
        self.maps[name].append(values)

  def ranked(self, score: Score) -> list[tuple[samples.Sample, float, Float[np.ndarray, 'h w']]]:
    """(photo, score, map) of every photo, highest score first; the map is among `keep`."""
    values, maps = self.scores[score.name], self.maps[score.map]
    return [(self.samples[row], values[row], maps[row]) for row in np.argsort(-np.array(values))]

  def intervals(self, score: Score, value: float) -> dict[str, Any]:
    """'tested', how many good and defective photos there are, and the 95 % intervals of 'found_ci' and
    'false_alarms_ci', the shares of these above a value; None where there are none."""
    defective, above = np.array(self.labels) != 'good', np.array(self.scores[score.name])
    groups, found = np.array(self.groups), {}
    for name, rows in (('found_ci', defective), ('false_alarms_ci', ~defective)):
      found[name] = threshold.share_above(value, above[rows], groups[rows].tolist())[1] if rows.any() else None
    return found | {'tested': {'good': int((~defective).sum()), 'defective': int(defective.sum())}}

  def figures(self, score: Score, value: float, seed: int = 0) -> dict[str, Any]:
    """Figures of one score: of all photos, and by class against the good photos."""
    labels, scores = np.array(self.labels), np.array(self.scores[score.name])
    defective = labels != 'good'
    row = of_images(defective, scores, seed) | at_threshold(defective, scores, value)
    row |= {'threshold': value, **self._of_pixels(score, range(len(labels))), 'by_class': {}}
    for label in sorted(set(labels) - {'good'}):
      rows = np.flatnonzero(~defective | (labels == label))
      row['by_class'][label] = {'photos': int(np.sum(labels == label)),
                                'image_auroc': classification.auroc(defective[rows], scores[rows]),
                                **self._of_pixels(score, rows)}
    return row

  def _of_pixels(self, score, rows):
    """Figures of the pixels of good photos and of defective ones that have a mask."""
    rows = tuple(row for row in rows if self.labels[row] == 'good' or self.samples[row].mask.any())
    if not score.of_pixels or score.map not in self.maps:
      return {'pixel_auroc': None, 'aupro': None}
    key, maps = (score.map, rows), self.maps[score.map]
    if key not in self._pixels:  # the same for every reduction of a map
      self._pixels[key] = of_pixels([self.samples[row].mask for row in rows], [maps[row] for row in rows])
    return self._pixels[key]
