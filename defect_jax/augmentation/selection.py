"""Keeps the best of several candidates of each image, by criteria that are recorded with it."""

import numpy as np
from sklearn import linear_model, pipeline, preprocessing

# Inverse strength of the L2 penalty, which is strong since there are more features than areas; steps at most.
_REGULAR, _ITERATIONS = 0.01, 1000


def sharpness(images):
  """Mean absolute difference of neighbouring pixels, `[N]`, of images `[N, H, W, C]`; blur lowers it."""
  down, right = np.abs(np.diff(images, axis=1)), np.abs(np.diff(images, axis=2))
  return 0.5 * (down.mean((1, 2, 3)) + right.mean((1, 2, 3)))


def choose(distance, sharp, least, typical):
  """Which candidate of each image to keep: of those that are new, the one whose sharpness is most like the photos'.

  Args:
    distance: `[B, C]`, LPIPS to the nearest training photo. sharp: `[B, C]`, `sharpness`, above 0.
    least: distance from which a candidate counts as new. typical: sharpness of the photos.

  Returns (candidate int `[B]`, record: a dict an image, of the figures that it was kept for). Where none is new, the
  farthest from the training photos is kept, and the record says so.
  """
  new = distance >= least
  # A factor of 2 too sharp is as unlike the photos as one too blurred.
  unlike = np.where(new, np.abs(np.log(sharp / typical)), np.inf)
  chosen = np.where(new.any(1), np.argmin(unlike, 1), np.argmax(distance, 1))
  records = [{'candidates': distance.shape[1], 'kept': int(at), 'new': bool(new[row, at]),
              'lpips_to_nearest': round(float(distance[row, at]), 4), 'least_lpips': round(float(least), 4),
              'sharpness_of_photos': round(float(sharp[row, at] / typical), 3)} for row, at in enumerate(chosen)]
  return chosen, records


class DefectFilter:
  """Tells made defects that read as what was asked from those that read as something else, or as nothing real.

  What a made area reads as is said by a logistic regression on VGG16's features that was fitted to real areas. It is an
  artefact where it is farther from the real ones of its class than most of these are from those of other groups: the
  anomaly score of nearest neighbours (as in Roth et al. 2022), here of whole areas. Photos of one group are so alike
  that nothing new would be as near.
  """

  def __init__(self, features, labels, groups, quantile=0.95):
    """Real areas: features `[N, F]`, labels of two classes or more, at least two of each, groups of what belongs
    together (a class of one group has each area as its own); quantile of distances that are no artefact."""
    self._features, self._labels = np.float32(features), np.array(labels)
    self._reader = pipeline.make_pipeline(
        preprocessing.StandardScaler(),
        linear_model.LogisticRegression(C=_REGULAR, class_weight='balanced', max_iter=_ITERATIONS))
    self._reader.fit(self._features, self._labels)
    self._limits = {}
    for name in sorted(set(labels)):
      own, of = self._features[self._labels == name], np.array(groups)[self._labels == name]
      same = of[:, None] == of
      apart = np.where(np.eye(len(of), dtype=bool) if same.all() else same, np.inf, _distances(own, own))
      self._limits[name] = float(np.quantile(apart.min(1), quantile))

  def choose(self, features, wanted):
    """Which candidate of each image to keep: one that passes, that is, reads as the asked class and is no artefact;
    else one that is no artefact; of several the one most probably of the class.

    Args: features: `[B, C, F]` of candidates. wanted: class of each image, `[B]`.

    Returns (candidate int `[B]`, record: a dict an image, of the reasons). Where all are artefacts, the most probable
    one is kept, and the record says what is against it.
    """
    chosen, records, classes = [], [], self._reader.classes_
    for of, name in zip(np.float32(features), wanted, strict=True):
      distance = _distances(of, self._features[self._labels == name]).min(1)
      chances = self._reader.predict_proba(of)
      reads_as, asked = classes[chances.argmax(1)], chances[:, classes == name][:, 0]
      real = distance <= self._limits[name]
      passes = (reads_as == name) & real
      at = int(np.argmax(passes * 1. + real + asked))
      chosen.append(at)
      records.append({'candidates': len(of), 'kept': at, 'passed': int(passes.sum()),
                      'reads_as': str(reads_as[at]), 'probability': round(float(asked[at]), 4),
                      'artefact': not real[at], 'distance': round(float(distance[at]), 4),
                      'most': round(self._limits[name], 4)})
    return np.array(chosen), records


def passed(record):
  """Whether one of the candidates of a record of DefectFilter.choose passes, so that the kept one does."""
  return record['passed'] > 0


def merit(record):
  """By what DefectFilter.choose ranks candidates, of the kept one; the higher, the better."""
  return passed(record), not record['artefact'], record['probability']


def _distances(a, b):
  """Euclidean distances `[n, m]` of the rows of `[n, F]` and `[m, F]`."""
  squares = np.sum(a * a, 1)[:, None] + np.sum(b * b, 1) - 2 * a @ b.T
  return np.sqrt(np.maximum(squares, 0))
