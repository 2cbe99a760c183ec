"""The losses: formulas with one value per example; whoever calls reduces. LOSSES of defect_jax.registry names them.

A loss of one's own is one small file, named by the config key `plugins`:

  from defect_jax.losses import Loss
  from defect_jax.registry import LOSSES

  LOSSES.add('mae', Loss(needs=('recon', 'image'), value=lambda outputs: ...))
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Outputs = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Loss:
  """A loss by what it is computed from.

  Attributes:
    needs: names of outputs of the model (of a VAE `posterior` and `recon`), of the batch (`image`), or `beta`.
    weight: where the value concerns some examples more than others; None: all alike.
    is_sum: whether it is a weighted sum of losses that are reported themselves: it has no target of its own.
  """
  needs: tuple[str, ...]
  value: Callable[[Outputs], Float[Array, 'b']]
  weight: Callable[[Outputs], Float[Array, 'b']] | None = None
  is_sum: bool = False


def kld(mean: Float[Array, 'b z'], logvar: Float[Array, 'b z']) -> Float[Array, 'b']:
  """KL(N(mean, exp(logvar)) || N(0, 1)) in nats (Kingma and Welling 2014, appendix B)."""
  return jnp.sum(kld_by_dimension(mean, logvar), axis=-1)


def kld_by_dimension(mean: Float[Array, 'b z'], logvar: Float[Array, 'b z']) -> Float[Array, 'b z']:
  """`kld` before its sum over the latent dimensions."""
  _same(mean, logvar)
  return 0.5 * (jnp.exp(logvar) + jnp.square(mean) - 1 - logvar)


def mse(recon: Float[Array, 'b h w c'], image: Float[Array, 'b h w c']) -> Float[Array, 'b']:
  """Squared error, mean over pixels and channels."""
  _same(recon, image)
  return jnp.mean(jnp.square(recon - image), axis=(1, 2, 3))


def elbo(kld: Float[Array, 'b'], mse: Float[Array, 'b'], beta: float | Array, pixels: int) -> Float[Array, 'b']:
  """Negative evidence lower bound of a Gaussian decoder of variance 1, up to a constant, in nats.

  Half the summed squared error plus beta times the KLD (Higgins et al. 2017). pixels: values per image, H * W * C.
  """
  _same(kld, mse)
  return 0.5 * pixels * mse + beta * kld


def cross_entropy(logits: Float[Array, 'b k'], labels: Int[Array, 'b']) -> Float[Array, 'b']:
  """Minus the logarithm of the softmax probability of the right class, nats."""
  # Not optax's, which rounds otherwise: figures of classifiers would change in the 7th digit.
  return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=-1)[:, 0]


def _same(a: Array, b: Array) -> None:
  if a.shape != b.shape:
    raise ValueError(f'shapes differ: {a.shape} and {b.shape}')


KLD = Loss(('posterior',), lambda outputs: kld(*outputs['posterior']))
MSE = Loss(('recon', 'image'), lambda outputs: mse(outputs['recon'], outputs['image']))
ELBO = Loss(('posterior', 'recon', 'image', 'beta'), lambda outputs: elbo(
    KLD.value(outputs), MSE.value(outputs), outputs['beta'], outputs['image'][0].size), is_sum=True)
CROSS_ENTROPY = Loss(('logits', 'label'), lambda outputs: cross_entropy(outputs['logits'], outputs['label']))
