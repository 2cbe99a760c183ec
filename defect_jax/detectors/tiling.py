"""Anomaly maps of images of any size, tile by tile."""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from defect_jax import parallel
from defect_jax.data import tiles
from defect_jax.detectors.base import Maps, Tiles


def scan(images: Iterable[tuple[Any, Float[np.ndarray, 'h w c']]], tiling: tiles.Tiling,
         maps_of: Callable[[Tiles], Maps], chunk: int) -> Iterator[tuple[Any, Mapping[str, Float[np.ndarray, 'h w']]]]:
  """Yields (key, {name: map}) for pairs of key and image, in order.

  maps_of: see base.maps_function. The `chunk` tiles of a call may be those of many small images or some of a large one.
  """
  waiting, batch = collections.deque(), []
  for key, image in images:
    starts = tiling.starts(image.shape)
    waiting.append(_Image(key, tiles.Blend(tiling.geometry.size, image.shape[:2]), len(starts)))
    for start in starts:
      batch.append((waiting[-1], start, tiling.cut(image, start)))
      if len(batch) == chunk:
        _add_maps(batch, maps_of, chunk)
        batch = []
    yield from _finished(waiting)
  if batch:
    _add_maps(batch, maps_of, chunk)
  yield from _finished(waiting)


@dataclasses.dataclass
class _Image:
  """An image whose maps are on their way; missing: tiles without maps."""
  key: Any
  blend: tiles.Blend
  missing: int


def _add_maps(batch, maps_of, chunk):
  maps = parallel.in_chunks(maps_of, np.stack([tile for _, _, tile in batch]), chunk)
  for row, (image, start, _) in enumerate(batch):
    image.blend.add(start, {name: values[row] for name, values in maps.items()})
    image.missing -= 1


def _finished(waiting):
  while waiting and not waiting[0].missing:
    image = waiting.popleft()
    yield image.key, image.blend.maps()
