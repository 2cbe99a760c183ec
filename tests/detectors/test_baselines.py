"""Baselines: PCA against scikit-learn and its limits, nearest patches against a plain search."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import decomposition

from defect_jax.detectors import baselines
from defect_jax.models import features


@pytest.fixture(scope='module')
def tiles():
  rng = np.random.default_rng(0)
  basis = rng.normal(size=(4, 32 * 32))
  made = 0.5 + 0.01 * rng.normal(size=(30, 4)) @ basis + 0.001 * rng.normal(size=(30, 32 * 32))
  return made.reshape(30, 32, 32, 1).astype(np.float32)


def test_pca_is_scikit_learns(tiles):
  fitted = decomposition.PCA(4, svd_solver='full').fit(tiles.reshape(30, -1))
  expected = fitted.inverse_transform(fitted.transform(tiles.reshape(30, -1))).reshape(tiles.shape)
  np.testing.assert_allclose(baselines.Linear.fit(tiles, 4).recon(tiles), expected, atol=1e-4)


def test_without_components_it_is_the_mean_image_and_with_all_of_them_the_photo(tiles):
  mean = baselines.Linear.fit(tiles, 0).recon(tiles)
  np.testing.assert_allclose(mean, np.broadcast_to(tiles.mean(0), tiles.shape), atol=1e-6)
  np.testing.assert_allclose(baselines.Linear.fit(tiles, 1000).recon(tiles), tiles, atol=1e-4)


def test_neighbours_are_the_nearest_of_the_bank(tiles):
  params = features.load('vgg16')
  found = baselines.Neighbours.fit(params, tiles[:5], 40, seed=0)
  assert found.bank.shape == (40, 768)
  patches = np.asarray(features.patch_features(params, tiles[5:7]))
  expected = np.linalg.norm(patches[:, :, :, None] - np.asarray(found.bank), axis=-1).min(-1)
  enlarged = jax.image.resize(expected, (2, 32, 32), 'bilinear')
  np.testing.assert_allclose(found.map(params, jnp.asarray(tiles[5:7])), enlarged, rtol=0.01)


def test_a_patch_of_the_bank_is_at_no_distance(tiles):
  params = features.load('vgg16')
  bank = np.asarray(features.patch_features(params, tiles[:1])).reshape(-1, 768)
  found = np.asarray(baselines.Neighbours(jnp.asarray(bank)).map(params, jnp.asarray(tiles[:1])))
  assert found.max() < 0.02 * np.linalg.norm(bank, axis=1).mean()
