"""Scores of photos of any size: figures of their anomaly maps, which are made tile by tile."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Self

import numpy as np
from jaxtyping import Float

from defect_jax import detectors, parallel
from defect_jax.data import tiles
from defect_jax.data.samples import Sample
from defect_jax.detectors import residuals
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
  sample: Sample
  maps: Mapping[str, Float[np.ndarray, 'h w']]
  scores: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Scorer:
  """Gives photos their scores.

  Attributes:
    maps_of: see base.maps_function. chunk: tiles per call of it, of many small photos or of one large.
    smooth: px, sigma of the Gaussian that maps are blurred with. top: share of the pixels for the reduction `top`.
  """
  maps_of: Callable[[Tiles], Maps]
  tiling: tiles.Tiling
  chunk: int
  scores: Sequence[Score]
  smooth: float
  top: float

  def __call__(self, photos: Iterable[Sample]) -> Iterator[Scored]:
    """Scored of every photo, in order; all can be used."""
    cut = self._cut(photos)
    while batch := list(itertools.islice(cut, self.chunk)):
      of_tiles = parallel.in_chunks(self.maps_of, np.stack([tile for *_, tile in batch]), self.chunk)
      for row, (sample, blend, start, is_last, _) in enumerate(batch):
        blend.add(start, {name: values[row] for name, values in of_tiles.items()})
        if is_last:
          maps = {name: residuals.smooth(values, self.smooth) for name, values in blend.maps().items()}
          yield Scored(sample, maps, {score.name: residuals.reduce(maps[score.map], score.reduction, self.top)
                                      for score in self.scores})

  def _cut(self, photos):
    """Yields each tile: (photo, where its maps are put together, corner, whether it is the photo's last, tile)."""
    for sample in photos:
      starts = self.tiling.starts(sample.image.shape)
      blend = tiles.Blend(self.tiling.geometry.size, sample.image.shape[:2])
      for start in starts:
        yield sample, blend, start, start == starts[-1], self.tiling.cut(sample.image, start)
