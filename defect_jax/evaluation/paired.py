"""Whether one way to train is better than another: differences on the same photos with the same seeds."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from defect_jax.evaluation import classification


@dataclasses.dataclass(frozen=True)
class Difference:
  """Mean difference over the seeds, its 95 % interval (low, high), and the difference of each seed."""
  mean: float
  interval: tuple[float, float]
  by_seed: list[float]

  @property
  def verdict(self) -> str:
    """'better', 'worse', or 'no difference shown' where the interval holds 0."""
    low, high = self.interval
    return 'better' if low > 0 else 'worse' if high < 0 else 'no difference shown'


def differences(labels: Int[np.ndarray, 'n'], ours: Float[np.ndarray, 'r n k'], theirs: Float[np.ndarray, 'r n k'],
                seed: int = 0, bootstraps: int = 1000, groups: Sequence[str] | None = None) -> dict[str, Difference]:
  """{name: Difference} of classification.NAMES, ours minus theirs.

  Both seeds and photos are drawn again with replacement, at once (a pigeonhole bootstrap, Owen 2007): a result shall
  hold for other draws of the training photos and for other tested ones. Photos are drawn by classification.resamples
  with their `groups`, the same for both sides and all seeds. ours, theirs: probabilities by two seeds or more.
  """
  labels, ours, theirs = np.asarray(labels), np.asarray(ours), np.asarray(theirs)
  if not len(ours) == len(theirs) >= 2:
    raise ValueError(f'{len(ours)} and {len(theirs)} seeds; both sides need the same two or more')
  rng = np.random.default_rng(seed)
  by_seed = _by_seed(labels, ours, theirs, np.arange(len(labels)))
  draws = [_by_seed(labels, ours, theirs, indices)[rng.integers(len(ours), size=len(ours))].mean(0)
           for indices in classification.resamples(labels, seed, groups, bootstraps)]
  low, high = np.quantile(draws, (0.025, 0.975), axis=0)
  return {name: Difference(float(values.mean()), (float(lower), float(upper)), values.tolist())
          for name, values, lower, upper in zip(classification.NAMES, by_seed.T, low, high, strict=True)}


def _by_seed(labels, ours, theirs, indices):
  """Differences `[R, 4]` on some photos."""
  return np.subtract(*([list(classification.figures(labels[indices], probabilities[indices]).values())
                        for probabilities in side] for side in (ours, theirs)))
