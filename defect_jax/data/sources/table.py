"""A table of photos: a CSV file with the columns path and, where there are some, label, mask and group."""

import builtins
import os
import pathlib
import re

from defect_jax.config import UserError
from defect_jax.data import annotations, parts
from defect_jax.data.sources import tree, words

TITLE = 'table of photos'
_NAMES = {'path': ('path', 'file', 'filename', 'image', 'image_path'), 'label': ('label', 'class', 'cls', 'category'),
          'mask': ('mask', 'mask_path'), 'group': ('group',)}
_WANTED = 'a CSV file with the columns path and, where there are some, label, mask and group'
_DEFECT = 'defect'  # the class of photos with a mask in a table without labels


def missing(root: pathlib.Path) -> builtins.list[str]:
  """What the folder lacks to be of this layout; an index.csv gives no more than groups."""
  return [] if len(_tables(root)) == 1 else ['one CSV file with the columns path and label']


def list(path: str | os.PathLike | None, key: str = 'data.path') -> parts.Listing:
  """Lists the photos of a CSV file, or of the one in a folder, that the config's `key` names; opens none of them.

  Paths are relative to the file's folder. Without the column label, photos with a mask are of the class `defect` and
  the others `good`. Rows whose photo or mask is not there, which name no class or a photo a second time are problems.
  Raises UserError.
  """
  table = pathlib.Path(path).expanduser() if path else pathlib.Path()
  if not table.is_file():
    tables = _tables(tree.root_of(path, key, _WANTED))
    if len(tables) != 1:
      raise UserError(f'{key}: {table} has {len(tables) or "no"} CSV files with the columns path and label; name the '
                      'file itself')
    table, = tables
  table = pathlib.Path(os.path.abspath(table))
  rows = tree.read_table(table)
  columns = _columns(rows[0]) if rows else {}
  if 'path' not in columns:
    raise UserError(f'{table}: needs rows with the column path; further columns are label, mask and group')
  reader = _Reader(table, 'label' in columns)
  for number, row in enumerate(rows, 2):
    reader.add(number, {name: (row.get(columns.get(name, '')) or '').strip() for name in _NAMES})
  if not reader.found:
    raise UserError(f'{table}: none of the {len(rows)} photos can be used; such as {reader.problems[0]}')
  words.check_clear({one.label for one in reader.found}, f'{table}:')
  return tree.listing(table.parent, reader.found, reader.masks, reader.problems, indexed=False)


def _columns(header):
  """What the table calls its columns, by our names; any case."""
  theirs = {name.strip().lower(): name for name in header if name}
  return {ours: theirs[name] for ours, names in _NAMES.items() for name in reversed(names) if name in theirs}


def _tables(root):
  """CSV files of a folder that give labels."""
  return [path for path in sorted(root.glob('*.csv')) if path.name != 'index.csv' and _is_table(path)]


def _is_table(path):
  try:
    with open(path, encoding='utf-8-sig') as file:
      head = file.readline()
  except (OSError, ValueError):
    return False
  return {'path', 'label'} <= _columns([name.strip('" \r\n') for name in re.split('[,;\t]', head)]).keys()


class _Reader:
  """Rows of a table to photos, masks and problems."""

  def __init__(self, table: pathlib.Path, labelled: bool):
    self._root, self._labelled = table.parent, labelled
    self.found, self.masks, self.problems, self._lines = [], {}, [], {}

  def add(self, number: int, row: dict[str, str]) -> None:
    """Takes the row of a line of the file."""
    photo = pathlib.Path(os.path.normpath(self._root / row['path'].replace('\\', '/')))
    label = row['label'] if self._labelled else _DEFECT if row['mask'] else parts.GOOD
    label = parts.GOOD if words.is_good(label) else label
    if not photo.is_relative_to(self._root):
      return self._problem(number, row['path'], 'outside', 'lies outside the folder of the table and is left out')
    file = photo.relative_to(self._root).as_posix()
    if file in self._lines:
      first, other = self._lines[file]
      again = '' if other == label else f', as {label} where it was {other}'
      return self._problem(number, file, 'twice', f'is named a second time{again}; line {first} counts')
    if not photo.is_file():
      return self._problem(number, row['path'] or 'a row without path', 'missing', 'is not there')
    if not label:
      return self._problem(number, file, 'no_class', 'has no label and is left out')
    self._lines[file] = number, label
    self.found.append(tree.Found(photo, label, '', row['group']))
    mask = self._root / row['mask'].replace('\\', '/')
    if row['mask'] and mask.is_file():
      self.masks[file] = annotations.MaskFile(mask, file)
    elif row['mask']:
      self._problem(number, file, 'no_mask', f'its mask {row["mask"]} is not there')

  def _problem(self, number, file, kind, message):
    self.problems.append(parts.Problem(file, kind, f'{message} (line {number})'))
