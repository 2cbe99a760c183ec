"""Anomaly maps by the difference of tiles and their reconstructions."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from defect_jax import parallel
from defect_jax.detectors import base, residuals
from defect_jax.detectors.base import Maps, Network, Settings, Tiles
from defect_jax.models import features

_CHUNK = 128  # tiles per call
MOST = 2048  # tiles that spread and components come from


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Reconstruction:
  """Maps by a trained network (base.Network); other ways to reconstruct derive from it. MAPS: {name: measure}."""
  MAPS: ClassVar[Mapping[str, str]] = {name: name for name in ('residual', 'normalised', 'ssim', 'lpips', 'kld')}
  NEEDS_NETWORK: ClassVar[bool] = True
  params: Any
  vgg16: Any  # parameters for lpips, None where it is not wanted
  spread: Float[Array, 's s']  # see `spread`
  reconstruct: Callable = dataclasses.field(metadata={'static': True})
  blur: float = dataclasses.field(metadata={'static': True})
  layers: int = dataclasses.field(metadata={'static': True})

  @classmethod
  def fit(cls, good: Tiles, settings: Settings) -> Self:
    good = base.draw(good, MOST, settings.seed)
    network = settings.trained_network()
    return cls.by(network, spread(network, good, settings.blur), settings)

  @classmethod
  def by(cls, network: Network, spread: Float[np.ndarray, 's s'], settings: Settings) -> Self:
    """The detector by a network of that spread."""
    vgg16 = base.vgg16() if settings.features and 'lpips' in cls.MAPS else None
    return cls(network.params, vgg16, jnp.asarray(spread), network.reconstruct, settings.blur, settings.layers)

  def maps(self, tiles: Float[Array, 'n s s c'], names: Sequence[str]) -> Maps:
    recon, kld = self.reconstruct(self.params, tiles)
    measures = {
        'residual': lambda: residuals.absolute(tiles, recon, self.blur),
        'normalised': lambda: residuals.normalised(tiles, recon, self.spread, self.blur),
        'ssim': lambda: residuals.ssim(tiles, recon),
        'lpips': lambda: features.lpips_map(self.vgg16, tiles, jnp.clip(recon, 0, 1), self.layers),
        'kld': lambda: jnp.broadcast_to(kld[:, None, None], tiles.shape[:3])}
    return {name: measures[self.MAPS[name]]() for name in names}

  def state(self) -> dict[str, np.ndarray]:
    return {'spread': np.asarray(self.spread)}

  @classmethod
  def restore(cls, state: Mapping[str, np.ndarray], settings: Settings) -> Self:
    return cls.by(settings.trained_network(), state['spread'], settings)


def spread(network: Network, good: Tiles, blur: float) -> Float[np.ndarray, 's s']:
  """Root of the mean squared residuals.difference of good tiles, float32."""
  difference = jax.jit(lambda params, tiles: residuals.difference(tiles, network.reconstruct(params, tiles)[0], blur))
  total = 0.
  for part in parallel.chunks(lambda tiles: difference(network.params, tiles), good, _CHUNK):
    total += np.sum(np.mean(np.square(part), -1, dtype=np.float64), 0)
  return np.sqrt(total / len(good)).astype(np.float32)
