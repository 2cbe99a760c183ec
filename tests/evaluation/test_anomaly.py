"""AUROC, AUPR, F1 and AUPRO against values worked out by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics

from defect_jax.evaluation import anomaly


def test_image_figures_of_four_photos_by_hand():
  # Good photos score 1 and 3, defective ones 2 and 4: of the four pairs (2, 1), (4, 1), (4, 3) are in order.
  found = anomaly.of_images([False, True, False, True], [1., 2., 3., 4.])
  assert found['image_auroc'] == 0.75
  # Precision at the first defective photo from the top is 1, at the second one 2 of 3.
  assert found['image_aupr'] == pytest.approx((1 + 2 / 3) / 2)
  # All above 1: precision 2 of 3, recall 1.
  assert found['image_f1_max'] == pytest.approx(0.8) and found['f1_max_threshold'] == 2.
  assert anomaly.at_threshold([False, True, False, True], [1., 2., 3., 4.], 2.) == {
      'f1': 0.5, 'false_alarms': 0.5, 'found': 0.5}


def test_image_figures_are_scikit_learns_within_their_intervals():
  rng = np.random.default_rng(1)
  defective = rng.random(300) < 0.4
  scores = rng.normal(size=300) + defective
  found = anomaly.of_images(defective, scores)
  assert found['image_auroc'] == metrics.roc_auc_score(defective, scores)
  assert found['image_aupr'] == metrics.average_precision_score(defective, scores)
  low, high = found['image_auroc_ci']
  assert low < found['image_auroc'] < high
  # Hanley and McNeil 1982, equation 1, with the quantities of an exponential model.
  area, n, m = found['image_auroc'], defective.sum(), (~defective).sum()
  q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
  error = np.sqrt((area * (1 - area) + (n - 1) * (q1 - area**2) + (m - 1) * (q2 - area**2)) / (n * m))
  assert high - low == pytest.approx(2 * 1.96 * error, rel=0.2)


def test_resamples_have_scikit_learns_figures_also_where_scores_are_equal():
  rng = np.random.default_rng(2)
  defective, scores = rng.random(60) < 0.4, rng.integers(0, 12, 60).astype(float)
  kinds = [np.flatnonzero(defective == kind) for kind in (False, True)]
  draws = [np.concatenate([rng.choice(kind, len(kind)) for kind in kinds]) for _ in range(50)]
  auroc, aupr = anomaly._resampled(defective, scores, np.stack([np.bincount(draw, minlength=60) for draw in draws]))
  np.testing.assert_allclose(auroc, [metrics.roc_auc_score(defective[draw], scores[draw]) for draw in draws], 1e-12)
  np.testing.assert_allclose(
      aupr, [metrics.average_precision_score(defective[draw], scores[draw]) for draw in draws], 1e-12)


def test_no_figure_without_both_kinds_of_photos():
  assert set(anomaly.of_images([False] * 3, [1., 2., 3.]).values()) == {None}
  assert anomaly.of_pixels([np.zeros((2, 2), bool)], [np.ones((2, 2))]) == {'pixel_auroc': None, 'aupro': None}
  assert anomaly.of_pixels([], []) == {'pixel_auroc': None, 'aupro': None}


# One photo of 10 sound pixels and two regions: a, of two pixels that touch by a corner, and b, of one.
MASK = np.array([[1, 0, 0, 0],
                 [0, 1, 0, 0],
                 [0, 0, 0, 0],
                 [0, 0, 0, 1]], bool)


def test_aupro_by_hand():
  scores = np.zeros((4, 4))
  scores[0, 0], scores[0, 1], scores[3, 3], scores[1, 1] = 4., 3., 2., 1.
  # From the top: half of a (overlap 1/4); a sound pixel (FPR 1/13); b (overlap 3/4); the other half of a (overlap 1);
  # all others. So 1/4 up to FPR 1/13, then 1.
  area = 0.25 / 13 + (0.3 - 1 / 13) * 1
  assert anomaly.of_pixels([MASK], [scores])['aupro'] == pytest.approx(area / 0.3)


def test_aupro_of_a_perfect_and_of_a_constant_map_by_hand():
  assert anomaly.of_pixels([MASK], [MASK.astype(float)])['aupro'] == pytest.approx(1)
  # One threshold only: a straight line from (0, 0) to (1, 1), below which lies 0.3^2 / 2.
  assert anomaly.of_pixels([MASK], [np.ones((4, 4))])['aupro'] == pytest.approx(0.15)
  assert anomaly.of_pixels([MASK], [1. - MASK])['aupro'] == pytest.approx(0)


def test_pixels_that_touch_by_a_corner_are_one_region():
  scores = np.zeros((4, 4))
  scores[0, 0] = 1.
  # Half of one of two regions is found first, then all pixels at once: a line from (0, 1/4) to (1, 1).
  at_limit = 0.25 + 0.75 * 0.3
  assert anomaly.of_pixels([MASK], [scores])['aupro'] == pytest.approx((0.25 + at_limit) / 2)


def test_a_small_region_counts_as_much_as_a_large_one():
  small, large = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
  small[0, 0], large[5:15, 5:15] = True, True
  only_large = [np.zeros((20, 20)), large.astype(float)]
  # The large region at once, the small one with all sound pixels: a line from (0, 1/2) to (1, 1).
  assert anomaly.of_pixels([small, large], only_large)['aupro'] == pytest.approx((0.5 + 0.65) / 2)
  assert anomaly.of_pixels([small, large], only_large)['pixel_auroc'] > 0.99


def test_aupro_with_one_pixel_regions_is_the_partial_area_under_scikit_learns_roc():
  rng = np.random.default_rng(2)
  mask = np.zeros((40, 40), bool)
  mask[::4, ::4] = True  # no two touch, so that the mean overlap is the share of pixels found
  scores = np.round(rng.normal(size=mask.shape) + mask, 1)  # with ties
  fpr, tpr, _ = metrics.roc_curve(mask.ravel(), scores.ravel(), drop_intermediate=False)
  inside = fpr < 0.3
  partial = np.trapezoid(np.append(tpr[inside], np.interp(0.3, fpr, tpr)), np.append(fpr[inside], 0.3)) / 0.3
  assert anomaly.of_pixels([mask], [scores])['aupro'] == pytest.approx(partial, abs=1e-12)
  assert anomaly.of_pixels([mask], [scores])['pixel_auroc'] == pytest.approx(
      metrics.roc_auc_score(mask.ravel(), scores.ravel()), abs=1e-12)
