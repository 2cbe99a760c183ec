"""Scores of photos: figures of their anomaly maps."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Self

import numpy as np
from jaxtyping import Float

from defect_jax import detectors
from defect_jax.data import samples
from defect_jax.data.tiles import Tiling
from defect_jax.detectors import residuals, tiling
from defect_jax.detectors.base import Maps, Tiles


@dataclasses.dataclass(frozen=True)
class Score:
  """One figure of a photo: the name of an anomaly map and how the map is reduced."""
  map: str
  reduction: str

  @classmethod
  def of(cls, map_name: str, reduction: str) -> Self:
    """The score of a map; a map with one value per tile has its maximum as its only score."""
    return cls(map_name, 'max' if map_name in detectors.PER_TILE else reduction)

  @property
  def name(self) -> str:
    """The score's name in tables."""
    return f'{self.map}_{self.reduction}' if self.of_pixels else self.map

  @property
  def of_pixels(self) -> bool:
    """Whether the map says something of single pixels."""
    return self.map not in detectors.PER_TILE


def all_scores(maps: Iterable[str]) -> list[Score]:
  """Every score of these maps."""
  return list(dict.fromkeys(Score.of(name, reduction) for name in maps for reduction in detectors.REDUCTIONS))


@dataclasses.dataclass(frozen=True)
class Scored:
  """A photo with its smoothed maps and its scores, by name."""
  sample: samples.Sample
  maps: Mapping[str, Float[np.ndarray, 'h w']]
  scores: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Scorer:
  """Gives photos their scores.

  Attributes:
    maps_of: see base.maps_function. tiling, chunk: see tiling.scan. scores: which to compute.
    smooth: px, sigma of the Gaussian that maps are blurred with. top: share of the pixels for the reduction `top`.
  """
  maps_of: Callable[[Tiles], Maps]
  tiling: Tiling
  chunk: int
  scores: Sequence[Score]
  smooth: float
  top: float

  def __call__(self, photos: Iterable[samples.Sample]) -> Iterator[Scored]:
    """Scored of every photo, in order; all can be used."""
    for sample, maps in tiling.scan(photos, self.tiling, self.maps_of, self.chunk):
      maps = {name: residuals.smooth(values, self.smooth) for name, values in maps.items()}
      yield Scored(sample, maps, {score.name: residuals.reduce(maps[score.map], score.reduction, self.top)
                                  for score in self.scores})
