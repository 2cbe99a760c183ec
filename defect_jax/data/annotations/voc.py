"""Pascal VOC: an XML file a photo, with boxes (Everingham et al. 2010, IJCV)."""

from collections.abc import Iterator
from xml.etree import ElementTree

from defect_jax.data.annotations.shapes import Marks, Shape


def parse(data: bytes) -> ElementTree.Element:
  """The root of an XML file. Raises ValueError also for one with entities, which may grow without end."""
  if b'<!DOCTYPE' in data or b'<!ENTITY' in data:
    raise ValueError('it declares entities')
  try:
    return ElementTree.fromstring(data)
  except ElementTree.ParseError as error:
    raise ValueError(str(error)) from error


def read(root: ElementTree.Element, name: str) -> Iterator[Marks]:
  """What a file marks in its photo; errors as of labelme.read.

  Pixels count from 1 and the last one is marked too; tools that count from 0 lose none by that.
  """
  height, width = (int(float(root.findtext(f'size/{side}') or 0)) for side in ('height', 'width'))
  shapes = []
  for entry in root.iter('object'):
    sides = [entry.findtext(f'bndbox/{side}') for side in ('xmin', 'ymin', 'xmax', 'ymax')]
    if None in sides:
      raise ValueError('an object has no box')
    left, top, right, bottom = (float(side or 'nan') for side in sides)
    shapes.append((entry.findtext('name') or '', Shape('box', ((left - 1, top - 1), (right, bottom)))))
  yield Marks(root.findtext('filename') or name, tuple(shapes), (height, width) if height and width else None)
