"""Whether one way to train is better than another: differences on the same photos with the same seeds."""

import dataclasses

import numpy as np

from defect_jax.evaluation import classification


@dataclasses.dataclass(frozen=True)
class Difference:
  """Mean difference over the seeds, its 95 % interval (low, high), and the difference of each seed."""
  mean: float
  interval: tuple[float, float]
  by_seed: list

  @property
  def verdict(self):
    """'better', 'worse', or 'no difference shown' where the interval holds 0."""
    low, high = self.interval
    return 'better' if low > 0 else 'worse' if high < 0 else 'no difference shown'


def differences(labels, ours, theirs, seed=0, bootstraps=1000, groups=None):
  """{name: Difference} of classification.NAMES, ours minus theirs.

  Both seeds and photos are drawn again with replacement, at once (a pigeonhole bootstrap, Owen 2007): a result shall
  hold for other draws of the training photos and for other tested ones. Photos are drawn as classification.resamples
  does, the same for both sides and all seeds.

  Args:
    labels: int `[N]`. ours, theirs: `[R, N, K]`, probabilities by R seeds, at least two. seed: of the bootstraps.
    groups: of each photo, as of classification.resamples.
  """
  labels, ours, theirs = np.asarray(labels), np.asarray(ours), np.asarray(theirs)
  if not len(ours) == len(theirs) >= 2:
    raise ValueError(f'{len(ours)} and {len(theirs)} seeds; both sides need the same two or more')
  rng = np.random.default_rng(seed)
  by_seed = _by_seed(labels, ours, theirs, np.arange(len(labels)))
  draws = [_by_seed(labels, ours, theirs, rows)[rng.integers(len(ours), size=len(ours))].mean(0)
           for rows in classification.resamples(labels, seed, groups, bootstraps)]
  low, high = np.quantile(draws, (0.025, 0.975), axis=0)
  return {name: Difference(float(by_seed[:, at].mean()), (float(low[at]), float(high[at])), by_seed[:, at].tolist())
          for at, name in enumerate(classification.NAMES)}


def _by_seed(labels, ours, theirs, rows):
  """Differences `[R, 4]` on some rows."""
  return np.array([[classification.figures(labels[rows], one[rows])[name]
                    - classification.figures(labels[rows], other[rows])[name] for name in classification.NAMES]
                   for one, other in zip(ours, theirs, strict=True)])
