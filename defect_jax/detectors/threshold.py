"""A threshold from good photos alone, with the false-alarm rate that it means."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats


@dataclasses.dataclass(frozen=True)
class Threshold:
  """Photos with a score above `value` are called defective."""
  value: float
  source: str  # in words
  false_alarm_rate: float | None  # expected share of good photos above it, None if unknown
  false_alarm_ci: tuple[float, float] | None  # 95 % interval

  def figures(self) -> dict[str, Any]:
    """The keys of a summary."""
    values = dataclasses.asdict(self)
    return {'threshold': values.pop('value'), 'threshold_source': values.pop('source'), **values}


def from_good(scores: Sequence[float], quantile: float, what: str) -> Threshold:
  """The threshold that leaves the share `quantile` of good photos below it.

  It is the k-th smallest of n scores, k = ceil(quantile (n + 1)), at most n. Whatever the distribution of the scores,
  the share of further good photos above it follows Beta(n + 1 - k, k) (order statistics; David and Nagaraja 2003,
  section 2.5): mean (n + 1 - k) / (n + 1). The photos, `what` in words, are ones that nothing was trained on.
  """
  count = len(scores)
  place = min(count, math.ceil(quantile * (count + 1)))
  beta = stats.beta(count + 1 - place, place)
  source = f'quantile {quantile:g} of {count} {what}'
  if place < quantile * (count + 1):
    source += ', the largest of them, since they are too few for that quantile'
  low, high = beta.ppf((0.025, 0.975))
  return Threshold(float(np.sort(scores)[place - 1]), source, float(beta.mean()), (float(low), float(high)))


def by_hand(value: float, scores: Sequence[float]) -> Threshold:
  """A threshold set by a person, with the false-alarm rate on the good photos (interval: Clopper and Pearson's)."""
  if not len(scores):
    return Threshold(value, 'set by hand', None, None)
  test = stats.binomtest(int(np.sum(np.asarray(scores) > value)), len(scores))
  low, high = test.proportion_ci(0.95)
  return Threshold(value, 'set by hand', test.k / test.n, (float(low), float(high)))
