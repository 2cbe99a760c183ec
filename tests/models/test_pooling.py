"""What is left of a layer when its positions go."""

import numpy as np

from defect_jax.models import pooling


def test_means_then_maxima():
  x = np.float32([[[[1, -8], [2, -4]], [[3, -2], [6, -2]]]])  # two channels at 2 x 2 positions
  assert np.array_equal(pooling.means_and_maxima(x), [[3, -4, 6, -2]])
