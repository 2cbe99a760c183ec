"""What a detector is, and one compiled program for the maps of several."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self

import jax
import numpy as np
from jaxtyping import Array, Float

from defect_jax.models import features

Tiles = Float[np.ndarray, 'n s s c']
Maps = Mapping[str, Float[Array, 'n s s']]


@dataclasses.dataclass(frozen=True)
class Network:
  """A trained network: a pure function of params and images to reconstructions and, if it has any, posteriors' KLD."""
  params: Any
  reconstruct: Callable[[Any, Float[Array, 'n s s c']], tuple[Float[Array, 'n s s c'], Float[Array, 'n'] | None]]


@dataclasses.dataclass(frozen=True)
class Settings:
  """What detectors are fitted with."""
  seed: int = 0
  blur: float = 0.  # px, see residuals.difference
  layers: int = 3  # of VGG16, for the map lpips
  components: int = 32  # of a PCA, at most
  bank: int = 4000  # patches of good photos, for the nearest neighbours
  features: bool = False  # whether maps on VGG16's features are wanted
  network: Network | None = None  # for the kinds with NEEDS_NETWORK

  def trained_network(self) -> Network:
    if self.network is None:
      raise ValueError('this detector needs a network')
    return self.network


class Detector(Protocol):
  """Makes anomaly maps of tiles.

  It is a dataclass registered with jax.tree_util.register_dataclass, so a tree of arrays: these are arguments of the
  compiled program, not constants in it.
  """
  MAPS: ClassVar[Sequence[str]]  # names
  NEEDS_NETWORK: ClassVar[bool]  # whether it uses Settings.network

  @classmethod
  def fit(cls, good: Tiles, settings: Settings) -> Self:
    """Fits to tiles of good photos, intensities in [0, 1]."""

  def maps(self, tiles: Float[Array, 'n s s c'], names: Sequence[str]) -> Maps:
    """The maps of these names; pure, used inside jit."""

  def state(self) -> dict[str, np.ndarray]:
    """What `restore` needs beside the settings."""

  @classmethod
  def restore(cls, state: Mapping[str, np.ndarray], settings: Settings) -> Self:
    """The detector with that state."""


def maps_function(detectors: Iterable[Detector], names: Sequence[str]) -> Callable[[Tiles], Maps]:
  """Function of tiles to the maps of these names: one program of all detectors.

  Arrays that detectors share are one argument, so that XLA computes what follows from them (VGG16's features of a
  tile) once.
  """
  leaves, tree = jax.tree.flatten(tuple(detectors))
  shared = {id(leaf): leaf for leaf in leaves}
  places = tuple(list(shared).index(id(leaf)) for leaf in leaves)
  return functools.partial(_program(tree, places, tuple(names)), list(shared.values()))


@functools.lru_cache(maxsize=1)  # what folds fit one after the other is compiled once, if it holds no VAE
def _program(tree, places, names):
  @jax.jit
  def program(arrays, tiles):
    maps = {}
    for detector in jax.tree.unflatten(tree, [arrays[place] for place in places]):
      maps |= detector.maps(tiles, [name for name in names if name in detector.MAPS])
    return maps
  return program


def draw(good: Tiles, most: int, seed: int) -> Tiles:
  """At most so many of the tiles, in their order."""
  return good[np.sort(np.random.default_rng(seed).permutation(len(good))[:most])]


@functools.cache
def vgg16() -> Any:
  """VGG16's parameters on the device, the same arrays for every detector."""
  return jax.device_put(features.load('vgg16'))
