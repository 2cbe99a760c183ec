"""Losses against hand-worked values and against integrals done numerically."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from defect_jax import losses


def test_kld_by_hand():
  zeros = jnp.zeros((2, 3))
  np.testing.assert_array_equal(losses.kld(zeros, zeros), [0, 0])
  # mean 1, variance 1: half a nat a dimension.
  np.testing.assert_allclose(losses.kld(zeros + 1, zeros), [1.5, 1.5], rtol=1e-7)
  # variance e: (e - 1 - 1) / 2; examples stay apart.
  mean, logvar = jnp.array([[0.], [2.]]), jnp.array([[1.], [0.]])
  np.testing.assert_allclose(losses.kld(mean, logvar), [(np.e - 2) / 2, 2.], rtol=1e-6)


@pytest.mark.parametrize(('mean', 'logvar'), [(0.3, -2.), (-1.7, 0.5), (0., -6.)])
def test_kld_is_the_integral_of_its_definition(mean, logvar):
  q, p = stats.norm(mean, np.exp(logvar / 2)), stats.norm()
  reach = 12 * np.exp(logvar / 2)
  expected, _ = integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), mean - reach, mean + reach)
  assert float(losses.kld(jnp.array([[mean]]), jnp.array([[logvar]]))[0]) == pytest.approx(expected, rel=1e-5)


def test_kld_sums_over_dimensions():
  mean, logvar = np.random.default_rng(0).normal(size=(2, 4, 5)).astype(np.float32)
  by_dimension = [losses.kld(mean[:, [d]], logvar[:, [d]]) for d in range(5)]
  np.testing.assert_allclose(losses.kld(mean, logvar), np.sum(by_dimension, 0), rtol=1e-6)


def test_mse_is_a_mean_over_pixels_and_channels_an_image():
  image = jnp.zeros((3, 2, 2, 3))
  recon = image.at[1].set(0.5).at[2, 0, 0, 0].set(3.)
  np.testing.assert_allclose(losses.mse(recon, image), [0, 0.25, 9 / 12], rtol=1e-7)


def test_elbo_is_the_likelihood_of_a_gaussian_decoder():
  recon, image = np.random.default_rng(1).uniform(size=(2, 2, 3, 3, 1)).astype(np.float32)
  kld = np.array([2., 5.], np.float32)
  constant = 9 * 0.5 * np.log(2 * np.pi)
  negative = -stats.norm(recon, 1).logpdf(image).sum((1, 2, 3)) - constant
  got = losses.elbo(jnp.asarray(kld), losses.mse(recon, image), 0.25, 9)
  np.testing.assert_allclose(got, negative + 0.25 * kld, rtol=1e-5)


def test_under_jit_as_without():
  mean, logvar = np.random.default_rng(2).normal(size=(2, 4, 5)).astype(np.float32)
  np.testing.assert_allclose(jax.jit(losses.kld)(mean, logvar), losses.kld(mean, logvar), rtol=1e-6)


@pytest.mark.parametrize('call', [
  lambda: losses.kld(jnp.zeros((2, 3)), jnp.zeros((2, 1))),
  lambda: losses.kld(jnp.zeros((2, 3)), jnp.zeros(3)),
  lambda: losses.mse(jnp.zeros((2, 4, 4, 3)), jnp.zeros((2, 4, 4, 1))),
  lambda: losses.elbo(jnp.zeros(2), jnp.zeros(1), 1., 4),
])
def test_shapes_that_would_broadcast_are_refused(call):
  with pytest.raises(ValueError, match='shapes differ'):
    call()


def test_cross_entropy_is_minus_the_log_of_the_right_class():
  logits = np.log(np.float32([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]])) + np.float32([[3.], [-2.]])
  np.testing.assert_allclose(losses.cross_entropy(logits, np.array([1, 2])), [np.log(4), -np.log(0.7)], rtol=1e-5)
