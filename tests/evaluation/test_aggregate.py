"""KLD = mutual information + KL(q(z) || p(z)), against numerical integration."""

import numpy as np
import pytest
from scipy import integrate, stats

from defect_jax import losses
from defect_jax.evaluation import aggregate


def integrated(mean, logvar):
  """(mutual information, KL(q || p)) of `[N, 1]` posteriors by quadrature."""
  parts = [stats.norm(m, np.exp(0.5 * v)) for m, v in zip(mean[:, 0], logvar[:, 0], strict=True)]

  def q(z):
    return np.mean([part.pdf(z) for part in parts], axis=0)

  z = np.linspace(-15, 15, 300_001)
  floor = 1e-300
  marginal = integrate.simpson(q(z) * (np.log(q(z) + floor) - stats.norm.logpdf(z)), x=z)
  information = np.mean([integrate.simpson(part.pdf(z) * (part.logpdf(z) - np.log(q(z) + floor)), x=z)
                         for part in parts])
  return information, marginal


@pytest.mark.parametrize('spread', [0.1, 1., 3.])
def test_decomposition_in_one_dimension(spread):
  rng = np.random.default_rng(0)
  mean, logvar = spread * rng.normal(size=(7, 1)), rng.uniform(-3, 0, (7, 1))
  found = aggregate.decomposition(mean, logvar, draws=200_000)
  information, marginal = integrated(mean, logvar)
  assert found['mutual_information'] == pytest.approx(information, abs=0.01)
  assert found['marginal_kl'] == pytest.approx(marginal, abs=0.01)
  assert sum(found.values()) == pytest.approx(float(np.mean(losses.kld(mean, logvar))), rel=1e-5)


def test_decomposition_in_two_dimensions_of_which_one_is_unused():
  rng = np.random.default_rng(1)
  mean, logvar = rng.normal(size=(5, 1)), rng.uniform(-4, -1, (5, 1))
  information, marginal = integrated(mean, logvar)
  unused = np.zeros((5, 1))  # the prior itself
  found = aggregate.decomposition(np.hstack([mean, unused]), np.hstack([logvar, unused]), draws=200_000)
  assert found['mutual_information'] == pytest.approx(information, abs=0.01)
  assert found['marginal_kl'] == pytest.approx(marginal, abs=0.01)


def test_posteriors_far_apart_hold_log_n_and_equal_ones_nothing():
  apart = aggregate.decomposition(100. * np.arange(6)[:, None], np.full((6, 1), -2.))
  assert apart['mutual_information'] == pytest.approx(np.log(6), abs=1e-9)
  equal = aggregate.decomposition(np.full((6, 3), 0.4), np.full((6, 3), -1.))
  assert equal['mutual_information'] == pytest.approx(0, abs=1e-9)
  assert equal['marginal_kl'] == pytest.approx(3 * 0.5 * (np.exp(-1) + 0.16 - 1 + 1), rel=1e-6)
