"""Severstal steel: train_images/ and train.csv with the columns ImageId, ClassId and EncodedPixels.

Kaggle 2019, "Severstal: Steel Defect Detection". EncodedPixels are pairs of start and length of runs, counted from 1
and down the columns. In the first form of the file, ImageId_ClassId is one column.
"""

import builtins
import collections
import dataclasses
import hashlib
import os
import pathlib

import numpy as np
from jaxtyping import Bool

from defect_jax.config import UserError
from defect_jax.data import parts, photos
from defect_jax.data.sources import tree

TITLE = 'Severstal steel'
_TABLE, _PHOTOS = 'train.csv', 'train_images'


@dataclasses.dataclass(frozen=True)
class Runs:
  """Runs of marked pixels, start and length by turns, from 1 on and down the columns; `photo` is for messages."""
  runs: tuple[int, ...]
  photo: str

  def read(self, shape: tuple[int, int]) -> Bool[np.ndarray, 'h w']:
    """Raises PhotoError for runs that do not fit a photo of this size."""
    height, width = shape
    marked = np.zeros(height * width, bool)
    for start, length in zip(self.runs[::2], self.runs[1::2], strict=True):
      if start < 1 or length < 1 or start - 1 + length > len(marked):
        raise photos.PhotoError(self.photo, f'is {width} x {height} px, its mask is not: it has {length} px from the '
                                            f'{start}th on')
      marked[start - 1:start - 1 + length] = True
    return marked.reshape(width, height).T

  def digest(self) -> str:
    """SHA-256 of the runs, hex."""
    return hashlib.sha256(' '.join(map(str, self.runs)).encode()).hexdigest()


def missing(root: pathlib.Path) -> builtins.list[str]:
  """What the folder lacks to be of this layout."""
  return tree.lacks(root, _PHOTOS) + ([] if (root / _TABLE).is_file() else [_TABLE])


def list(path: str | os.PathLike | None, key: str = 'data.path') -> parts.Listing:
  """Lists the photos of a folder that the config's `key` names, sorted by file; opens none of them.

  Classes: `good` for photos that the table does not name, else `defect_1` to `defect_4`. A photo of several is of the
  one that covers most; its mask has all. Raises UserError.
  """
  root = tree.root_of(path, key, f'{_TABLE} and {_PHOTOS}/')
  found_photos = {photo.name: photo for photo in tree.photos_in(root / _PHOTOS)}
  if not found_photos:
    raise UserError(f'{key}: {root} holds no photos ({tree.TYPES}) in {_PHOTOS}/')
  runs_of, problems = _read(root / _TABLE, found_photos)
  for name in [name for name, by_class in runs_of.items() if None in by_class.values()]:
    del runs_of[name], found_photos[name]  # never silently a good photo
  found, masks = [], {}
  for name, photo in found_photos.items():
    by_class = runs_of.get(name, {})
    label = max(sorted(by_class), key=lambda kind: sum(by_class[kind][1::2]), default=parts.GOOD)
    found.append(tree.Found(photo, label, '', '', _PHOTOS))
    if by_class:
      file = f'{_PHOTOS}/{name}'
      masks[file] = Runs(sum((by_class[kind] for kind in sorted(by_class)), ()), file)
  several = sum(len(by_class) > 1 for by_class in runs_of.values())
  note = f'{several} photos of several classes are of the one that covers most' if several else ''
  if rest := tree.photos_below(root / 'test_images'):
    problems.append(parts.Problem('test_images/', 'left_out', f'{len(rest)} photos of no known class are left out'))
  return tree.listing(root, found, masks, problems, note=note)


def _read(table, known):
  """{photo: {class: runs}} of a table, and problems."""
  runs_of, problems = collections.defaultdict(dict), []
  for number, row in enumerate(tree.read_table(table), 2):
    name, kind = row.get('ImageId'), row.get('ClassId')
    if 'ImageId_ClassId' in row:
      name, _, kind = row['ImageId_ClassId'].rpartition('_')
    if not name or not kind or 'EncodedPixels' not in row:
      raise UserError(f'{table}: line {number} lacks one of the columns ImageId, ClassId and EncodedPixels')
    file = f'{_PHOTOS}/{name}'
    if not (text := row['EncodedPixels']):
      continue
    if name not in known:
      problems.append(parts.Problem(file, 'no_photo', f'is not there, but annotated ({table.name}, line {number})'))
    elif f'defect_{kind}' in runs_of[name]:
      problems.append(parts.Problem(file, 'twice', f'has class {kind} a second time ({table.name}, line {number})'))
    else:
      runs_of[name][f'defect_{kind}'] = runs = _runs(text)
      if runs is None:
        problems.append(parts.Problem(file, 'annotation', f'is left out: line {number} of {table.name} is not pairs of '
                                      'numbers'))
  return runs_of, problems


def _runs(text):
  try:
    runs = tuple(map(int, text.split()))
  except ValueError:
    return None
  return runs if runs and len(runs) % 2 == 0 else None
