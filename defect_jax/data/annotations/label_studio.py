"""Label Studio: its JSON export, with brushes, polygons, boxes and ellipses in percent of the photo's sides."""

import re
import urllib.parse
from collections.abc import Iterator
from typing import Any

import numpy as np

from defect_jax.data.annotations import brush
from defect_jax.data.annotations.shapes import Marks, Shape

_UPLOADED = re.compile('[0-9a-f]{8}-')  # what it puts before the name of a file


def read(content: Any, name: str) -> Iterator[Marks]:
  """What a file marks in each of its photos; tasks that nobody has submitted are left out. Errors as of labelme.read.
  """
  del name
  for task in content if isinstance(content, list) else [content]:
    photo = _photo(task)
    done = [entry for entry in task.get('annotations') or task.get('completions') or ()
            if not entry.get('was_cancelled')]
    if len(done) > 1:
      yield Marks(photo, (), wrong=('two_annotations', f'has {len(done)} annotations; keep one'))
    elif done:
      try:
        yield _marks(photo, done[0]['result'])
      except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        yield Marks(photo, (), wrong=('broken_annotation', f'has a broken annotation ({error})'))


def _photo(task):
  urls = [value for value in task['data'].values() if isinstance(value, str)]
  url = task['data'].get('image') or urls[0]
  name = urllib.parse.unquote(url.partition('?d=')[2] or url).rpartition('/')[2]
  return _UPLOADED.sub('', name, count=1) if '/upload/' in url else name


def _marks(photo, result):
  shapes, size = [], None
  for entry in result:
    value = entry.get('value', {})
    if (form := entry.get('type')) not in ('brushlabels', 'polygonlabels', 'rectanglelabels', 'ellipselabels'):
      continue
    size = int(entry['original_height']), int(entry['original_width'])
    for label in value[form]:
      shapes.append((str(label), _shape(form, value, size)))
  return Marks(photo, tuple(shapes), size)


def _shape(form, value, size):
  height, width = size
  if form == 'brushlabels':
    return Shape('brush', (), brush.checked(value['rle'], size))
  if form == 'polygonlabels':
    return Shape('polygon', tuple((x * width / 100, y * height / 100) for x, y in value['points']))
  x, y = value['x'] * width / 100, value['y'] * height / 100
  if form == 'ellipselabels':
    across, down = value['radiusX'] * width / 100, value['radiusY'] * height / 100
    return Shape('ellipse', ((x - across, y - down), (x + across, y + down)))
  across, down = value['width'] * width / 100, value['height'] * height / 100
  turn = np.deg2rad(value.get('rotation') or 0)
  if not turn:
    return Shape('box', ((x, y), (x + across, y + down)))
  sides = np.array([[0, 0], [across, 0], [across, down], [0, down]])
  corners = sides @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]] + (x, y)
  return Shape('polygon', tuple(map(tuple, corners.tolist())))
