"""COCO: a JSON file of many photos, with polygons, run-length codes or boxes (Lin et al. 2014, ECCV)."""

import collections
from collections.abc import Iterator
from typing import Any

import pycocotools.mask

from defect_jax.data.annotations.shapes import Marks, Shape


def read(content: Any, name: str) -> Iterator[Marks]:
  """What a file marks in each of its photos; those that it only lists have nothing marked. Errors as of labelme.read.
  """
  del name
  classes = {entry['id']: str(entry['name']) for entry in content.get('categories', ())}
  of_photo = collections.defaultdict(list)
  for entry in content['annotations']:
    of_photo[entry['image_id']].append(entry)
  for image in content['images']:
    size = (int(image['height']), int(image['width'])) if image.get('height') and image.get('width') else None
    yield _marks(str(image['file_name']), of_photo.pop(image['id'], ()), classes, size)
  for missing, entries in of_photo.items():
    yield Marks(f'image {missing}', (), wrong=('annotation_without_photo',
                                               f'has {len(entries)} annotations and is not among the images'))


def _marks(file, entries, classes, size):
  shapes = []
  for entry in entries:
    kind = entry.get('category_id')
    if kind not in classes:
      return Marks(file, (), size, wrong=('unknown_class', f'has an annotation of class {kind}, which has no name'))
    try:
      shapes += [(classes[kind], shape) for shape in _shapes(entry, size)]
    except _SizeError as error:
      return Marks(file, (), size, wrong=('wrong_size', str(error)))
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
      return Marks(file, (), size, wrong=('broken_annotation', f'has a broken annotation ({error})'))
  return Marks(file, tuple(shapes), size)


class _SizeError(ValueError):
  """A run-length code that is not of the photo's size."""


def _shapes(entry, size):
  segments = entry.get('segmentation')
  if isinstance(segments, dict):
    height, width = map(int, segments['size'])
    if size and (height, width) != size:
      raise _SizeError(f'is {size[1]} x {size[0]} px, its run-length code {width} x {height} px')
    counts = segments['counts']
    if isinstance(counts, list):
      if sum(counts) != height * width or min(counts) < 0:
        raise _SizeError(f'is {width} x {height} px, its run-length code covers {sum(counts)} px')
      counts = pycocotools.mask.frPyObjects(segments, height, width)['counts']
    counts = counts.encode() if isinstance(counts, str) else counts
    if not counts:
      raise ValueError('an empty run-length code')
    yield Shape('runs', (), counts)
  elif segments:
    for polygon in segments:
      if len(polygon) < 2 or len(polygon) % 2:
        raise ValueError(f'a polygon of {len(polygon)} numbers')
      yield Shape('polygon', tuple(zip(map(float, polygon[::2]), map(float, polygon[1::2]), strict=True)))
  else:
    left, top, across, down = map(float, entry['bbox'])
    yield Shape('box', ((left, top), (left + across, top + down)))
