"""Where an unmarked defect most likely is: what runs along an axis and what good photos show too counts for little."""

import numpy as np

from defect_jax.data import salience


def test_what_runs_along_an_axis_is_not_unusual():
  image = np.full((32, 32, 3), 100, np.uint8)
  image[10] = image[:, 20] = 0
  assert salience.unusual(image).max() == 0
  image[24:28, 4:8] = 30
  found = salience.unusual(image)
  assert found[25, 5] == 70 and found[:20].max() == 0


def test_what_good_photos_show_too_counts_for_little():
  good = np.full((96, 96, 1), 0.5, np.float32)
  good[:12, :12] = 0  # a corner that is cut off
  defective = good.copy()
  defective[60:68, 60:68] = 0.4
  alone, beside = salience.Salience([])(defective), salience.Salience([good, good])(defective)
  assert alone[6, 6] > alone[64, 64]
  assert beside[64, 64] > 2 * beside[6, 6]
  # A pixel of the defect is 0.1 unusual, where good photos are 0, so count as a quarter of their mean.
  usual = 0.25 * salience.unusual(good).mean() + 1e-6
  np.testing.assert_allclose(beside[64, 64], 0.1 / usual, rtol=0.02)


def test_it_has_the_size_of_the_photo():
  photo = np.full((50, 70, 3), 0.5, np.float32)
  photo[20:26, 40:46] = 1
  found = salience.Salience([])(photo)
  assert found.shape == (50, 70)
  row, column = np.unravel_index(found.argmax(), found.shape)
  assert 20 <= row < 26 and 40 <= column < 46 and found.min() >= 0
