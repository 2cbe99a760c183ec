"""Convolutions of images smaller than their kernel, which XLA does the other way round, on CPUs ten times slower."""

import jax.numpy as jnp
from flax import linen as nn


def by_product(call, arguments, keywords, context):
  """Such a 3 x 3 convolution as one matrix product, the same but for rounding (flax.linen.intercept_methods)."""
  module = context.module
  plain = (context.method_name == '__call__' and isinstance(module, nn.Conv) and module.kernel_size == (3, 3)
           and module.padding == ((1, 1), (1, 1)) and module.strides in (1, (1, 1)))
  if not plain or max(arguments[0].shape[1:3]) > 2:
    return call(*arguments, **keywords)
  image, (_, height, width, _) = arguments[0], arguments[0].shape
  padded = jnp.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)))
  seen = jnp.concatenate([padded[:, top:top + height, left:left + width] for top in range(3) for left in range(3)], -1)
  of = module.variables['params']
  kernel, bias = (jnp.asarray(of[name], image.dtype) for name in ('kernel', 'bias'))
  return seen @ kernel.reshape(-1, module.features) + bias
