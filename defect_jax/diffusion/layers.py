"""Layers faster than Flax's and diffusers' own: exact attention of many tokens, and convolutions of tiny images.

diffusers' own memory-efficient attention counts keys twice if their number is no multiple of its slice (16,384): at
1344 px, with 28,224 tokens, it is wrong.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

SCORES = 2**28  # bytes of scores in memory at a time


def attend(query: Float[Array, 'b q h d'], key: Float[Array, 'b k h d'], value: Float[Array, 'b k h d'],
           scores: int = SCORES) -> Float[Array, 'b q h d']:
  """softmax(query key^T / sqrt(d)) value for h heads, in the dtype of `value`; scores and their softmax are float32.

  scores: bytes that they may take at a time. More are computed by slices of the queries, and again in a backward pass.
  """
  batch, queries, heads, features = query.shape
  # Heads beside the batch: the products below are then of matrices that lie in one piece, which CPUs do far faster.
  query, key, value = (x.swapaxes(1, 2).reshape(batch * heads, -1, features) for x in (query, key, value))
  query = query * features**-0.5
  slices = -(-queries // max(1, scores // (batch * heads * key.shape[1] * 4)))  # by the bytes of one query's scores
  if slices == 1:
    result = _attend(query, key, value)
  else:
    length = -(-queries // slices)
    padded = jnp.pad(query, [(0, 0), (0, slices * length - queries), (0, 0)])
    split = padded.reshape(-1, slices, length, features).swapaxes(0, 1)
    result = jax.lax.map(jax.checkpoint(lambda part: _attend(part, key, value)), split)  # [slices, b h, length, d]
    result = result.swapaxes(0, 1).reshape(-1, slices * length, features)[:, :queries]
  return result.reshape(batch, heads, queries, features).swapaxes(1, 2)


def _attend(query, key, value):
  logits = jnp.einsum('bqd,bkd->bqk', query, key, preferred_element_type=jnp.float32)
  # The sum divides the result, not the weights: a pass less over the scores.
  weights = jnp.exp(logits - jax.lax.stop_gradient(jnp.max(logits, -1, keepdims=True)))
  result = jnp.einsum('bqk,bkd->bqd', weights.astype(value.dtype), value, preferred_element_type=jnp.float32)
  return (result / jnp.sum(weights, -1, keepdims=True)).astype(value.dtype)


def by_product(call: Callable[..., Any], arguments: tuple, keywords: dict[str, Any],
               context: nn.module.InterceptorContext) -> Array:
  """Such a 3 x 3 convolution as one matrix product, equal up to rounding (for flax.linen.intercept_methods).

  For images smaller than the kernel, for which XLA on CPUs takes ten times as long.
  """
  module = context.module
  plain = (context.method_name == '__call__' and isinstance(module, nn.Conv) and module.kernel_size == (3, 3)
           and module.padding == ((1, 1), (1, 1)) and module.strides in (1, (1, 1)))
  if not plain or max(arguments[0].shape[1:3]) > 2:
    return call(*arguments, **keywords)
  image, (_, height, width, _) = arguments[0], arguments[0].shape
  padded = jnp.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)))
  shifted = jnp.concatenate([padded[:, top:top + height, left:left + width] for top in range(3) for left in range(3)],
                            -1)
  kernel, bias = (jnp.asarray(module.variables['params'][name], image.dtype) for name in ('kernel', 'bias'))
  return shifted @ kernel.reshape(-1, module.features) + bias
