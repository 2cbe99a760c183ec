"""What is left of a layer when its positions go."""

import flax.linen as nn
import jax.numpy as jnp


def means_and_maxima(x):
  """Means, then maxima over all positions: `[B, H, W, C]` to `[B, 2 C]`.

  The maxima are there for defects that are small beside the image.
  """
  # Not x.max: its gradient looks for values equal to the maximum, and where a compiler rounds one of both otherwise
  # there are none, so that it is 0 / 0.
  return jnp.concatenate([x.mean((1, 2)), nn.max_pool(x, x.shape[1:3])[:, 0, 0]], -1)
