"""Nearest patches against a plain search."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import distance

from defect_jax.detectors.base import Settings
from defect_jax.detectors.neighbours import Neighbours
from defect_jax.models import features


def test_neighbours_are_the_nearest_of_the_bank(tiles):
  detector = Neighbours.fit(tiles[:5], Settings(bank=40))
  assert detector.bank.shape == (40, 768)
  patches = np.asarray(features.patch_features(features.load('vgg16'), tiles[5:7]))
  expected = distance.cdist(patches.reshape(-1, 768), detector.bank).min(-1).reshape(patches.shape[:3])
  enlarged = jax.image.resize(expected, (2, 32, 32), 'bilinear')
  np.testing.assert_allclose(detector.maps(jnp.asarray(tiles[5:7]), ['knn'])['knn'], enlarged, rtol=0.01)


def test_a_patch_of_the_bank_is_at_no_distance(tiles):
  bank = np.asarray(features.patch_features(features.load('vgg16'), tiles[:1])).reshape(-1, 768)
  detector = Neighbours.restore({'bank': bank}, Settings())
  knn = np.asarray(detector.maps(jnp.asarray(tiles[:1]), ['knn'])['knn'])
  assert knn.max() < 0.02 * np.linalg.norm(bank, axis=1).mean()
  np.testing.assert_array_equal(detector.state()['bank'], bank)
