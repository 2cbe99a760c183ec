"""Reconstruction by PCA against scikit-learn and at its limits, and the maps that are made of it."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import decomposition

from defect_jax.detectors import pca
from defect_jax.detectors.base import Settings, maps_function


def recon(tiles, components):
  network = pca.linear(tiles, components)
  return network.reconstruct(network.params, tiles)[0]


def test_pca_is_scikit_learns(tiles):
  fitted = decomposition.PCA(4, svd_solver='full').fit(tiles.reshape(30, -1))
  expected = fitted.inverse_transform(fitted.transform(tiles.reshape(30, -1))).reshape(tiles.shape)
  np.testing.assert_allclose(recon(tiles, 4), expected, atol=1e-4)


def test_without_components_it_is_the_mean_image_and_with_all_of_them_the_photo(tiles):
  np.testing.assert_allclose(recon(tiles, 0), np.broadcast_to(tiles.mean(0), tiles.shape), atol=1e-6)
  np.testing.assert_allclose(recon(tiles, 1000), tiles, atol=1e-4)


def test_maps_of_the_mean_image_by_hand():
  # Two tiles of 0.4 and 0.6: the mean is 0.5, each is 0.1 away from it everywhere, and so is the spread.
  good = np.stack([np.full((4, 4, 1), value, np.float32) for value in (0.4, 0.6)])
  detector = pca.MeanImage.fit(good, Settings())
  np.testing.assert_allclose(detector.spread, 0.1, rtol=1e-6)
  tile = np.full((1, 4, 4, 1), 0.8, np.float32)
  maps = detector.maps(tile, ['mean_image', 'mean_image_normalised'])
  np.testing.assert_allclose(maps['mean_image'], 0.3, rtol=1e-5)
  np.testing.assert_allclose(maps['mean_image_normalised'], 3., rtol=1e-5)
  assert detector.maps(tile, ['mean_image']).keys() == {'mean_image'}


def test_few_tiles_are_not_known_by_heart(tiles):
  rng = np.random.default_rng(0)
  noise = rng.random((20, 32, 32, 1)).astype(np.float32)
  detector = pca.Pca.fit(noise[:10], Settings(components=32))
  assert detector.params['components'].shape[0] == 5 and detector.spread.mean() > 0.1
  alone = pca.Pca.fit(tiles[:1], Settings(components=32))
  assert np.isfinite(alone.maps(tiles, ['pca_normalised'])['pca_normalised']).all()


@pytest.mark.parametrize('kind', [pca.Pca, pca.MeanImage])
def test_what_is_restored_makes_the_same_maps(tiles, kind):
  settings = Settings(components=3, blur=1.)
  fitted = kind.fit(tiles, settings)
  again = kind.restore(fitted.state(), settings)
  names = tuple(kind.MAPS)
  maps, same = (maps_function([detector], names)(tiles[:5]) for detector in (fitted, again))
  for name in names:
    np.testing.assert_array_equal(maps[name], same[name])


def test_one_program_gives_the_maps_of_several_detectors(tiles):
  settings = Settings(components=2)
  fitted = [kind.fit(tiles, settings) for kind in (pca.Pca, pca.MeanImage)]
  maps = maps_function(fitted, ('mean_image', 'pca'))(jnp.asarray(tiles[:3]))
  assert set(maps) == {'mean_image', 'pca'}
  np.testing.assert_allclose(maps['mean_image'], np.abs(tiles[:3] - tiles.mean(0))[..., 0], atol=1e-6)
  np.testing.assert_allclose(maps['pca'], np.abs(tiles - recon(tiles, 2))[:3, ..., 0], atol=1e-5)
