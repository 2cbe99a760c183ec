"""Which square of a photo a job looks at: all of it, a box, or the surroundings of its defect mask."""

import dataclasses
import math

import numpy as np

from defect_jax.config import UserError
from defect_jax.data import photos

REGIONS = ('full', 'box', 'mask')
FITS = ('crop', 'pad')


@dataclasses.dataclass(frozen=True)
class Geometry:
  """How a photo becomes a square image.

  Attributes:
    size: side of the image in pixels.
    channels: 1 (grey) or 3 (RGB).
    region: 'full', the whole photo; 'box', the same box of every photo; 'mask', a square around the defect mask.
    context: side of that square over the longer side of the mask's bounding box, at least 1.
    box: (left, top, width, height) in pixels of the upright photo, for region 'box'.
    fit: what happens to what isn't square: 'crop' takes the central square, 'pad' adds reflected borders.
  """
  size: int
  channels: int
  region: str = 'full'
  context: float = 2.0
  box: tuple[int, int, int, int] | None = None
  fit: str = 'crop'

  def __post_init__(self):
    for key, allowed in (('region', REGIONS), ('fit', FITS), ('channels', (1, 3))):
      value = getattr(self, key)
      if value not in allowed:
        raise UserError(f'data.{key}: {value!r} is none of {", ".join(map(str, allowed))}')
    if self.region == 'mask' and not self.context >= 1:
      raise UserError(f'data.context: {self.context} would cut the defects off; it must be at least 1')
    if self.region == 'box' and (self.box is None or len(self.box) != 4):
      raise UserError('data.box: region box needs (left, top, width, height)')


def place(photo, mask, geometry, name):
  """Cuts a decoded photo's region and scales it.

  Args:
    photo: uint8 or uint16 `[H, W]` or `[H, W, 3]`.
    mask: the same height and width, or None; anything above 0 is defect. Region 'mask' needs one; for the others it
      is only checked, since a mask of another size belongs to another photo.
    geometry: Geometry.
    name: what error messages call the photo.

  Returns the image, float32 `[size, size, channels]` in [0, 1], and the square it shows, (left, top, width, height)
  in pixels of the photo; the square reaches beyond the photo where it was padded.

  Raises PhotoError when the region can't be taken from this photo.
  """
  inside = bounds(photo, mask, geometry, name)
  if geometry.region == 'mask':
    box = _around(_mask_box(mask, name), inside, geometry)
  else:
    box = _squared(inside, geometry.fit)
  image = photos.to_channels(_cut(photo, box, inside), geometry.channels)
  return photos.scale(image, geometry.size), box


def bounds(photo, mask, geometry, name):
  """What of a photo may be looked at, (left, top, width, height): all of it, or the box. Arguments as for `place`.

  Raises PhotoError for a mask of another size and a box that reaches beyond the photo.
  """
  height, width = photo.shape[:2]
  if mask is not None and mask.shape[:2] != (height, width):
    raise photos.PhotoError(name, f'is {width} x {height} px, its mask {mask.shape[1]} x {mask.shape[0]} px')
  if geometry.region == 'box':
    _check_box(geometry.box, (height, width), name)
  return _looked_at((height, width), geometry)


def marked(mask):
  """Which pixels of a mask `[H, W]` or `[H, W, 3]` are defect, bool `[H, W]`."""
  return mask > 0 if mask.ndim == 2 else (mask > 0).any(-1)


def place_mask(mask, box, geometry):
  """Cuts and scales a photo's mask as `place` did the photo.

  Args:
    mask: as there. box: the square that it returned. geometry: Geometry.

  Returns bool `[size, size]`: whether any defect pixel lies in the area that a pixel covers.
  """
  return photos.scale_mask(_cut(marked(mask), box, _looked_at(mask.shape, geometry)), geometry.size)


def seen(mask, box, geometry):
  """Share of a mask's defect pixels that a photo's image shows; 1 where none is marked. Arguments as of place_mask."""
  if mask is None or not (defect := marked(mask)).any():
    return 1.0
  left, top, width, height = _looked_at(mask.shape, geometry)
  rows = slice(max(top, box[1]), min(top + height, box[1] + box[3]))
  columns = slice(max(left, box[0]), min(left + width, box[0] + box[2]))
  return float(defect[rows, columns].sum() / defect.sum())


def _mask_box(mask, name):
  """Bounding box of all defect pixels."""
  if mask is None:
    raise photos.PhotoError(name, 'has no defect mask, which region mask needs')
  defect = marked(mask)
  if not defect.any():
    raise photos.PhotoError(name, 'has an empty defect mask')
  rows, columns = np.flatnonzero(defect.any(1)), np.flatnonzero(defect.any(0))
  left, top = int(columns[0]), int(rows[0])
  return left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top


def _looked_at(shape, geometry):
  """What of a photo of a shape `(H, W, ...)` may be looked at, (left, top, width, height)."""
  return geometry.box if geometry.region == 'box' else (0, 0, shape[1], shape[0])


def _check_box(box, shape, name):
  left, top, width, height = box
  if left < 0 or top < 0 or width < 1 or height < 1 or left + width > shape[1] or top + height > shape[0]:
    raise photos.PhotoError(name, f'is {shape[1]} x {shape[0]} px, the box {tuple(box)} reaches beyond it')


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
