"""How well a classifier tells classes apart, and how far its probabilities can be believed."""

import numpy as np
from scipy import optimize, special
from sklearn import metrics

BOOTSTRAPS = 1000
NAMES = ('accuracy', 'balanced_accuracy', 'f1', 'auroc')
_BINS = 10


def measure(labels, probabilities, seed=0):
  """Figures of predictions, with 95 % intervals.

  Args:
    labels: int `[N]`, 0 for good, above for the classes of defects; at least two classes are there.
    probabilities: `[N, K]`. seed: of the bootstraps.

  Returns {'accuracy', 'balanced_accuracy' (mean recall of the classes that are there), 'f1' (of being defective at
  all), 'auroc' (of 1 - probability of good, defective against good), 'confusion' (rows: true class), 'ci' {name: (low,
  high)}}. AUROC and its interval are None where good or defective photos are missing. Intervals are percentiles of
  bootstraps of the photos, of each class by itself, so that no resample lacks one.
  """
  labels, probabilities = np.asarray(labels), np.asarray(probabilities, float)
  result = figures(labels, probabilities)
  draws = [figures(labels[rows], probabilities[rows]) for rows in resamples(labels, seed)]
  interval = {name: None if result[name] is None else
              tuple(map(float, np.quantile([draw[name] for draw in draws], (0.025, 0.975)))) for name in NAMES}
  counts = metrics.confusion_matrix(labels, probabilities.argmax(1), labels=range(probabilities.shape[1]))
  return result | {'confusion': counts.tolist(), 'ci': interval}


def figures(labels, probabilities):
  """{name: number} of NAMES, see `measure`."""
  predicted, classes = probabilities.argmax(1), probabilities.shape[1]
  right = np.bincount(labels[predicted == labels], minlength=classes)
  there = np.bincount(labels, minlength=classes)
  defective, called = labels > 0, predicted > 0
  both, either = np.sum(defective & called), np.sum(defective) + np.sum(called)
  return {'accuracy': float(right.sum() / len(labels)),
          'balanced_accuracy': float(np.mean(right[there > 0] / there[there > 0])),
          'f1': float(2 * both / either) if either else 0.,
          'auroc': auroc(defective, 1 - probabilities[:, 0])}


def auroc(defective, scores):
  """Chance that a defective photo scores higher than a good one, ties counting half (Mann and Whitney 1947); None
  where either is missing."""
  count = int(defective.sum())
  if not 0 < count < len(defective):
    return None
  _, inverse, times = np.unique(scores, return_inverse=True, return_counts=True)
  ranks = (np.cumsum(times) - (times - 1) / 2)[inverse]
  return float((ranks[defective].sum() - count * (count + 1) / 2) / (count * (len(defective) - count)))


def resamples(labels, seed, count=BOOTSTRAPS):
  """Yields rows of bootstraps, int `[N]` each: as many photos of every class as there are, drawn with replacement."""
  rng, kinds = np.random.default_rng(seed), [np.flatnonzero(labels == kind) for kind in np.unique(labels)]
  for _ in range(count):
    yield np.concatenate([rng.choice(kind, len(kind)) for kind in kinds])


def temperature(logits, labels):
  """What logits are divided by so that probabilities fit held-out photos best (Guo et al. 2017, section 4.2).

  Args:
    logits: `[N, K]` of photos that nothing was trained on. labels: int `[N]`.

  Each class counts the same, as in training, so that the probabilities are those for equally frequent classes. Between
  0.05 and 20.
  """
  labels, logits = np.asarray(labels), np.asarray(logits, float)
  share = balanced_weights(labels)
  found = optimize.minimize_scalar(lambda log: log_loss(logits / np.exp(log), labels, share),
                                   bounds=(np.log(0.05), np.log(20.)), method='bounded')
  return float(np.exp(found.x))


def balanced_weights(labels):
  """Each photo's share `[N]` of a mean in which every class that is there counts the same."""
  _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
  return 1 / (counts[inverse] * len(counts))


def log_loss(logits, labels, weights):
  """Weighted mean of losses.cross_entropy, in float64."""
  return float(-np.sum(weights * special.log_softmax(logits, 1)[np.arange(len(labels)), labels]))


def calibration_error(labels, probabilities):
  """Expected calibration error: |confidence - accuracy|, averaged over ten equal bins of confidence (Guo et al. 2017,
  equation 3)."""
  confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
  bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
  gaps = [abs(np.sum(confidence[bins == bin]) - np.sum(right[bins == bin])) for bin in range(_BINS)]
  return float(np.sum(gaps) / len(labels))
