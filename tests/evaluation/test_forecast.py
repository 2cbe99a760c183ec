"""Forecasts against values worked out by hand and against numerical search."""

import numpy as np
import pytest
from scipy import optimize

from defect_jax.evaluation import forecast


def photos(*amplitudes):
  """8 images of 4 pixels whose covariance has the eigenvalues amplitude^2: columns of a Hadamard matrix."""
  signs = np.array([[(-1) ** bin(row & column).count('1') for column in range(1, 8)] for row in range(8)])
  images = np.zeros((8, 4))
  for pixel, amplitude in enumerate(amplitudes):
    images[:, pixel] = 0.5 + amplitude * signs[:, pixel]
  return images.reshape(8, 2, 2, 1)


def test_by_hand():
  # Eigenvalues 0.16, 0.04, 0.01, 0. A target of 0.01 a pixel is 0.04 in all: level 0.015, 0.015 and 0.01.
  found = forecast.forecast(photos(0.4, 0.2, 0.1), 0.01)
  np.testing.assert_allclose(found.eigenvalues[:4], [0.16, 0.04, 0.01, 0], atol=1e-12)
  assert found.variance == pytest.approx(0.21 / 4)
  assert found.level == pytest.approx(0.015) and found.dimensions == 2
  assert found.rate == pytest.approx(0.5 * (np.log(0.16 / 0.015) + np.log(0.04 / 0.015)))
  assert found.least_kld == pytest.approx(found.rate) and found.log_n == pytest.approx(np.log(8))
  assert [found.kept_by_joint(beta) for beta in (1., 0.1, 0.02, 0.001)] == [0, 1, 2, 3]


def test_a_strict_target_asks_for_no_more_than_log_n():
  found = forecast.forecast(photos(0.4, 0.2, 0.1), 1e-6)
  assert found.dimensions == 3 and found.rate > np.log(8) and found.least_kld == found.log_n


def test_a_target_that_the_mean_image_meets_asks_for_nothing():
  found = forecast.forecast(photos(0.4, 0.2, 0.1), 0.06)
  assert (found.dimensions, found.rate) == (0, 0)


@pytest.mark.parametrize('share', [0.01, 0.1, 0.5, 0.9])
def test_level_against_a_search(share):
  images = np.random.default_rng(0).uniform(size=(12, 5, 5, 1))
  found = forecast.forecast(images, share * np.var(images, axis=0).mean())
  covariance = np.cov(images.reshape(12, -1).T, bias=True)
  eigenvalues = np.linalg.eigvalsh(covariance)
  level = optimize.brentq(lambda s: np.minimum(eigenvalues, s).sum() - share * eigenvalues.sum(), 0, eigenvalues.max())
  assert found.level == pytest.approx(level, rel=1e-6)
  assert found.dimensions == np.sum(eigenvalues > level)


def test_a_kld_target_too_low_is_said():
  found = forecast.forecast(photos(0.4, 0.2, 0.1), 0.01)
  low = ' '.join(forecast.sentences(found, {'kld': 0.5, 'mse': 0.01}, 16, 0.02))
  assert 'a KLD of 0.5 nats is too low' in low and 'keep 2 components' in low
  assert 'can carry' in ' '.join(forecast.sentences(found, {'kld': 2.5, 'mse': 0.01}, 16, 0.02))
