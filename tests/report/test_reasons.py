"""Why a photo was called what it was: the place and size of the peak of its map, worked out by hand."""

import numpy as np
import pytest

from defect_jax.report import reasons


@pytest.mark.parametrize(('top', 'left', 'words'), [
    (1, 2, 'upper left'), (1, 26, 'top'), (1, 50, 'upper right'), (13, 2, 'left'), (13, 26, 'centre'),
    (13, 50, 'right'), (25, 2, 'lower left'), (25, 26, 'bottom'), (25, 50, 'lower right')])
def test_the_place_of_the_peak(top, left, words):
  values = np.full((30, 60), 0.2)
  values[top:top + 3, left:left + 5] = 0.7  # above the middle between 0.2 and 1
  values[top, left] = 1.
  values[top + 3, left] = 0.5  # below it
  assert reasons.place(values) == f'; strongest at the {words}, 5 x 3 of 60 x 30 px'


def test_only_what_hangs_together_with_the_peak_counts():
  values = np.zeros((9, 9))
  values[0, 0], values[1, 1], values[5:9, 5:9] = 1., 0.6, 0.9
  assert reasons.place(values) == '; strongest at the upper left, 2 x 2 of 9 x 9 px'


def test_the_distance_from_the_threshold():
  assert reasons.why(0.84, 0.5) == '0.34 above the threshold'
  assert reasons.why(0.5, 0.5) == '0 below the threshold'  # a photo at the threshold is ok
  assert reasons.why(1.0, 3.5, np.ones((4, 4))) == '2.5 below the threshold'  # a flat map has no place
