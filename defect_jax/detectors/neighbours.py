"""Distance to the nearest of a bank of patches of good tiles, on frozen features."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from defect_jax import parallel
from defect_jax.detectors import base
from defect_jax.detectors.base import Maps, Settings, Tiles
from defect_jax.models import features

_CHUNK = 32  # tiles per call
_MOST = 512  # tiles that patches come from

_patch_features = jax.jit(features.patch_features)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Neighbours:
  """PatchCore's idea (Roth et al. 2022) on VGG16, with patches drawn at random instead of its greedy coreset."""
  MAPS: ClassVar[Sequence[str]] = ('knn',)
  NEEDS_NETWORK: ClassVar[bool] = False
  vgg16: Any
  bank: Float[Array, 'm 768']
  squares: Float[Array, 'm']  # squared lengths of the bank's patches

  @classmethod
  def fit(cls, good: Tiles, settings: Settings) -> Self:
    """Takes a bank of `settings.bank` patches, drawn evenly over at most 512 tiles."""
    good, vgg16 = base.draw(good, _MOST, settings.seed), base.vgg16()
    rng, patches = np.random.default_rng(settings.seed), []
    per_tile = -(-settings.bank // len(good))
    for chunk in parallel.chunks(functools.partial(_patch_features, vgg16), good, _CHUNK):
      for of_tile in chunk.reshape(len(chunk), -1, chunk.shape[-1]):
        patches.append(of_tile[rng.choice(len(of_tile), min(per_tile, len(of_tile)), replace=False)])
    return cls.restore({'bank': rng.permutation(np.concatenate(patches))[:settings.bank]}, settings)

  def maps(self, tiles: Float[Array, 'n s s c'], names: Sequence[str]) -> Maps:
    patches = features.patch_features(self.vgg16, tiles)  # [n, h, w, 768]
    # By one matrix product: scipy's cdist takes the photos off the device, and all differences are 768 times as large.
    square = jnp.sum(jnp.square(patches), -1, keepdims=True) - 2 * patches @ self.bank.T + self.squares  # [n, h, w, m]
    distance = jnp.sqrt(jnp.maximum(jnp.min(square, -1), 0))
    return {name: jax.image.resize(distance, tiles.shape[:3], 'bilinear') for name in names}

  def state(self) -> dict[str, np.ndarray]:
    return {'bank': np.asarray(self.bank)}

  @classmethod
  def restore(cls, state: Mapping[str, np.ndarray], settings: Settings) -> Self:
    squares = np.sum(np.square(state['bank']), -1, dtype=np.float64)  # less rounding than in float32
    return cls(base.vgg16(), jnp.asarray(state['bank']), jnp.asarray(squares, jnp.float32))
