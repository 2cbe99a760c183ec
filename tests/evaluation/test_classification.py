"""Figures of classifiers against scikit-learn and values worked out by hand."""

import numpy as np
import pytest
from sklearn import metrics

from defect_jax.evaluation import classification

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 200)
LOGITS = RNG.normal(size=(200, 3)) + 1.2 * np.eye(3)[LABELS]
CHANCES = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)


def test_figures_are_those_of_scikit_learn():
  found = classification.measure(LABELS, CHANCES)
  predicted, defective = CHANCES.argmax(1), LABELS > 0
  assert found['accuracy'] == pytest.approx(metrics.accuracy_score(LABELS, predicted))
  assert found['balanced_accuracy'] == pytest.approx(metrics.balanced_accuracy_score(LABELS, predicted))
  assert found['f1'] == pytest.approx(metrics.f1_score(defective, CHANCES[:, 0] < 0.5))
  assert found['auroc'] == pytest.approx(metrics.roc_auc_score(defective, 1 - CHANCES[:, 0]))
  assert found['confusion'] == metrics.confusion_matrix(LABELS, predicted).tolist()
  for name in classification.NAMES:
    low, high = found['ci'][name]
    assert low < found[name] < high


def test_by_hand():
  # Good: 3 of 4 right. Defective: 1 of 2 found. F1: 2 * 1 / (2 found or called + 2 defective).
  labels = np.array([0, 0, 0, 0, 1, 1])
  scores = np.array([0.1, 0.2, 0.6, 0.3, 0.9, 0.3])
  found = classification.figures(labels, np.stack([1 - scores, scores], 1))
  assert found['accuracy'] == pytest.approx(4 / 6) and found['balanced_accuracy'] == pytest.approx(5 / 8)
  assert found['f1'] == 0.5
  # Pairs: 0.9 beats all 4; 0.3 beats 2, ties with 1, loses to 1.
  assert found['auroc'] == pytest.approx(6.5 / 8)


def test_without_defective_photos_there_is_no_auroc():
  found = classification.measure(np.zeros(5, int), np.full((5, 2), 0.5))
  assert found['auroc'] is None and found['ci']['auroc'] is None and found['accuracy'] == 1


def test_resamples_keep_every_class():
  labels = np.array([0] * 30 + [1] * 2)
  for rows in classification.resamples(labels, 0, count=50):
    assert np.sum(labels[rows] == 1) == 2 and len(rows) == 32


def test_of_a_workpiece_all_photos_are_drawn_or_none():
  labels, groups = np.array([0, 0, 0, 0, 1, 1, 1, 0]), ['a', 'b', 'a', 'b', 'c', 'c', 'd', 'd']
  mates = [(0, 2), (1, 3), (4, 5), (6, 7)]  # a and b are good, c has a defect, d shows both
  seen = set()
  for rows in classification.resamples(labels, 0, groups, 50):
    counts = np.bincount(rows, minlength=8)
    assert all(counts[one] == counts[other] for one, other in mates)
    assert counts[0] + counts[1] == 2 and counts[4] == counts[6] == 1
    seen.add(int(counts[0]))
  assert seen == {0, 1, 2}


def test_copies_of_each_photo_leave_the_interval_as_it_is():
  def interval(groups):
    return classification.measure(np.repeat(LABELS, 6), np.repeat(CHANCES, 6, 0), 0, groups)['ci']['accuracy']
  low, high = classification.measure(LABELS, CHANCES)['ci']['accuracy']
  assert interval(np.repeat(np.arange(200), 6)) == (low, high)
  narrow = interval(None)
  assert low < narrow[0] and narrow[1] < high


def test_temperature_undoes_what_logits_were_multiplied_by():
  rng = np.random.default_rng(1)
  logits = rng.normal(size=(20000, 2)) * 2
  labels = (rng.uniform(size=20000) < 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))).astype(int)
  # Drawn by these very logits: they are right as they are.
  assert classification.temperature(logits, labels) == pytest.approx(1, abs=0.05)
  assert classification.temperature(3 * logits, labels) == pytest.approx(3, rel=0.05)


def test_each_class_counts_the_same():
  weights = classification.balanced_weights(np.array([0, 0, 0, 2]))
  assert weights.tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])
  logits = np.log([[0.5, 0.5], [0.25, 0.75]])
  assert classification.log_loss(logits, np.array([0, 1]), np.array([0.5, 0.5])) == pytest.approx(
      -(np.log(0.5) + np.log(0.75)) / 2)


def test_calibration_error_by_hand():
  # Sure to 0.9 and right in 1 of 2; sure to 0.6 and right in 1 of 2: gaps 0.4 and 0.1, half of the photos each.
  chances = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
  labels = np.array([0, 1, 1, 0])
  assert classification.calibration_error(labels, chances, [0.5, 0.5]) == pytest.approx(0.25)
  # Of good photos four times as many: right in 4 of 5 where sure to 0.9, in 1 of 5 where sure to 0.6.
  assert classification.calibration_error(labels, chances, [0.8, 0.2]) == pytest.approx((0.1 + 0.4) / 2)


def test_the_mix_of_tested_photos_is_no_calibration_error():
  # Of x drawn from N(0, 1) or N(0, 4^2): right for classes alike, though nine tenths of the tested photos are good.
  rng = np.random.default_rng(2)
  labels = (rng.uniform(size=200000) < 0.1).astype(int)
  x = rng.normal(size=labels.shape) * (1 + 3 * labels)
  odds = np.exp(x ** 2 / 2 * (1 - 1 / 16)) / 4
  chances = np.stack([1 / (1 + odds), odds / (1 + odds)], 1)
  assert classification.calibration_error(labels, chances, [0.5, 0.5]) < 0.01
  assert classification.calibration_error(labels, chances, [0.9, 0.1]) > 0.05
