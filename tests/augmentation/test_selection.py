"""Selection by hand."""

import types

import numpy as np
import pytest
from sklearn import linear_model

from defect_jax.augmentation import selection


def test_sharpness_by_hand():
  ramp = np.tile(np.array([0., 0.1, 0.2])[:, None, None], (1, 4, 1))[None]  # 0.1 a row, 0 along the columns
  assert selection.sharpness(ramp) == pytest.approx([0.05])
  board = np.indices((4, 4)).sum(0)[None, ..., None] % 2
  assert selection.sharpness(board) == pytest.approx([1.])
  assert selection.sharpness(np.full((2, 3, 3, 1), 0.7)).tolist() == [0, 0]


def test_of_new_candidates_the_one_as_sharp_as_the_photos_is_kept():
  distance = np.array([[0.05, 0.2, 0.3], [0.2, 0.2, 0.2], [0.01, 0.05, 0.03]])
  sharp = np.array([[1.0, 0.5, 1.5], [0.6, 1.5, 3.0], [1.0, 0.2, 1.0]])
  chosen, records = selection.choose(distance, sharp, least=0.1, typical=1.0)
  # Row 0: the first is a copy; |log 1.5| < |log 0.5|. Row 1: |log 1.5| < |log 0.6|. Row 2: all are copies.
  assert chosen.tolist() == [2, 1, 1]
  assert [record['new'] for record in records] == [True, True, False]
  assert records[0] == {'candidates': 3, 'kept': 2, 'new': True, 'lpips_to_nearest': 0.3, 'least_lpips': 0.1,
                        'sharpness_of_photos': 1.5}


def test_a_made_defect_is_kept_that_reads_as_asked_and_is_no_artefact():
  # On a line: dents at 0, 1, 2, 3, good ones at 10, 11, 12; the nearest of its kind is 1 away from each.
  real = np.float32([[0], [1], [2], [3], [10], [11], [12]])
  labels = ['dent'] * 4 + ['good'] * 3
  reading = selection.DefectFilter(real, labels, range(7), quantile=1.0)
  candidates = np.float32([[[2.5], [-0.9], [-5]], [[11], [4.5], [30]], [[11], [8], [30]]])
  chosen, records = reading.choose(candidates, ['dent'] * 3)
  # Image 0: farther left is more of a dent, but -5 is 5 away from the nearest. Images 1 and 2: all are farther than 1
  # away; 4.5 is on the dents' side, 8 on that of the good ones.
  assert chosen.tolist() == [1, 1, 1]
  scaled = (real - real.mean()) / real.std()
  alone = linear_model.LogisticRegression(C=0.01, class_weight='balanced').fit(scaled, labels)
  probability = alone.predict_proba([[(-0.9 - real.mean()) / real.std()]])[0, 0]
  assert records[0] == {'candidates': 3, 'kept': 1, 'passed': 2, 'reads_as': 'dent', 'artefact': False,
                        'probability': pytest.approx(probability, abs=1e-4),
                        'distance': pytest.approx(0.9, abs=1e-3), 'most': 1.0}
  assert [(record['passed'], record['reads_as'], record['artefact']) for record in records[1:]] == [
    (0, 'dent', True), (0, 'good', True)]


def test_one_that_passes_is_kept_though_another_is_surer(monkeypatch):
  real = np.float32([[0], [1], [10], [11], [20], [21]])
  reading = selection.DefectFilter(real, ['dent'] * 2 + ['good'] * 2 + ['spot'] * 2, range(6), quantile=1.0)
  chances = np.array([[0.45, 0.55, 0.0], [0.4, 0.3, 0.3]])  # of dent, good, spot: the first reads as good
  monkeypatch.setattr(reading, '_classifier', types.SimpleNamespace(classes_=np.array(['dent', 'good', 'spot']),
                                                                predict_proba=lambda features: chances))
  chosen, (record,) = reading.choose(np.float32([[[0.5], [0.6]]]), ['dent'])
  assert (chosen.tolist(), record['passed'], record['reads_as']) == ([1], 1, 'dent')


def test_real_ones_are_compared_with_those_of_other_groups():
  # Dents: two groups of photos that are 1 apart, 6 between them; good ones of a single group are 1 apart.
  real = np.float32([[0], [1], [7], [8], [20], [21]])
  reading = selection.DefectFilter(real, ['dent'] * 4 + ['good'] * 2, [0, 0, 1, 1, 2, 2], quantile=1.0)
  _, records = reading.choose(np.float32([[[-6]], [[-8]], [[21.5]], [[23]]]), ['dent', 'dent', 'good', 'good'])
  assert [record['most'] for record in records] == [7, 7, 1, 1]
  assert [record['artefact'] for record in records] == [False, True, False, True]
