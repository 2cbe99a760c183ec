"""CVAT's segmentation masks: SegmentationClass/STEM.png, coloured as labelmap.txt says (Pascal VOC's form)."""

import dataclasses
import pathlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, UInt8

from defect_jax.data import photos
from defect_jax.data.annotations.base import MaskFile

FOLDER, TABLE = 'SegmentationClass', 'labelmap.txt'


@dataclasses.dataclass(frozen=True)
class ColourMask(MaskFile):
  """A mask in which everything but one colour is marked."""
  background: tuple[int, int, int] = (0, 0, 0)

  def levels(self) -> Bool[np.ndarray, 'h w']:
    return (colours(self.path, f'mask of {self.photo}') != self.background).any(-1)

  def digest(self) -> str:
    """As MaskFile, of the background too."""
    return f'{super().digest()} {self.background}'


def colours(path: pathlib.Path, name: str) -> UInt8[np.ndarray, 'h w 3']:
  """The colours of a mask's pixels. Raises PhotoError."""
  levels = photos.decode(path, name)
  return np.repeat(levels[..., None], 3, -1) if levels.ndim == 2 else levels


def colour_names(table: pathlib.Path) -> dict[tuple[int, int, int], str]:
  """{colour: class} of a labelmap.txt; ValueError for a broken one."""
  names = {}
  for line in table.read_text('utf-8').splitlines():
    if line.strip() and not line.startswith('#'):
      name, colour, *_ = line.split(':')
      red, green, blue = map(int, colour.split(','))
      names[red, green, blue] = name
  return names


def areas(path: pathlib.Path, names: dict[tuple[int, int, int], str]) -> dict[str, int]:
  """Pixels of each class but the background in a mask. Raises PhotoError, and KeyError for an unnamed colour."""
  levels = colours(path, path.name).reshape(-1, 3)
  found, counts = np.unique(levels, axis=0, return_counts=True)
  of_class = {names[tuple(colour)]: int(count) for colour, count in zip(found.tolist(), counts, strict=True)}
  return {name: count for name, count in of_class.items() if name != 'background'}


def listed(root: pathlib.Path) -> Iterator[str]:
  """The names, without their ending, of the photos that ImageSets/ lists, also those in which nothing is marked."""
  for path in sorted((root / 'ImageSets').glob('**/*.txt')):
    yield from (line.split()[0] for line in path.read_text('utf-8', 'replace').splitlines() if line.strip())
