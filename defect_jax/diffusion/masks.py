"""Where a defect is to be: a mask inside the target area, and how it fades at its edges. Shapes are (height, width)."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw
from scipy import ndimage

from defect_jax.data import photos
from defect_jax.errors import UserError

Mask = Bool[np.ndarray, 'h w']
Shape = tuple[int, int]
KINDS = ('box', 'polygon', 'png', 'real', 'random')
_HARMONICS = 5  # of a blob's outline
_MARKED = 0.25  # interpolated value from which a pixel of a turned mask is masked
_SALIENT, _MOST = 0.3, 0.5  # of the highest salience, what belongs to a defect; share of an area that may be made anew
_TRIES = 20  # turns and scales of a real mask that are tried before it is made to fit


def check_polygon(points: Sequence[float]) -> None:
  """Raises UserError for less than three corners, or half a corner."""
  if len(points) < 6 or len(points) % 2:
    raise UserError(f'masks.polygon = {tuple(points)}: give three corners or more as x1,y1,x2,y2,x3,y3')


def polygon(points: Sequence[float], shape: Shape, name: str) -> Mask:
  """The mask of a polygon x1, y1, x2, y2, ... with its outline; raises PhotoError if it reaches beyond the photo."""
  corners = np.float64(points).reshape(-1, 2)
  if corners.min() < 0 or (corners > (shape[1] - 1, shape[0] - 1)).any():
    raise photos.PhotoError(name, f'is {shape[1]} x {shape[0]} px, masks.polygon reaches beyond it')
  return _drawn(corners, shape)


def _drawn(corners, shape):
  """The mask of a polygon with its outline; corners: (x, y)."""
  image = Image.new('1', shape[::-1])
  ImageDraw.Draw(image).polygon([tuple(corner) for corner in corners], 1, 1)
  return np.asarray(image).copy()


def read(path: str | Path) -> Mask:
  """The mask in an image file: all that is above 0. Raises UserError if it cannot be read or is empty."""
  try:
    levels = photos.decode(path, str(path))
  except photos.PhotoError as error:
    raise UserError(f'masks.file: {error}; name a PNG of the size of the photo, white where the defect is to be'
                    ) from error
  mask = np.atleast_3d(levels > 0).any(-1)
  if not mask.any():
    raise UserError(f'masks.file: {path}: marks no pixel of the photo; mark the area where the defect is to be')
  return mask


def bounds(mask: Mask) -> tuple[int, int, int, int]:
  """Bounding box (left, top, width, height) of a mask that is not empty."""
  rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
  return int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)


def slices(box: Sequence[int]) -> tuple[slice, slice]:
  """What a box cuts out of an array."""
  left, top, width, height = box
  return np.s_[top:top + height, left:left + width]


class RealMask(NamedTuple):
  """A real defect's mask, cut to its bounding box; corner (top, left) in, and shape of the photo that it lies in."""
  mask: Mask
  corner: tuple[int, int]
  shape: Shape

  @classmethod
  def of(cls, mask: Mask) -> 'RealMask':
    """Of the whole mask of a photo, which is not empty."""
    box = bounds(mask)
    return cls(mask[slices(box)], (box[1], box[0]), mask.shape)


def random(rng: np.random.Generator, shape: Shape, smallest: float, largest: float) -> Mask:
  """A blob anywhere in an area: a circle whose radius varies by a few harmonics, stretched and turned; never empty."""
  radius = 0.5 * rng.uniform(smallest, largest) * min(shape)  # they are diameters over the shorter side
  orders = np.arange(1, _HARMONICS + 1)
  waves, phases = rng.normal(size=_HARMONICS) * 0.35 / orders, rng.uniform(0, 2 * np.pi, _HARMONICS)
  angles = np.linspace(0, 2 * np.pi, 129)[:-1]
  reach = np.maximum(1 + np.sum(waves[:, None] * np.cos(orders[:, None] * angles + phases[:, None]), 0), 0.2)
  stretch, turn = rng.uniform(1, 2), rng.uniform(0, np.pi)
  x, y = reach * np.cos(angles) * stretch, reach * np.sin(angles) / stretch
  x, y = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
  x, y = x - (x.max() + x.min()) / 2, y - (y.max() + y.min()) / 2
  scale = radius / max(x.max(), y.max())
  center = [rng.uniform(min(radius, side / 2), max(side - radius, side / 2)) for side in shape]
  mask = _drawn(np.stack([center[1] + scale * x, center[0] + scale * y], 1) - 0.5, shape)
  if not mask.any():
    mask[min(int(center[0]), shape[0] - 1), min(int(center[1]), shape[1] - 1)] = True
  return mask


def placed(rng: np.random.Generator, shape: Shape, mask: Mask, smallest: float, largest: float) -> Mask:
  """A real mask, turned, mirrored, scaled, made smaller if it does not fit, and moved anywhere in an area."""
  for _ in range(_TRIES):
    turned = _turned(mask, rng.uniform(0, 2 * np.pi), rng.uniform(smallest, largest), rng.random() < 0.5)
    if turned.shape[0] <= shape[0] and turned.shape[1] <= shape[1]:
      break
  else:
    turned = reduce(turned, tuple(np.minimum(turned.shape, shape)))
  corner = [int(rng.integers(0, area - side + 1)) for area, side in zip(shape, turned.shape, strict=True)]
  whole = np.zeros(shape, bool)
  whole[slices((*corner[::-1], *turned.shape[::-1]))] = turned
  return whole


def fixed(real: RealMask, shape: Shape, largest: Shape) -> Mask:
  """A real mask where it lies in its own photo, scaled with that photo to another `shape`, but never above `largest`.

  A mask that touches an end of its photo touches it here too.
  """
  corner, sides = [], []
  for side, start, old, new, most in zip(real.mask.shape, real.corner, real.shape, shape, largest, strict=True):
    sides.append(min(max(1, round(side * new / old)), most))
    free = old - side  # pixels beside the mask, `start` of which lie before it
    corner.append(round(start * (new - sides[-1]) / free) if free else 0)
  mask = np.zeros(shape, bool)
  mask[slices((*corner[::-1], *sides[::-1]))] = reduce(real.mask, (sides[0], sides[1]))
  return mask


def covering(rng: np.random.Generator, mask: Mask, dilate: tuple[int, int], size: tuple[float, float],
             salience: Float[np.ndarray, 'h w'] | None = None, tries: int = 1, coarse: float = 0.) -> Mask:
  """The part of an image to make anew in training: its defect and some pixels around, or a blob if none is marked.

  dilate: (from, to), pixels. coarse: how often it is an ellipse around the defect, which does not tell what the defect
  looks like. Of `tries` blobs the most salient is taken, where an unmarked defect most likely is, with all salient
  pixels that it touches: a model that sees the rest of a defect learns to continue it, and makes none elsewhere.
  """
  away = int(rng.integers(dilate[0], dilate[1] + 1))
  if mask.any():
    around = _ellipse(mask) if rng.random() < coarse else mask
    return _dilated(around if around.mean() <= _MOST else mask, away)
  blobs = [random(rng, mask.shape, *size) for _ in range(tries)]
  if salience is None:
    return blobs[0]
  blob = max(blobs, key=lambda blob: salience[blob].mean())
  joined, _ = ndimage.label(_dilated(salience > _SALIENT * salience.max(), 1))
  defect = (joined > 0) & np.isin(joined, joined[blob])
  whole = blob | _dilated(defect, away) if defect.any() else blob
  return whole if whole.mean() <= _MOST else blob


def _ellipse(mask):
  """The ellipse through the corners of the bounding box, as far as it lies in the image."""
  left, top, width, height = bounds(mask)
  y, x = np.ogrid[:mask.shape[0], :mask.shape[1]]
  return ((2 * x - 2 * left + 1) / width - 1)**2 + ((2 * y - 2 * top + 1) / height - 1)**2 <= 2


def _dilated(mask, pixels):
  return ndimage.distance_transform_cdt(~mask, 'chessboard') <= pixels


def _turned(mask, angle, factor, mirror):
  """`mask` scaled and turned about its middle; no pixel of it is lost, however thin it is, and no gap opens."""
  matrix = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
  if mirror:
    matrix = matrix @ np.diag([1.0, -1.0])
  side = int(np.ceil(factor * np.hypot(*mask.shape))) + 2
  middle, new_middle, inverse = (np.array(mask.shape) - 1) / 2, (side - 1) / 2, np.linalg.inv(matrix)
  # At the corner where two pixels of a thin diagonal line touch, the interpolated value is 0.5.
  turned = ndimage.affine_transform(np.float32(mask), inverse, middle - inverse @ (new_middle, new_middle),
                                    (side, side), order=1) > _MARKED
  # Going backwards from each new pixel steps over thin masks that shrink; going forwards leaves gaps in those that
  # grow. Together they do neither.
  forwards = np.rint((np.argwhere(mask) - middle) @ matrix.T + new_middle).astype(int)
  turned[tuple(forwards.T)] = True
  return RealMask.of(turned).mask


def reduce(mask: Mask, shape: Shape) -> Bool[np.ndarray, 'H W']:
  """The mask at another size, smaller or larger: a pixel is masked if any that it covers, even in part, is."""
  for axis, new in enumerate(shape):
    old = mask.shape[axis]
    if old == new:
      continue
    counts = np.arange(new + 1) * old
    first, last = counts[:-1] // new, -(-counts[1:] // new)
    sums = np.pad(np.cumsum(np.moveaxis(mask, axis, 0), 0, dtype=np.int64), ((1, 0), (0, 0)))
    mask = np.moveaxis(sums[last] > sums[first], 0, axis)
  return mask


def feathered(mask: Mask, target: Sequence[int], feather: int, open_sides: Sequence[bool] = (False,) * 4
              ) -> Float[np.ndarray, 'h w']:
  """The soft mask, how much of what is made is seen at each pixel: 1 on the mask, 0 outside the target area.

  It falls over `feather` pixels around the mask, and towards the sides of the target area, the box (left, top, width,
  height), but for `open_sides` (left, top, right, bottom): the photo's own ends, where no seam needs hiding. Raises
  UserError if the target area holds nothing of the mask.
  """
  left, top, width, height = target
  inside = np.zeros(mask.shape, bool)
  inside[slices(target)] = True
  mask = mask & inside
  if not mask.any():
    raise UserError('masks: the target area holds nothing of the mask; move one of them')
  if feather == 0:
    return np.float32(mask)
  outwards = 1 - ndimage.distance_transform_edt(~mask) / (feather + 1)
  x, y = np.arange(mask.shape[1]) + 1, np.arange(mask.shape[0]) + 1
  sides = (x - left, (y - top)[:, None], left + width + 1 - x, (top + height + 1 - y)[:, None])
  inwards = np.full(mask.shape, np.inf)
  for is_open, distance in zip(open_sides, sides, strict=True):
    inwards = inwards if is_open else np.minimum(inwards, distance / (feather + 1))
  return np.float32(np.where(inside, np.clip(np.minimum(outwards, inwards), 0, 1), 0))
