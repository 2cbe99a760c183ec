"""Anomaly maps against formulas by hand and other programs, and their reductions."""

import jax
import numpy as np
import pytest
from scipy import ndimage

from defect_jax.detectors import residuals
from defect_jax.models import features


@pytest.fixture(scope='module')
def pair():
  rng = np.random.default_rng(0)
  image = rng.random((2, 32, 32, 3), np.float32)
  return image, np.clip(image + 0.1 * rng.normal(size=image.shape), 0, 1).astype(np.float32)


def test_absolute_and_normalised_by_hand(pair):
  image, recon = pair
  expected = np.abs(image - recon).sum(-1) / 3
  np.testing.assert_allclose(residuals.absolute(image, recon), expected, rtol=1e-6)
  spread = np.full((32, 32), 0.2, np.float32)
  spread[0, 0] = 0.0  # where good photos never differ, a tenth of the mean spread is taken
  found = residuals.normalised(image, recon, spread)
  np.testing.assert_allclose(found[:, 1:], expected[:, 1:] / 0.2, rtol=1e-5)
  np.testing.assert_allclose(found[:, 0, 0], expected[:, 0, 0] / (0.1 * spread.mean()), rtol=1e-5)


def test_a_blurred_difference_is_what_scipy_makes_of_it(pair):
  image, recon = pair
  expected = ndimage.gaussian_filter(image - recon, (0, 1.5, 1.5, 0), mode='mirror', radius=(0, 5, 5, 0))
  np.testing.assert_allclose(residuals.difference(image, recon, 1.5), expected, atol=1e-6)
  np.testing.assert_allclose(residuals.absolute(image, recon, 1.5), np.abs(expected).mean(-1), atol=1e-6)
  np.testing.assert_array_equal(residuals.difference(image, recon, 0.), image - recon)


def test_ssim_of_a_pixel_is_that_of_the_window_around_it(pair):
  image, recon = (x[:1, ..., :1] for x in pair)
  found = residuals.ssim(image, recon)
  # Wang et al. 2004, equation 13, with Gaussian weights of sigma 1.5 on 11 x 11 px.
  y = np.arange(-5, 6)
  weights = np.exp(-(y[:, None]**2 + y**2) / (2 * 1.5**2))
  weights /= weights.sum()
  a, b = (x[0, 10:21, 15:26, 0].astype(np.float64) for x in (image, recon))
  mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
  var_a, var_b = (weights * a**2).sum() - mean_a**2, (weights * b**2).sum() - mean_b**2
  covariance = (weights * a * b).sum() - mean_a * mean_b
  expected = ((2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4)
              / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4)))
  assert found.shape == (1, 32, 32) and found[0, 15, 20] == pytest.approx(1 - expected, abs=1e-4)
  np.testing.assert_allclose(residuals.ssim(image, image), 0, atol=1e-6)


def test_the_mean_of_the_lpips_map_is_lpips(pair):
  params = features.load('vgg16')
  image, recon = pair
  found = jax.jit(features.lpips_map, static_argnums=3)(params, image, recon, 5)
  np.testing.assert_allclose(np.mean(found, (1, 2)), features.lpips(params, image, recon), rtol=1e-4)
  changed = image.copy()
  changed[:, 4:8, 4:8] = 1 - changed[:, 4:8, 4:8]
  only = features.lpips_map(params, image, changed, 1)  # two convolutions see 2 px further
  assert np.all(only[:, 10:] == 0) and np.all(only[:, 4:8, 4:8].max((1, 2)) > 0)


def test_reductions_by_hand():
  given = np.arange(200.).reshape(10, 20)
  assert residuals.reduce(given, 'mean', 0.01) == 99.5 and residuals.reduce(given, 'max', 0.01) == 199
  assert residuals.reduce(given, 'top', 0.01) == 198.5 and residuals.reduce(given, 'top', 1e-6) == 199
  assert residuals.reduce(given, 'top', 1.0) == 99.5
  # The median is 99.5, and half of the pixels lie within 50 of it.
  assert residuals.reduce(given, 'peak', 0.01) == pytest.approx((198.5 - 99.5) / 50)
  assert residuals.reduce(7 * given + 3, 'peak', 0.01) == pytest.approx(residuals.reduce(given, 'peak', 0.01))


def test_smoothing_keeps_the_mean_and_zero_keeps_everything():
  given = np.random.default_rng(0).random((20, 30), np.float32)
  assert residuals.smooth(given, 0) is given
  assert residuals.smooth(given, 2.).mean() == pytest.approx(given.mean(), rel=1e-3)
  assert residuals.smooth(given, 2.).std() < given.std() / 3
