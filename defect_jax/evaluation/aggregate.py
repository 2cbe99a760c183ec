"""The aggregated posterior q(z), the mean of all photos' posteriors: what of the KLD tells photos apart, and what is
only distance from the prior."""

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from defect_jax import losses

_DRAWS = 4096  # samples of z in all, spread evenly over the photos


def decomposition(mean: Float[np.ndarray, 'n z'], logvar: Float[np.ndarray, 'n z'], seed: int = 0,
                  draws: int = _DRAWS) -> dict[str, float]:
  """Mean KLD = mutual information of photo and z + KL(q(z) || p(z)) (Hoffman and Johnson 2016, ELBO surgery, eq. 4).

  In nats. The mutual information, at most log N, is a Monte Carlo mean of log q(z|x) - log q(z), so its error falls
  with the root of `draws` (z in all, at least one per photo); the second term is the exact mean KLD less it.
  """
  mean, logvar = np.float64(mean), np.float64(logvar)
  count, latent = mean.shape
  information = []
  for draw in np.random.default_rng(seed).normal(size=(-(-draws // count), count, latent)):
    z = mean + np.exp(0.5 * logvar) * draw
    under_all = _log_density(z, mean, logvar)  # [N, N]: z of photo i under the posterior of photo j
    information.append(np.diag(under_all) - (logsumexp(under_all, axis=1) - np.log(count)))
  mutual = float(np.mean(information))
  return {'mutual_information': mutual, 'marginal_kl': float(np.mean(losses.kld(mean, logvar))) - mutual}


def _log_density(z, mean, logvar):
  """log N(z_i; mean_j, exp(logvar_j)) up to a constant, `[N, N]`, by matrix products instead of `[N, N, Z]`."""
  precision = np.exp(-logvar)
  square = np.square(z) @ precision.T - 2 * z @ (mean * precision).T + np.sum(np.square(mean) * precision, axis=1)
  return -0.5 * (square + np.sum(logvar, axis=1))
