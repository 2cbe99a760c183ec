"""YOLO: a text file a photo, in each line a class's number and a polygon or a box, in shares of the photo's sides."""

import pathlib
from collections.abc import Iterator, Mapping

import yaml

from defect_jax.data.annotations.shapes import Marks, Shape


def class_names(root: pathlib.Path) -> dict[int, str]:
  """The names of the classes, from the set's data.yaml or classes.txt; {} without one. Errors as of labelme.read."""
  for path in sorted([*root.glob('*.y*ml'), *root.glob('*/*.y*ml')]):
    if isinstance(content := yaml.safe_load(path.read_text('utf-8')), dict) and (names := content.get('names')):
      pairs = names.items() if isinstance(names, dict) else enumerate(names)
      return {int(number): str(name) for number, name in pairs}
  for pattern in ('classes.txt', '*/classes.txt', 'obj.names', '*/*/classes.txt'):
    for path in sorted(root.glob(pattern)):
      return dict(enumerate(line.strip() for line in path.read_text('utf-8').splitlines() if line.strip()))
  return {}


def looks_like(text: str) -> bool:
  """Whether the first line is one of a YOLO file; an empty file is one."""
  first = text.split('\n', 1)[0].split()
  try:
    return not first or (len(first) > 4 and float(first[0]).is_integer() and all(map(float, first[1:])) is not None)
  except ValueError:
    return False


def read(text: str, name: str, classes: Mapping[int, str]) -> Iterator[Marks]:
  """What a file marks in the photo of the same name; an empty one that nothing is. Errors as of labelme.read."""
  shapes = []
  for line, content in enumerate(text.splitlines(), 1):
    numbers = [*map(float, content.split())]
    if not numbers:
      continue
    kind, *rest = numbers
    if classes and kind not in classes:
      yield Marks(name, (), wrong=('unknown_class', f'has class {kind:g} in line {line}, which has no name'))
      return
    if len(rest) not in (4, 5) and (len(rest) < 6 or len(rest) % 2):
      raise ValueError(f'line {line} has {len(numbers)} numbers')
    shapes.append((classes.get(int(kind), f'class_{kind:g}'), _shape(rest)))
  yield Marks(name, tuple(shapes), relative=True)


def _shape(numbers):
  if len(numbers) > 5:
    return Shape('polygon', tuple(zip(numbers[::2], numbers[1::2], strict=True)))
  x, y, width, height, *_ = numbers  # a fifth is the confidence
  return Shape('box', ((x - width / 2, y - height / 2), (x + width / 2, y + height / 2)))
