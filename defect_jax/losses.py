"""Formulas of the losses, one value an example; whoever calls reduces."""

import jax
import jax.numpy as jnp


def kld(mean, logvar):
  """KL(N(mean, exp(logvar)) || N(0, 1)) in nats: `[B, Z]` twice to `[B]` (Kingma and Welling 2014, appendix B)."""
  return jnp.sum(kld_by_dimension(mean, logvar), axis=-1)


def kld_by_dimension(mean, logvar):
  """`kld` before its sum over the latent dimensions: `[B, Z]` twice to `[B, Z]`, nats."""
  _same(mean, logvar)
  return 0.5 * (jnp.exp(logvar) + jnp.square(mean) - 1 - logvar)


def mse(recon, image):
  """Squared error, mean over pixels and channels: `[B, H, W, C]` twice to `[B]`."""
  _same(recon, image)
  return jnp.mean(jnp.square(recon - image), axis=(1, 2, 3))


def elbo(kld, mse, beta, pixels):
  """Negative evidence lower bound of a Gaussian decoder of variance 1, up to a constant.

  Args:
    kld, mse: `[B]`. beta: weight of the KLD (Higgins et al. 2017). pixels: values an image, H * W * C.

  Returns `[B]` in nats: half the summed squared error plus beta times the KLD.
  """
  _same(kld, mse)
  return 0.5 * pixels * mse + beta * kld


def cross_entropy(logits, labels):
  """Minus the logarithm of the softmax probability of the right class, nats.

  Args:
    logits: `[B, K]`. labels: int `[B]`, each below K.

  Returns `[B]`.
  """
  return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=-1)[:, 0]


def _same(a, b):
  if a.shape != b.shape:
    raise ValueError(f'shapes differ: {a.shape} and {b.shape}')
