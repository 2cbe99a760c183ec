"""Selection by hand."""

import numpy as np
import pytest

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
