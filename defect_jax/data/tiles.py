"""Photos of any size as square tiles, and maps of tiles blended to one map of the photo."""

import dataclasses
import math

import numpy as np

from defect_jax.config import UserError
from defect_jax.data import dataset, photos, regions


@dataclasses.dataclass(frozen=True)
class Tiling:
  """How a photo is looked at.

  Attributes:
    geometry: regions.Geometry; its size is that of a tile, its region 'full' or 'box'.
    tiled: False: one tile, the whole region fitted to it. True: tiles side by side.
    reduce: of tiled: how many times smaller the photo is made first, by means of squares of so many pixels.
    overlap: of tiled: share of a tile's side that the next one has in common with it, at least.
  """
  geometry: regions.Geometry
  tiled: bool = False
  reduce: int = 1
  overlap: float = 0.25

  def place(self, photo, mask, name):
    """The image that is cut into tiles.

    Args:
      photo: uint8 or uint16 `[H, W]` or `[H, W, 3]`. mask: `[H, W]` or `[H, W, 3]`, or None. name: for messages.

    Returns the image, float32 `[h, w, C]` in [0, 1], and the mask, bool `[h, w]` or None. A pixel of it is set where
    any pixel of the mask that it covers is, so that no small defect vanishes. Raises PhotoError as regions.place.
    """
    if not self.tiled:
      image, box = regions.place(photo, mask, self.geometry, name)
      return image, None if mask is None else regions.place_mask(mask, box, self.geometry)
    left, top, width, height = regions.bounds(photo, mask, self.geometry, name)
    cut = np.s_[top:top + height, left:left + width]
    image = _reduced(photos.to_channels(photo[cut], self.geometry.channels), self.reduce).mean((1, 3))
    return image, None if mask is None else _reduced(regions.marked(mask)[cut], self.reduce).any((1, 3))

  def starts(self, shape):
    """Upper left corners [(top, left)] of the tiles of an image `[h, w, ...]`, evenly spread."""
    return [(top, left) for top in self._along(shape[0]) for left in self._along(shape[1])]

  def cut(self, image, start):
    """The tile at a corner, `[S, S, ...]`; mirrored where the image is smaller than a tile."""
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

  def __init__(self, size, shape):
    """Takes the side of a tile and the shape `[h, w]` of the photo's maps."""
    rising = np.minimum(np.arange(1, size + 1), np.arange(size, 0, -1)).astype(np.float32)
    self._weight, self._shape = rising[:, None] * rising, shape
    self._total, self._sums = np.zeros(shape, np.float32), {}

  def add(self, start, maps):
    """Adds {name: `[S, S]`} of the tile whose upper left corner is `start`."""
    part = tuple(slice(at, min(at + len(self._weight), end)) for at, end in zip(start, self._shape, strict=True))
    inside = tuple(slice(0, within.stop - within.start) for within in part)
    self._total[part] += self._weight[inside]
    for name, values in maps.items():
      if name not in self._sums:
        self._sums[name] = np.zeros(self._shape, np.float32)
      self._sums[name][part] += (self._weight * values)[inside]

  def maps(self):
    """{name: float32 `[h, w]`}."""
    return {name: sums / self._total for name, sums in self._sums.items()}


def _reduced(array, factor):
  """`[H, W, ...]` as `[h, factor, w, factor, ...]`; what is missing to a multiple repeats the border."""
  missing = [(0, -side % factor) for side in array.shape[:2]] + [(0, 0)] * (array.ndim - 2)
  array = np.pad(array, missing, 'edge')
  height, width = array.shape[:2]
  return array.reshape(height // factor, factor, width // factor, factor, *array.shape[2:])


class TileSet:
  """Tiles as a photo set, as training takes them: `set[i]` is tile i, uint16 `[S, S, C]` over the full range.

  `shape`: (N, S, S, C). `notes`: lines for the user.
  """

  def __init__(self, tiles, notes=()):
    """Takes float32 tiles `[N, S, S, C]` in [0, 1]."""
    self._tiles = np.round(tiles * 65535).astype(np.uint16)
    self.shape, self.notes = self._tiles.shape, list(notes)

  def __len__(self):
    return len(self._tiles)

  def __getitem__(self, index):
    return self._tiles[index]

  @property
  def nbytes(self):
    """Bytes of all tiles as uint16."""
    return self._tiles.nbytes

  def images(self):
    """All tiles, float32 `[N, S, S, C]` in [0, 1]."""
    return dataset.as_float(self._tiles)


def draw(images, view, most, seed):
  """Tiles `[N, S, S, C]` of images, an iterable of `[h, w, C]`; of more than `most`, so many drawn by `seed`.

  A reservoir (Vitter 1985, algorithm R), so that images and tiles that are left out are not held.
  """
  rng, kept, seen = np.random.default_rng(seed), [], 0
  for image in images:
    for start in view.starts(image.shape):
      at = seen if seen < most else int(rng.integers(seen + 1))
      if seen < most:
        kept.append(view.cut(image, start).copy())
      elif at < most:
        kept[at] = view.cut(image, start).copy()
      seen += 1
  if not kept:
    raise UserError('data: none of the photos can be used; see what is said of them above')
  return np.stack(kept)
