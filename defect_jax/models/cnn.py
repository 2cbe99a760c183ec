"""Classifiers: a small residual network from scratch, and a head on frozen features of VGG16.

Both take normalized inputs, (input - mean) / std with the training set's constants. The residual network
is that of He et al. 2016 ("Deep Residual Learning", section 3.3) with GroupNorm (Wu and He 2018), which, unlike
BatchNorm, gives an image the same logits whatever else is in its batch.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from defect_jax.models import normalization, pooling

KINDS = ('resnet', 'vgg16')
_GROUPS = 8


class Block(nn.Module):
  """Two convolutions added to their input."""
  width: int
  stride: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b h2 w2 width']:
    y = nn.Conv(self.width, (3, 3), (self.stride,) * 2, use_bias=False, dtype=self.dtype, name='conv_0')(x)
    y = nn.relu(_norm(self.width, self.dtype, 'norm_0')(y))
    y = nn.Conv(self.width, (3, 3), use_bias=False, dtype=self.dtype, name='conv_1')(y)
    y = _norm(self.width, self.dtype, 'norm_1')(y)
    if x.shape != y.shape:
      x = nn.Conv(self.width, (1, 1), (self.stride,) * 2, use_bias=False, dtype=self.dtype, name='skip')(x)
    return nn.relu(x + y)


class ResNet(nn.Module):
  """Normalized images to features: means and maxima over all positions."""
  widths: tuple[int, ...]
  blocks: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Float[Array, 'b s s c']) -> Float[Array, 'b f']:
    x = nn.Conv(self.widths[0], (3, 3), (2, 2), use_bias=False, dtype=self.dtype, name='stem')(x)
    x = nn.relu(_norm(self.widths[0], self.dtype, 'stem_norm')(x))
    for stage, width in enumerate(self.widths):
      for block in range(self.blocks):
        x = Block(width, 2 if stage and not block else 1, self.dtype, name=f'block_{stage}_{block}')(x)
    return pooling.means_and_maxima(x.astype(jnp.float32))


class Head(nn.Module):
  """Features to logits, by a hidden layer if `hidden` is above 0."""
  classes: int
  hidden: int

  @nn.compact
  def __call__(self, x: Float[Array, 'b f']) -> Float[Array, 'b k']:
    if self.hidden:
      x = nn.relu(nn.Dense(self.hidden, name='hidden')(x))
    # Zeros: a new classifier finds all classes equally likely.
    return nn.Dense(self.classes, kernel_init=nn.initializers.zeros, name='logits')(x)


@dataclasses.dataclass(frozen=True)
class Classifier:
  """A classifier of images (resnet) or of features of them (vgg16), `shape` each.

  widths, blocks: of the residual network, channels by stage and blocks per stage. dropout: share of the head's inputs
  that a training step leaves out. dtype: of the convolutions.
  """
  kind: str
  classes: int
  shape: tuple[int, ...]
  widths: tuple[int, ...] = (16, 32, 64, 128)
  blocks: int = 1
  hidden: int = 0
  dropout: float = 0.
  dtype: str = 'float32'

  def init(self, key: Key[Array, '']) -> dict[str, Any]:
    """Parameters {'head'}, and for resnet 'network'."""
    (for_network, for_head), x = jax.random.split(key), jnp.zeros((1, *self.shape))
    if self.kind != 'resnet':
      return {'head': self._head.init(for_head, x)['params']}
    return {'network': self._network.init(for_network, x)['params'],
            'head': self._head.init(for_head, jnp.zeros((1, 2 * self.widths[-1])))['params']}

  def logits(self, params: Mapping[str, Any], normalizer: normalization.Normalizer, inputs: Float[Array, 'b ...'],
             keys: Key[Array, 'b'] | None = None) -> Float[Array, 'b k']:
    """Logits; `keys`: of a training step's dropout."""
    x = normalizer(inputs)
    if self.kind == 'resnet':
      with nn.intercept_methods(normalization.by_channel):
        x = self._network.apply({'params': params['network']}, x)
    if self.dropout and keys is not None:
      kept = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - self.dropout, x.shape[1:]))(keys)
      x = jnp.where(kept, x / (1 - self.dropout), 0)
    return self._head.apply({'params': params['head']}, x)

  @property
  def _network(self):
    return ResNet(self.widths, self.blocks, jnp.dtype(self.dtype))

  @property
  def _head(self):
    return Head(self.classes, self.hidden)


def _norm(width, dtype, name):
  return nn.GroupNorm(math.gcd(_GROUPS, width), dtype=dtype, name=name)
