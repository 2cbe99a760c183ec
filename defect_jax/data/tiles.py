"""Photos of any size as square tiles, and maps of tiles blended to one map of the photo."""

import collections
import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Shaped

from defect_jax.config import UserError
from defect_jax.data import photos, regions


@dataclasses.dataclass(frozen=True)
class Tiling:
  """How a photo is cut into tiles of the size of `geometry`, whose region is 'full' or 'box'.

  tiled: False: one tile, the whole region fitted to it. True: tiles side by side, each with at least the share
  `overlap` of its side in common with the next one; the photo is first made `reduce` times smaller by means of squares.
  """
  geometry: regions.Geometry
  tiled: bool = False
  reduce: int = 1
  overlap: float = 0.25

  def place(self, photo: photos.Photo, mask: regions.Mask | None, name: str,
            ) -> tuple[Float[np.ndarray, 'h w c'], Bool[np.ndarray, 'h w'] | None]:
    """The image, in [0, 1], that is cut into tiles, and its mask, from which no small defect vanishes.

    `name` is for messages. Raises PhotoError as regions.place.
    """
    if not self.tiled:
      image, box = regions.place(photo, mask, self.geometry, name)
      return image, None if mask is None else regions.place_mask(mask, box, self.geometry)
    left, top, width, height = regions.bounds(photo, self.geometry, name)
    cut = np.s_[top:top + height, left:left + width]
    image = _reduced(photos.to_channels(photo[cut], self.geometry.channels), self.reduce).mean((1, 3))
    return image, None if mask is None else _reduced(mask[cut], self.reduce).any((1, 3))

  def starts(self, shape: Sequence[int]) -> list[tuple[int, int]]:
    """Upper left corners [(top, left)] of the tiles of an image `[h, w, ...]`, evenly spread."""
    return [(top, left) for top in self._along(shape[0]) for left in self._along(shape[1])]

  def cut(self, image: Shaped[np.ndarray, 'h w *c'], start: tuple[int, int]) -> Shaped[np.ndarray, 's s *c']:
    """The tile at a corner; mirrored where the image is smaller than a tile."""
    size = self.geometry.size
    tile = image[start[0]:start[0] + size, start[1]:start[1] + size]
    missing = [(0, size - side) for side in tile.shape[:2]] + [(0, 0)] * (tile.ndim - 2)
    return np.pad(tile, missing, 'symmetric') if tile.shape[:2] != (size, size) else tile

  def _along(self, length):
    size = self.geometry.size
    if length <= size:
      return [0]
    count = math.ceil((length - size) / (size * (1 - self.overlap))) + 1
    return [round(start) for start in np.linspace(0, length - size, count)]


class Blend:
  """Maps of tiles on their way to maps of their photo: weighted means, where a tile counts most at its centre."""

  def __init__(self, size: int, shape: tuple[int, int]):
    """Takes the side of a tile and the height and width of the photo's maps."""
    rising = np.minimum(np.arange(1, size + 1), np.arange(size, 0, -1)).astype(np.float32)
    self._weight, self._shape = rising[:, None] * rising, shape
    self._total = np.zeros(shape, np.float32)
    self._sums = collections.defaultdict(lambda: np.zeros(shape, np.float32))

  def add(self, start: tuple[int, int], maps: Mapping[str, Float[np.ndarray, 's s']]) -> None:
    """Adds the maps of the tile whose upper left corner is `start`."""
    part = tuple(slice(low, min(low + len(self._weight), end)) for low, end in zip(start, self._shape, strict=True))
    inside = tuple(slice(0, within.stop - within.start) for within in part)
    self._total[part] += self._weight[inside]
    for name, values in maps.items():
      self._sums[name][part] += (self._weight * values)[inside]

  def maps(self) -> dict[str, Float[np.ndarray, 'h w']]:
    return {name: sums / self._total for name, sums in self._sums.items()}


def _reduced(array, factor):
  """`[H, W, ...]` as `[h, factor, w, factor, ...]`; what is missing to a multiple repeats the border."""
  missing = [(0, -side % factor) for side in array.shape[:2]] + [(0, 0)] * (array.ndim - 2)
  array = np.pad(array, missing, 'edge')
  height, width = array.shape[:2]
  return array.reshape(height // factor, factor, width // factor, factor, *array.shape[2:])


def draw(images: Iterable[Float[np.ndarray, '_ _ c']], tiling: Tiling, most: int, seed: int,
         ) -> Float[np.ndarray, 'n s s c']:
  """Tiles of images; of more than `most`, so many drawn by `seed`.

  A reservoir (Vitter 1985, algorithm R), so that images and tiles that are left out are not held.
  """
  rng, kept, seen = np.random.default_rng(seed), [], 0
  for image in images:
    for start in tiling.starts(image.shape):
      place = seen if seen < most else int(rng.integers(seen + 1))
      if seen < most:
        kept.append(tiling.cut(image, start).copy())
      elif place < most:
        kept[place] = tiling.cut(image, start).copy()
      seen += 1
  if not kept:
    raise UserError('data: none of the photos can be used; see what is said of them above')
  return np.stack(kept)
