"""The threshold from good photos, and the false-alarm rate that it promises."""

import numpy as np
import pytest
from scipy import stats

from defect_jax.detectors import threshold


def test_by_hand_for_nineteen_photos():
  found = threshold.from_good(np.arange(19.), 0.9, 'photos')
  # k = 18 of 19: one in twenty parts lies above the 18th, and one more above the 19th.
  assert found.value == 17. and found.false_alarm_rate == pytest.approx(2 / 20)
  assert found.source == 'quantile 0.9 of 19 photos'


def test_too_few_photos_for_the_quantile_are_told():
  found = threshold.from_good([3., 1., 2.], 0.95, 'photos')
  assert found.value == 3. and found.false_alarm_rate == 1 / 4 and 'too few' in found.source


def test_the_interval_holds_the_true_rate_in_95_of_100_cases():
  rng, inside, rates = np.random.default_rng(0), 0, []
  for _ in range(2000):
    found = threshold.from_good(rng.random(50), 0.9, 'photos')
    true = 1 - found.value  # scores are uniform
    low, high = found.false_alarm_ci
    inside, rates = inside + (low <= true <= high), [*rates, true]
  assert inside / 2000 == pytest.approx(0.95, abs=0.015)
  assert np.mean(rates) == pytest.approx(found.false_alarm_rate, abs=0.003)


def test_a_threshold_of_ones_own_is_measured_on_good_photos():
  found = threshold.by_hand(0.5, [0.1, 0.2, 0.9, 0.4])
  assert (found.value, found.source, found.false_alarm_rate) == (0.5, 'set by hand', 0.25)
  # Clopper and Pearson 1934 for 1 of 4.
  assert found.false_alarm_ci == pytest.approx((0.0063, 0.8059), abs=1e-4)
  assert threshold.by_hand(0.5, []).false_alarm_rate is None


def test_photos_of_groups_count_as_fewer():
  rng = np.random.default_rng(0)
  groups = np.repeat(np.arange(20), 10)
  alone = rng.random(200)
  assert threshold.effective_count(alone, np.arange(200), 0.9) == 200
  assert threshold.effective_count(alone, np.zeros(200), 0.9) == 1
  # Ten photos of a group say as much as one: 20, by Student's t with 19 degrees for 199 (1.972 / 2.093)^2 of that.
  same = np.repeat(alone[:20], 10) + 1e-6 * rng.random(200)
  assert threshold.effective_count(same, groups, 0.9) == pytest.approx(20 * 0.8877, rel=0.1)
  # Independent ones of groups are about as many as they are.
  assert threshold.effective_count(alone, groups, 0.9) > 100


def test_the_design_effect_by_hand():
  # 4 groups of 5, of which one has all 4 that are above: shares 0.8, 0, 0, 0 of a mean of 0.2.
  scores = np.array([0.9, 0.8, 0.7, 0.6] + [0.1 + 0.001 * number for number in range(16)])
  groups = np.repeat([0, 1, 2, 3], 5)
  # Variance of the mean 4/3 (3^2 + 3 * 1^2) / 400 = 0.04, of 20 independent ones 0.2 * 0.8 / 20 = 0.008: 4 count.
  # The other estimate is higher; (t of 19 degrees / t of 3)^2 = (2.0930 / 3.1824)^2 = 0.4325.
  assert threshold.effective_count(scores, groups, 0.5) == pytest.approx(4 * 0.4325, abs=2e-3)


def test_the_interval_of_grouped_photos_is_wider_and_holds_the_true_rate():
  rng, groups, inside, naive = np.random.default_rng(0), np.repeat(np.arange(11), 38), 0, 0
  for _ in range(300):
    scores = np.sqrt(0.5) * rng.normal(size=11)[groups] + np.sqrt(0.5) * rng.normal(size=418)
    found = threshold.from_good(scores, 0.95, 'photos', groups)
    true = stats.norm.sf(found.value)
    (low, high), (low_alone, high_alone) = found.false_alarm_ci, threshold.from_good(scores, 0.95, '').false_alarm_ci
    inside, naive = inside + (low <= true <= high), naive + (low_alone <= true <= high_alone)
  assert inside / 300 > 0.9 and naive / 300 < 0.6
  assert found.source == 'quantile 0.95 of 418 photos, of 11 groups'


def test_groups_of_one_change_nothing():
  scores = np.random.default_rng(0).random(40)
  assert threshold.from_good(scores, 0.9, 'x', list(range(40))) == threshold.from_good(scores, 0.9, 'x')
  assert threshold.by_hand(0.5, scores, list(range(40))) == threshold.by_hand(0.5, scores)


def test_the_share_above_is_that_of_clopper_and_pearson():
  scores = np.arange(30.)
  for value in (-1., 5.5, 28.5, 29.5):
    found = stats.binomtest(int(np.sum(scores > value)), 30)
    rate, interval = threshold.share_above(value, scores)
    assert rate == found.k / 30 and interval == pytest.approx(tuple(found.proportion_ci(0.95)))
