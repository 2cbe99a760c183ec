"""Anomaly maps of photos of any size, tile by tile."""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from jaxtyping import Float

from defect_jax import parallel
from defect_jax.data import tiles
from defect_jax.data.samples import Sample
from defect_jax.detectors.base import Maps, Tiles


def scan(photos: Iterable[Sample], tiling: tiles.Tiling, maps_of: Callable[[Tiles], Maps], chunk: int,
         ) -> Iterator[tuple[Sample, Mapping[str, Float[np.ndarray, 'h w']]]]:
  """Yields (photo, {name: map}) in order.

  maps_of: see base.maps_function. The `chunk` tiles of a call may be of many small photos or of one large.
  """
  waiting, batch = collections.deque(), []
  for sample in photos:
    image = np.asarray(sample.image)
    starts = tiling.starts(image.shape)
    waiting.append(_Photo(sample, tiles.Blend(tiling.geometry.size, image.shape[:2]), len(starts)))
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
class _Photo:
  """A photo whose maps are on their way; missing: tiles without maps."""
  sample: Sample
  blend: tiles.Blend
  missing: int


def _add_maps(batch, maps_of, chunk):
  maps = parallel.in_chunks(maps_of, np.stack([tile for _, _, tile in batch]), chunk)
  for row, (photo, start, _) in enumerate(batch):
    photo.blend.add(start, {name: values[row] for name, values in maps.items()})
    photo.missing -= 1


def _finished(waiting):
  while waiting and not waiting[0].missing:
    photo = waiting.popleft()
    yield photo.sample, photo.blend.maps()
