"""Normalization: of inputs by a training set's constants, and GroupNorm by channels, which is fast on CPUs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float


class Normalizer(NamedTuple):
  """Constants of a training set's inputs: mean and std, float32, of shapes that broadcast to an input's."""
  mean: Float[Array, '...']
  std: Float[Array, '...']

  def __call__(self, inputs: Float[Array, 'b ...']) -> Float[Array, 'b ...']:
    return (inputs - self.mean) / self.std

  def inverse(self, normalized: Float[Array, 'b ...']) -> Float[Array, 'b ...']:
    """Inputs whose normalized values are given."""
    return self.mean + self.std * normalized


def by_channel(call: Callable[..., Any], arguments: Sequence[Array], keywords: Mapping[str, Any],
               context: nn.module.InterceptorContext) -> Any:
  """A GroupNorm of images `[B, H, W, C]` as one factor and one summand per channel, the same but for rounding.

  For flax.linen.intercept_methods. Flax sums over all of a group's axes at once, which takes two to five times as
  long; here means are taken over each channel, and only then over those of a group.
  """
  module = context.module
  plain = (context.method_name == '__call__' and isinstance(module, nn.GroupNorm) and module.num_groups
           and module.use_scale and module.use_bias and module.reduction_axes is None and module.axis_name is None
           and not keywords and not module.is_initializing())
  if not plain or arguments[0].ndim != 4:
    return call(*arguments, **keywords)
  x, of = jnp.asarray(arguments[0], jnp.float32), module.variables['params']
  count, _, _, channels = x.shape

  def of_group(values):  # [B, C]
    return jnp.repeat(values.reshape(count, module.num_groups, -1).mean(-1), channels // module.num_groups, -1)

  mean = of_group(x.mean((1, 2)))
  variance = jnp.maximum(of_group(jnp.square(x).mean((1, 2))) - jnp.square(mean), 0)
  factor = of['scale'] * jax.lax.rsqrt(variance + module.epsilon)
  y = x * factor[:, None, None] + (of['bias'] - mean * factor)[:, None, None]
  return y.astype(module.dtype or arguments[0].dtype)
