"""LabelMe: a JSON file a photo; version 6.3 turns JPEG and PNG photos by their EXIF data before it draws, TIFF not."""

import base64
import math
from collections.abc import Iterator
from typing import Any

from defect_jax.data.annotations.shapes import Marks, Shape

_KINDS = {'polygon': 'polygon', 'rectangle': 'box', 'line': 'line', 'linestrip': 'line', 'point': 'points',
          'points': 'points'}


def read(content: Any, name: str) -> Iterator[Marks]:
  """What a file marks in its photo. Raises ValueError, KeyError or TypeError for a broken one."""
  photo = str(content.get('imagePath') or name).replace('\\', '/').rpartition('/')[2]
  shapes = tuple((str(shape['label']), _shape(shape)) for shape in content['shapes'])
  height, width = content.get('imageHeight'), content.get('imageWidth')
  size = (int(height), int(width)) if height and width else None
  yield Marks(photo, shapes, size, stored=photo.lower().endswith(('.tif', '.tiff')))


def _shape(shape):
  kind = shape.get('shape_type') or 'polygon'
  points = tuple((float(x), float(y)) for x, y in shape['points'])
  if kind == 'mask':
    return Shape('image', points[:1], base64.b64decode(shape['mask']))
  if kind == 'circle':
    (x, y), edge = points
    radius = math.dist((x, y), edge)
    return Shape('ellipse', ((x - radius, y - radius), (x + radius, y + radius)))
  if kind not in _KINDS or not points:
    raise ValueError(f'it has a shape of the kind {kind} with {len(points)} points')
  return Shape(_KINDS[kind], points)
