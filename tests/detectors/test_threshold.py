"""The threshold from good photos, and the false-alarm rate that it promises."""

import numpy as np
import pytest

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
