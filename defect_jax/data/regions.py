"""Which square of a photo a job looks at: all of it, a box, or the surroundings of its defect mask."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from defect_jax.config import UserError
from defect_jax.data import photos
from defect_jax.data.photos import Photo

REGIONS = ('full', 'box', 'mask')
FITS = ('crop', 'pad')
Box = tuple[int, int, int, int]  # left, top, width, height, in pixels of the upright photo
Mask = Bool[np.ndarray, 'h w']


@dataclasses.dataclass(frozen=True)
class Geometry:
  """How a photo becomes a square image of `size` pixels a side, with 1 (grey) or 3 (RGB) channels.

  region: 'full', the whole photo; 'box', the same box of every photo; 'mask', a square around the defect mask, whose
  side is `context` times the longer side of the mask's bounding box.
  fit: what happens to what isn't square: 'crop' takes the central square, 'pad' adds reflected borders.
  """
  size: int
  channels: int
  region: str = 'full'
  context: float = 2.0
  box: Box | None = None
  fit: str = 'crop'

  @classmethod
  def of(cls, data: Mapping[str, Any], **changes: Any) -> 'Geometry':
    """The Geometry that the values of a config's `data` group describe."""
    return cls(**{field.name: data[field.name] for field in dataclasses.fields(cls) if field.name in data} | changes)

  def __post_init__(self) -> None:
    for key, allowed in (('region', REGIONS), ('fit', FITS), ('channels', (1, 3))):
      value = getattr(self, key)
      if value not in allowed:
        raise UserError(f'data.{key}: {value!r} is none of {", ".join(map(str, allowed))}')
    if self.region == 'mask' and not self.context >= 1:
      raise UserError(f'data.context: {self.context} would cut the defects off; it must be at least 1')
    if self.region == 'box' and (self.box is None or len(self.box) != 4):
      raise UserError('data.box: region box needs (left, top, width, height)')


def place(photo: Photo, mask: Mask | None, geometry: Geometry, name: str) -> tuple[Float[np.ndarray, 's s c'], Box]:
  """The scaled image, in [0, 1], of a decoded photo's region, and the square it shows, beyond the photo where padded.

  Only region 'mask' looks at the mask. `name` is what error messages call the photo. Raises PhotoError when the region
  can't be taken from this photo.
  """
  inside, box = bounds(photo, geometry, name), square(photo, mask, geometry, name)
  image = photos.to_channels(_cut(photo, box, inside), geometry.channels)
  return photos.scale(image, geometry.size), box


def square(photo: Photo | Mask, mask: Mask | None, geometry: Geometry, name: str) -> Box:
  """The square that `place` shows of a photo, or of any array of its height and width."""
  inside = bounds(photo, geometry, name)
  return (_around(_mask_box(mask, name), inside, geometry) if geometry.region == 'mask' else
          _squared(inside, geometry.fit))


def bounds(photo: Photo | Mask, geometry: Geometry, name: str) -> Box:
  """What of a photo may be looked at: all of it, or the box. Raises PhotoError for a box that reaches beyond it."""
  left, top, width, height = box = _looked_at(photo.shape, geometry)
  if left < 0 or top < 0 or width < 1 or height < 1 or left + width > photo.shape[1] or top + height > photo.shape[0]:
    raise photos.PhotoError(name, f'is {photo.shape[1]} x {photo.shape[0]} px, the box {tuple(box)} reaches beyond it')
  return box


def place_mask(mask: Mask, box: Box, geometry: Geometry) -> Bool[np.ndarray, 's s']:
  """Cuts and scales a photo's mask as `place` did the photo; set where any defect pixel lies in the area covered."""
  return photos.scale_mask(_cut(mask, box, _looked_at(mask.shape, geometry)), geometry.size)


def seen(mask: Mask | None, box: Box, geometry: Geometry) -> float:
  """Share of the marked pixels that lie in the square `box` which a photo's image shows; 1 where none is marked."""
  if mask is None or not mask.any():
    return 1.0
  left, top, width, height = _looked_at(mask.shape, geometry)
  rows = slice(max(top, box[1]), min(top + height, box[1] + box[3]))
  columns = slice(max(left, box[0]), min(left + width, box[0] + box[2]))
  return float(mask[rows, columns].sum() / mask.sum())


def _mask_box(mask, name):
  """Bounding box of all defect pixels."""
  if mask is None:
    raise photos.PhotoError(name, 'has no defect mask, which region mask needs')
  if not mask.any():
    raise photos.PhotoError(name, 'has an empty defect mask')
  rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
  left, top = int(columns[0]), int(rows[0])
  return left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top


def _looked_at(shape, geometry):
  """What of a photo of a shape `(H, W, ...)` may be looked at, (left, top, width, height)."""
  return geometry.box if geometry.region == 'box' else (0, 0, shape[1], shape[0])


def _around(defect, bounds, geometry):
  """The square around a defect, never below the image's own size, so that a small defect isn't scaled away."""
  left, top, width, height = defect
  side = max(math.ceil(geometry.context * max(width, height)), geometry.size)
  if geometry.fit == 'crop':
    side = min(side, bounds[2], bounds[3])
  return (_start(left, width, side, bounds[2]), _start(top, height, side, bounds[3]), side, side)


def _start(defect_start, defect_length, side, length):
  """Centred on the defect, shifted to lie inside the photo; wider than the photo: centred on the photo."""
  if side >= length:
    return (length - side) // 2
  return min(max(defect_start + (defect_length - side) // 2, 0), length - side)


def _squared(bounds, fit):
  left, top, width, height = bounds
  side = min(width, height) if fit == 'crop' else max(width, height)
  return (left + (width - side) // 2, top + (height - side) // 2, side, side)


def _cut(photo, box, bounds):
  """The pixels of `box`, reflected where it reaches beyond `bounds`: what lies outside a chosen box stays unseen."""
  left, top, width, height = box
  rows = _reflected(top, height, bounds[1], bounds[3])
  columns = _reflected(left, width, bounds[0], bounds[2])
  return photo[rows[:, None], columns]


def _reflected(start, count, low, length):
  """Indices start .. start + count - 1, mirrored into low .. low + length - 1 without repeating the edge."""
  if length == 1:
    return np.full(count, low)
  period = 2 * (length - 1)
  offset = (np.arange(start, start + count) - low) % period
  return low + np.minimum(offset, period - offset)
