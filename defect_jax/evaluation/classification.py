"""How well a classifier tells classes apart, and how far its probabilities can be believed."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import optimize, special, stats
from sklearn import metrics

BOOTSTRAPS = 1000
NAMES = ('accuracy', 'balanced_accuracy', 'f1', 'auroc')
_BINS = 10
Labels = Int[np.ndarray, 'n']  # 0 for good, above for the classes of defects


def measure(labels: Labels, probabilities: Float[np.ndarray, 'n k'], seed: int = 0, groups: Sequence[str] | None = None
            ) -> dict[str, Any]:
  """`figures` of predictions, 'confusion' (rows: true class), and 'ci' {name: (low, high)}, 95 % intervals: percentiles
  of bootstraps by `resamples`."""
  labels, probabilities = np.asarray(labels), np.asarray(probabilities, float)
  result = figures(labels, probabilities)
  draws = [figures(labels[rows], probabilities[rows]) for rows in resamples(labels, seed, groups)]
  interval = {name: None if result[name] is None else
              tuple(map(float, np.quantile([draw[name] for draw in draws], (0.025, 0.975)))) for name in NAMES}
  counts = metrics.confusion_matrix(labels, probabilities.argmax(1), labels=range(probabilities.shape[1]))
  return result | {'confusion': counts.tolist(), 'ci': interval}


def figures(labels: Labels, probabilities: Float[np.ndarray, 'n k']) -> dict[str, float | None]:
  """{name: number} of NAMES. balanced_accuracy: mean recall of the classes that are there. f1: of being defective at
  all, which is said where its probability is above 1/2. auroc: of that probability, see `auroc`."""
  predicted, classes = probabilities.argmax(1), probabilities.shape[1]
  right, there = (np.bincount(of_class, minlength=classes) for of_class in (labels[predicted == labels], labels))
  defective, called = labels > 0, 1 - probabilities[:, 0] > 0.5
  both, either = np.sum(defective & called), np.sum(defective) + np.sum(called)
  return {'accuracy': float(right.sum() / len(labels)),
          'balanced_accuracy': float(np.mean(right[there > 0] / there[there > 0])),
          'f1': float(2 * both / either) if either else 0.,
          'auroc': auroc(defective, 1 - probabilities[:, 0])}


def auroc(defective: Bool[np.ndarray, 'n'], scores: Float[np.ndarray, 'n']) -> float | None:
  """Chance that a defective photo scores higher than a good one (Mann and Whitney 1947); None where either is missing.

  Ties count half. By ranks, since scikit-learn's takes 4.7 s for 1,000 bootstraps of 600 photos.
  """
  count = int(defective.sum())
  if not 0 < count < len(defective):
    return None
  return float((stats.rankdata(scores)[defective].sum() - count * (count + 1) / 2) / (count * (len(defective) - count)))


def resamples(labels: Labels, seed: int, groups: Sequence[str] | None = None, count: int = BOOTSTRAPS
              ) -> Iterator[Int[np.ndarray, 'm']]:
  """Yields indices of bootstraps: whole groups (each photo's workpiece; None: each its own), drawn with replacement.

  Photos of one workpiece are alike: drawn one by one they would make intervals too narrow. Groups that hold the same
  classes are drawn among themselves, as many as there are, so that no resample lacks a class.
  """
  rng, kinds = np.random.default_rng(seed), {}
  _, group_of = np.unique(np.arange(len(labels)) if groups is None else np.asarray(groups), return_inverse=True)
  for rows in np.split(np.argsort(group_of, kind='stable'), np.cumsum(np.bincount(group_of))[:-1]):
    kinds.setdefault(tuple(np.unique(labels[rows])), []).append(rows)
  strata = [kinds[kind] for kind in sorted(kinds)]
  for _ in range(count):
    yield np.concatenate([groups_of[number] for groups_of in strata
                          for number in rng.choice(len(groups_of), len(groups_of))])


def temperature(logits: Float[np.ndarray, 'n k'], labels: Labels) -> float:
  """What logits are divided by so that probabilities fit held-out photos best (Guo et al. 2017, section 4.2), 0.05 to
  20. Each class counts the same, as in training, so that the probabilities are those for equally frequent classes."""
  labels, logits = np.asarray(labels), np.asarray(logits, float)
  share = balanced_weights(labels)
  best = optimize.minimize_scalar(lambda log: log_loss(logits / np.exp(log), labels, share),
                                  bounds=(np.log(0.05), np.log(20.)), method='bounded')
  return float(np.exp(best.x))


def balanced_weights(labels: Labels) -> Float[np.ndarray, 'n']:
  """Each photo's share of a mean in which every class that is there counts the same."""
  _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
  return 1 / (counts[inverse] * len(counts))


def log_loss(logits: Float[np.ndarray, 'n k'], labels: Labels, weights: Float[np.ndarray, 'n']) -> float:
  """Weighted mean of losses.cross_entropy, in float64."""
  return float(-np.sum(weights * special.log_softmax(logits, 1)[np.arange(len(labels)), labels]))


def calibration_error(labels: Labels, probabilities: Float[np.ndarray, 'n k'], prior: Float[np.ndarray, 'k']) -> float:
  """Expected calibration error: |confidence - accuracy|, averaged over ten equal bins of confidence (Guo et al. 2017,
  equation 3). Photos count by `prior`, how frequent classes are, since the tested ones may be of another mix."""
  weights = np.asarray(prior)[labels] / np.bincount(labels, minlength=len(prior))[labels]
  confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
  bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
  return float(np.abs(np.bincount(bins, weights * (confidence - right))).sum() / weights.sum())
