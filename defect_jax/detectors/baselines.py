"""What a VAE has to beat: the mean image, reconstruction by PCA, and nearest neighbours on frozen features."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from sklearn import decomposition

from defect_jax import parallel
from defect_jax.models import features

_CHUNK = 32  # tiles a call of the network


@dataclasses.dataclass(frozen=True)
class Linear:
  """Reconstruction by principal components; with none of them it is the mean image.

  center: `[S, S, C]`. components: `[K, S * S * C]`, orthonormal.
  """
  center: jax.Array
  components: jax.Array

  @classmethod
  def fit(cls, tiles, components, seed=0):
    """Of tiles `[N, S, S, C]`; at most `components`, fewer where there are not as many tiles."""
    center = tiles.mean(0)
    count = min(components, len(tiles) - 1, center.size)
    if count < 1:
      return cls(jnp.asarray(center), jnp.zeros((0, center.size)))
    fitted = decomposition.PCA(count, svd_solver='randomized', random_state=seed).fit(tiles.reshape(len(tiles), -1))
    return cls(jnp.asarray(center), jnp.asarray(fitted.components_, jnp.float32))

  def recon(self, image):
    """`[B, S, S, C]` to the same."""
    away = (image - self.center).reshape(len(image), -1)
    return self.center + ((away @ self.components.T) @ self.components).reshape(image.shape)


@dataclasses.dataclass(frozen=True)
class Neighbours:
  """Distance of each patch to the nearest of a bank of patches of good photos, on frozen VGG16 features.

  PatchCore's idea (Roth et al. 2022), with patches drawn at random instead of its greedy coreset. bank: `[M, 768]`.
  """
  bank: jax.Array

  @classmethod
  def fit(cls, params, tiles, size, seed):
    """A bank of `size` patches of tiles `[N, S, S, C]`, drawn evenly; params: features.load('vgg16')."""
    rng = np.random.default_rng(seed)
    each = -(-size // len(tiles))  # patches a tile
    network, patches = functools.partial(jax.jit(features.patch_features), params), []
    for chunk in parallel.chunks(network, tiles, _CHUNK):
      for of_tile in chunk.reshape(len(chunk), -1, chunk.shape[-1]):
        patches.append(of_tile[rng.choice(len(of_tile), min(each, len(of_tile)), replace=False)])
    return cls(jnp.asarray(rng.permutation(np.concatenate(patches))[:size]))

  def map(self, params, image):
    """Anomaly map `[B, S, S]` of tiles `[B, S, S, C]`."""
    found = features.patch_features(params, image)  # [B, h, w, 768]
    square = (jnp.sum(jnp.square(found), -1, keepdims=True) - 2 * found @ self.bank.T
              + jnp.sum(jnp.square(self.bank), -1))  # [B, h, w, M]
    distance = jnp.sqrt(jnp.maximum(jnp.min(square, -1), 0))
    return jax.image.resize(distance, image.shape[:3], 'bilinear')
