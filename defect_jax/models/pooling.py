"""What is left of a layer when its positions go."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float


def means_and_maxima(x: Float[Array, 'b h w c']) -> Float[Array, 'b 2*c']:
  """Means, then maxima over all positions; the maxima are there for defects that are small beside the image."""
  # Not x.max: its gradient looks for values equal to the maximum, and is 0 / 0 if a compiler rounds one of both
  # differently, so that none is equal.
  return jnp.concatenate([x.mean((1, 2)), nn.max_pool(x, x.shape[1:3])[:, 0, 0]], -1)
