"""Shapes that annotation tools draw, and the pixels that they mark."""

import dataclasses
import hashlib
import io
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pycocotools.mask
from jaxtyping import Bool
from PIL import Image, ImageDraw

from defect_jax.data import formats, photos
from defect_jax.data.annotations import brush

_ALMOST = 0.05  # px by which coordinates may lie beside a pixel's edge, since files round
_LINE = 10  # px: how wide LabelMe draws a line


class Shape(NamedTuple):
  """polygon, line, points: of (x, y) corners. box, ellipse: of their two corners. runs: `content` is COCO's run-length
  code. brush: Label Studio's. image: an image file whose upper left corner is the one point.

  In px of the photo, whose upper left corner is at 0, 0; or in shares of its sides, see Shapes.
  """
  kind: str
  points: tuple[tuple[float, float], ...]
  content: bytes = b''


@dataclasses.dataclass(frozen=True)
class Shapes:
  """What an annotation file marks in one photo; `photo` is its name, for messages.

  size: (height, width) that the file says the photo has. relative: whether coordinates are shares of the sides. turn:
  see MaskFile. A polygon's outline is marked too, so that no part of a crack drawn as narrow as a line is lost, as by
  pycocotools and Pillow; of a box, each pixel that it covers in part.
  """
  photo: str
  shapes: tuple[Shape, ...]
  size: tuple[int, int]
  relative: bool = False
  turn: int = 1

  def read(self, shape: tuple[int, int]) -> Bool[np.ndarray, 'h w']:
    """Raises PhotoError for a photo of another size, and for content that is damaged."""
    size = self.size if self.turn < 5 else (self.size[1], self.size[0])
    if size != tuple(shape):
      raise photos.PhotoError(self.photo, f'is {shape[1]} x {shape[0]} px, as annotated {size[1]} x {size[0]} px')
    try:
      return formats.upright(np.logical_or.reduce([self._draw(one) for one in self.shapes]), self.turn)
    except (ValueError, OSError, TypeError, LookupError, ArithmeticError) as error:
      raise photos.PhotoError(self.photo, f'has an annotation that is damaged ({error})') from error

  def digest(self) -> str:
    """SHA-256 of the shapes, hex."""
    return hashlib.sha256(repr((self.shapes, self.size, self.relative, self.turn)).encode()).hexdigest()

  def _draw(self, shape):
    height, width = self.size
    points = np.array(shape.points, float).reshape(-1, 2) * ((width, height) if self.relative else 1)
    mask = np.zeros(self.size, bool)
    if shape.kind == 'runs':
      mask = _decode_runs(shape.content, self.size)
    elif shape.kind == 'brush':
      mask = brush.decode(shape.content, self.size) > 0
    elif shape.kind == 'image':
      with Image.open(io.BytesIO(shape.content)) as image:
        levels = np.asarray(image.convert('L')) > 0
      (left, top), = points.round().astype(int)
      target = mask[top:top + levels.shape[0], left:left + levels.shape[1]]
      target[:] = levels[:target.shape[0], :target.shape[1]]
    elif shape.kind == 'box':
      (left, top), (right, bottom) = points.min(0), points.max(0)
      mask[max(0, math.floor(top + _ALMOST)):max(0, math.ceil(bottom - _ALMOST)),
           max(0, math.floor(left + _ALMOST)):max(0, math.ceil(right - _ALMOST))] = True
    else:
      _by_pillow(mask, shape.kind, [*map(tuple, np.floor(points + _ALMOST).astype(int).tolist())])
    if shape.content and not mask.any():
      raise ValueError('it marks nothing')
    return mask


def _by_pillow(mask, kind, points):
  image = Image.new('1', mask.shape[::-1])
  draw = ImageDraw.Draw(image)
  if kind == 'ellipse':
    draw.ellipse(points, fill=1)
  elif kind == 'polygon' and len(points) > 2:
    draw.polygon(points, fill=1)
    draw.line([*points, points[0]], fill=1)  # a polygon's own outline has gaps where it is narrower than a pixel
  elif kind == 'line' or len(points) == 2:
    draw.line(points, fill=1, width=_LINE if kind == 'line' else 1)
  else:
    draw.point(points, fill=1)
  mask[:] = np.asarray(image)


def _decode_runs(content, size):
  runs = {'size': [*size], 'counts': content}
  mask = pycocotools.mask.decode(runs)
  if mask.sum() != pycocotools.mask.area(runs):
    raise ValueError('its run-length code is of another size')
  return mask > 0


def bounds(shapes: Sequence[Shape]) -> tuple[float, float, float, float]:
  """(left, top, right, bottom) of shapes with points; all 0 where none has."""
  points = np.array([point for shape in shapes for point in shape.points if shape.kind != 'image'])
  if not len(points):
    return 0, 0, 0, 0
  (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
  return left, top, right, bottom


class Marks(NamedTuple):
  """What an annotation file says of one photo, which it calls `photo`: labels with their shapes.

  size: (height, width); None where the file does not say it. stored: whether it was drawn on the pixels as stored, not
  turned by EXIF data; None where only the size can tell. wrong: (kind, message) of what makes it unusable.
  """
  photo: str
  shapes: tuple[tuple[str, Shape], ...]
  size: tuple[int, int] | None = None
  relative: bool = False
  stored: bool | None = None
  wrong: tuple[str, str] | None = None
