"""Paired differences: zero for equals, the right sign and verdict for others."""

import numpy as np
import pytest

from defect_jax.evaluation import paired

LABELS = np.array([0] * 60 + [1] * 40)


def chances(accuracy, seed):
  """Probabilities that are right in about so many cases."""
  right = np.random.default_rng(seed).uniform(size=100) < accuracy
  score = np.where(right == (LABELS > 0), 0.9, 0.1)
  return np.stack([1 - score, score], 1)


def test_equals_differ_by_exactly_nothing():
  ours = [chances(0.7, seed) for seed in range(3)]
  for of in paired.differences(LABELS, ours, ours).values():
    assert (of.mean, of.interval, of.verdict) == (0, (0, 0), 'no difference shown')


def test_the_better_side_is_called_so_from_both_sides():
  good, poor = ([chances(accuracy, seed) for seed in range(4)] for accuracy in (0.95, 0.6))
  there, back = paired.differences(LABELS, good, poor), paired.differences(LABELS, poor, good)
  of = there['balanced_accuracy']
  assert of.verdict == 'better' and back['balanced_accuracy'].verdict == 'worse'
  assert of.mean == pytest.approx(np.mean(of.by_seed)) and of.interval[0] < of.mean < of.interval[1]
  assert back['balanced_accuracy'].interval == pytest.approx([-side for side in reversed(of.interval)])


def test_an_advantage_of_one_seed_is_not_one_of_the_method():
  # Seeds are drawn too: without the one lucky seed nothing is left.
  poor = [chances(0.6, 0)] * 3
  assert paired.differences(LABELS, [chances(0.95, 1), *poor[1:]], poor)['accuracy'].verdict == 'no difference shown'


def test_both_sides_need_the_same_seeds():
  with pytest.raises(ValueError, match='2 and 1 seeds'):
    paired.differences(LABELS, [chances(0.7, 0)] * 2, [chances(0.7, 0)])


def test_many_photos_of_a_workpiece_make_no_difference_surer():
  good, poor = ([chances(accuracy, seed) for seed in range(4)] for accuracy in (0.95, 0.6))
  once = paired.differences(LABELS, good, poor)
  six = paired.differences(np.repeat(LABELS, 6), np.repeat(good, 6, 1), np.repeat(poor, 6, 1),
                           groups=np.repeat(np.arange(100), 6))
  assert six['accuracy'].interval == pytest.approx(once['accuracy'].interval)
