"""Where a defect is to be: a mask inside the target area, how it fades at its edges, and what the latents see of it.

Masks are bool `[H, W]`. Everything drawn comes from a NumPy Generator that the caller makes of seed and index.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from defect_jax.config import UserError
from defect_jax.data import photos

KINDS = ('box', 'polygon', 'png', 'real', 'random')
_HARMONICS = 5  # of a blob's outline
_MARKED = 0.25  # interpolated mark from which a pixel of a turned mask is marked
_SALIENT, _MOST = 0.3, 0.5  # of the highest salience, what belongs to a defect; share of an area that may be made anew
_TRIES = 20  # turns and scales of a real mask that are tried before it is made to fit


def check_polygon(points):
  """UserError for less than three corners or one of no coordinates."""
  if len(points) < 6 or len(points) % 2:
    raise UserError(f'masks.polygon = {tuple(points)}: give three corners or more as x1,y1,x2,y2,x3,y3')


def polygon(points, shape, name):
  """The mask of a polygon.

  Args:
    points: x1, y1, x2, y2, ... in pixels of the photo. shape: (height, width) of the photo. name: of the photo.

  The outline belongs to it. PhotoError where it reaches beyond the photo.
  """
  corners = np.float64(points).reshape(-1, 2)
  if corners.min() < 0 or (corners > (shape[1] - 1, shape[0] - 1)).any():
    raise photos.PhotoError(name, f'is {shape[1]} x {shape[0]} px, masks.polygon reaches beyond it')
  image = Image.new('1', (shape[1], shape[0]))
  ImageDraw.Draw(image).polygon([tuple(corner) for corner in corners], 1, 1)
  return np.asarray(image).copy()


def read(path):
  """The mask in an image file: all that is above 0. UserError where it cannot be read or marks nothing."""
  try:
    levels = photos.decode(path, str(path))
  except photos.PhotoError as error:
    raise UserError(f'masks.file: {error}; name a PNG of the size of the photo, white where the defect is to be'
                    ) from error
  return _not_empty(levels > 0 if levels.ndim == 2 else (levels > 0).any(-1), f'masks.file: {path}')


def _not_empty(mask, what):
  if not mask.any():
    raise UserError(f'{what}: marks no pixel of the photo; mark the area where the defect is to be')
  return mask


def bounds(mask):
  """Bounding box (left, top, width, height) of the marked pixels, of which there is at least one."""
  rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
  return (int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1))


class Mark(NamedTuple):
  """A real defect's mask: marks bool `[h, w]`, cut to what is marked; corner (top, left), and shape (height, width) of
  the photo that it lies in."""
  marks: np.ndarray
  corner: tuple[int, int]
  shape: tuple[int, int]

  @classmethod
  def of(cls, mask):
    """Of a photo's whole mask, which marks something."""
    left, top, *_ = bounds(mask)
    return cls(cut(mask), (top, left), mask.shape)


def cut(mask):
  """The marked pixels in their bounding box."""
  left, top, width, height = bounds(mask)
  return mask[top:top + height, left:left + width]


def random(rng, shape, smallest, largest):
  """A blob anywhere in an area.

  Args:
    rng: NumPy Generator. shape: (height, width) of the area. smallest, largest: diameter over the area's shorter side.

  Returns bool `[height, width]` with at least one marked pixel. Its outline is a circle whose radius varies by a few
  harmonics, stretched and turned.
  """
  radius = 0.5 * rng.uniform(smallest, largest) * min(shape)
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
  image = Image.new('1', (shape[1], shape[0]))
  outline = np.stack([center[1] + scale * x, center[0] + scale * y], 1) - 0.5
  ImageDraw.Draw(image).polygon([tuple(point) for point in outline], 1, 1)
  mask = np.asarray(image).copy()
  if not mask.any():
    mask[min(int(center[0]), shape[0] - 1), min(int(center[1]), shape[1] - 1)] = True
  return mask


def placed(rng, shape, marks, smallest, largest):
  """A real mask, turned, mirrored, scaled and moved to a random place in an area.

  Args:
    rng: NumPy Generator. shape: (height, width) of the area. marks: bool `[h, w]`, see `cut`.
    smallest, largest: factor of its size; where it does not fit it is made smaller.

  Returns bool `[height, width]` with at least one marked pixel.
  """
  for _ in range(_TRIES):
    turned = _turned(marks, rng.uniform(0, 2 * np.pi), rng.uniform(smallest, largest), rng.random() < 0.5)
    if turned.shape[0] <= shape[0] and turned.shape[1] <= shape[1]:
      break
  else:
    turned = reduce(turned, tuple(min(a, b) for a, b in zip(turned.shape, shape, strict=True)))
  top, left = (int(rng.integers(0, area - side + 1)) for area, side in zip(shape, turned.shape, strict=True))
  mask = np.zeros(shape, bool)
  mask[top:top + turned.shape[0], left:left + turned.shape[1]] = turned
  return mask


def kept(mark, shape, largest):
  """A real mask where it lies in its own photo, scaled as the photo is to another's size.

  Args:
    mark: Mark. shape: (height, width) of the other photo. largest: (height, width) above which it is made smaller.

  Returns bool `[height, width]` with at least one marked pixel; what touches an end of its photo touches it here.
  """
  corner, sides = [], []
  for side, start, old, new, most in zip(mark.marks.shape, mark.corner, mark.shape, shape, largest, strict=True):
    length = min(max(1, round(side * new / old)), most)
    free = old - side  # pixels beside the mask, `start` of which lie before it
    corner.append(round(start * (new - length) / free) if free else 0)
    sides.append(length)
  (top, left), (height, width) = corner, sides
  mask = np.zeros(shape, bool)
  mask[top:top + height, left:left + width] = reduce(mark.marks, (height, width))
  return mask


def covering(rng, marks, dilate, smallest, largest, salience=None, tries=1, coarse=0.):
  """What of an image is to be made anew in training: its defect and some pixels around, or a blob where none is marked.

  Args:
    rng: NumPy Generator. marks: bool `[H, W]`. dilate: (from, to), pixels. smallest, largest: as of `random`.
    coarse: how often it is an ellipse around the defect, which does not tell what the defect looks like.
    salience, tries: `[H, W]`; of so many blobs the one with the highest mean of it is taken, since that is where an
      unmarked defect most likely is, and all salient pixels that it touches: a model that sees the rest of a defect
      learns to go on with it, and makes none where the surroundings are good.

  Returns bool `[H, W]` with at least one pixel marked.
  """
  away = int(rng.integers(dilate[0], dilate[1] + 1))
  if marks.any():
    around = _ellipse(marks) if rng.random() < coarse else marks
    return _wider(around if around.mean() <= _MOST else marks, away)
  blobs = [random(rng, marks.shape, smallest, largest) for _ in range(tries)]
  if salience is None:
    return blobs[0]
  blob = max(blobs, key=lambda blob: salience[blob].mean())
  joined, _ = ndimage.label(_wider(salience > _SALIENT * salience.max(), 1))
  defect = (joined > 0) & np.isin(joined, joined[blob])
  whole = blob | _wider(defect, away) if defect.any() else blob
  return whole if whole.mean() <= _MOST else blob


def _ellipse(marks):
  """The ellipse through the corners of the bounding box, or what of it is in the image."""
  left, top, width, height = bounds(marks)
  y, x = np.ogrid[:marks.shape[0], :marks.shape[1]]
  away = (((2 * x - 2 * left + 1) / width - 1)**2 + ((2 * y - 2 * top + 1) / height - 1)**2)
  return away <= 2


def _wider(marks, pixels):
  return ndimage.distance_transform_cdt(~marks, 'chessboard') <= pixels


def _turned(marks, angle, factor, mirror):
  """`marks` scaled and turned about its middle; no mark is lost, however thin, and no gap opens."""
  matrix = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
  if mirror:
    matrix = matrix @ np.diag([1.0, -1.0])
  middle = (np.array(marks.shape) - 1) / 2
  side = int(np.ceil(factor * np.hypot(*marks.shape))) + 2
  new_middle = (side - 1) / 2
  inverse = np.linalg.inv(matrix)
  # At the corner where two pixels of a thin diagonal line touch, the interpolated mark is 0.5.
  turned = ndimage.affine_transform(np.float32(marks), inverse, middle - inverse @ (new_middle, new_middle),
                                    (side, side), order=1) > _MARKED
  # Going backwards from each new pixel steps over thin marks where they shrink; going forwards leaves gaps where they
  # grow. Together they do neither.
  forwards = np.rint((np.argwhere(marks) - middle) @ matrix.T + new_middle).astype(int)
  turned[tuple(forwards.T)] = True
  return cut(turned)


def reduce(mask, shape):
  """The mask at another size: a new pixel is marked where any old one that it covers, even in part, is.

  Args:
    mask: bool `[H, W]`. shape: (height, width), smaller or larger.
  """
  for axis, new in enumerate(shape):
    old = mask.shape[axis]
    if old == new:
      continue
    counts = np.concatenate([[0], np.arange(1, new + 1)]) * old
    first, last = counts[:-1] // new, -(-counts[1:] // new)
    sums = np.cumsum(np.moveaxis(mask, axis, 0), 0, dtype=np.int64)
    sums = np.concatenate([np.zeros_like(sums[:1]), sums])
    mask = np.moveaxis(sums[last] > sums[first], 0, axis)
  return mask


def feathered(mask, target, feather, open_sides=(False, False, False, False)):
  """How much of what is made is seen at each pixel.

  Args:
    mask: bool `[H, W]`, at least one pixel of it in the target area.
    target: box (left, top, width, height) of the target area in the mask's pixels.
    feather: width of the fading edge in pixels; 0 for none.
    open_sides: whether the left, top, right, bottom side of the target area is the photo's own end, where there is
      no seam to hide.

  Returns float32 `[H, W]`: 1 on the mask, from there falling over `feather` pixels, and falling likewise towards the
  sides of the target area; 0 outside it. UserError where the target area holds nothing of the mask.
  """
  left, top, width, height = target
  inside = np.zeros(mask.shape, bool)
  inside[top:top + height, left:left + width] = True
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
