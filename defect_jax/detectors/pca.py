"""Reconstruction by principal components of good tiles, or by none: the mean image."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from sklearn import decomposition

from defect_jax.detectors import base, reconstruction
from defect_jax.detectors.base import Network, Settings, Tiles


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Pca(reconstruction.Reconstruction):
  """Maps by at most `Settings.components` principal components, and half as many as good tiles."""
  MAPS: ClassVar[Mapping[str, str]] = {'pca': 'residual', 'pca_normalised': 'normalised'}
  NEEDS_NETWORK: ClassVar[bool] = False

  @classmethod
  def fit(cls, good: Tiles, settings: Settings) -> Self:
    good = base.draw(good, reconstruction.MOST, settings.seed)
    # With as many as tiles these would be reconstructed exactly, and nothing be known of the spread of others.
    network = linear(good, min(settings.components, len(good) // 2), settings.seed)
    return cls.by(network, reconstruction.spread(network, good, settings.blur), settings)

  def state(self) -> dict[str, np.ndarray]:
    return super().state() | {name: np.asarray(array) for name, array in self.params.items()}

  @classmethod
  def restore(cls, state: Mapping[str, np.ndarray], settings: Settings) -> Self:
    params = {name: jnp.asarray(state[name]) for name in ('center', 'components')}
    return cls.by(Network(params, _reconstruct), state['spread'], settings)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MeanImage(Pca):
  """Maps by no component: the mean image of good tiles in place of a reconstruction."""
  MAPS: ClassVar[Mapping[str, str]] = {'mean_image': 'residual', 'mean_image_normalised': 'normalised'}

  @classmethod
  def fit(cls, good: Tiles, settings: Settings) -> Self:
    return super().fit(good, dataclasses.replace(settings, components=0))


def linear(tiles: Tiles, count: int, seed: int = 0) -> Network:
  """Reconstruction by `center [s, s, c]` and orthonormal `components [k, s * s * c]`.

  There are at most `count` components, and fewer than tiles; with none of them it is the mean image.
  """
  center = tiles.mean(0)
  count = min(count, len(tiles) - 1, center.size)
  components = decomposition.PCA(count, svd_solver='randomized', random_state=seed).fit(tiles.reshape(
      len(tiles), -1)).components_ if count >= 1 else np.zeros((0, center.size))
  return Network({'center': jnp.asarray(center), 'components': jnp.asarray(components, jnp.float32)}, _reconstruct)


def _reconstruct(params: Any, tiles: Float[Array, 'n s s c']) -> tuple[Float[Array, 'n s s c'], None]:
  center, components = params['center'], params['components']
  away = (tiles - center).reshape(len(tiles), -1)
  return center + ((away @ components.T) @ components).reshape(tiles.shape), None
