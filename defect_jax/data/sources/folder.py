"""A person's own photos: MVTec AD layout, or plain ok/ and ng/."""

import builtins
import csv
import os
import pathlib

from absl import logging

from defect_jax.config import UserError
from defect_jax.data import annotation, parts

SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff')
_LAYOUTS = 'train/good, test/<class> (MVTec AD) or ok/, ng/'


def list(path: str | os.PathLike | None, key: str = 'data.path', plain: bool = False) -> builtins.list[parts.Record]:
  """Lists the photos of a folder that the config's `key` names, sorted by file; opens none of them.

  plain: whether a folder without these layouts may hold photos, all of class `good`.
  Classes: `good` for train/good, test/good and ok/; else the folder's name below train/, test/ or ng/, and `ng` for
  photos directly in ng/. Masks: ground_truth/<class>/<stem>_mask.png. Groups: index.csv (columns path, group; in the
  folder or the one above it), else each photo is its own group.
  """
  if not path:
    raise UserError(f'{key}: is not set; name the folder of your photos')
  root = pathlib.Path(path)
  if not root.is_dir():
    reason = 'is a file' if root.is_file() else 'does not exist'
    raise UserError(f'{key}: {root} {reason}; name a folder with {_LAYOUTS}')
  folders = _class_folders(root, key, plain)
  # What lies below ng/ is of classes of its own.
  labelled = [(photo, label, folder) for label, folder in folders for photo in (
      filter(_is_photo, folder.glob('*')) if folder == root / 'ng' else photos_below(folder))]
  if not labelled:
    raise UserError(f'{key}: {root} holds no photos (PNG, JPEG, BMP, TIFF) in {_LAYOUTS}')
  groups = _groups(root, [photo for photo, _, _ in labelled])
  records = []
  for photo, label, folder in labelled:
    file = photo.relative_to(root).as_posix()
    mask = root / 'ground_truth' / label / photo.relative_to(folder).with_name(f'{photo.stem}_mask.png')
    marked = annotation.MaskFile(mask, file) if mask.is_file() else None
    records.append(parts.Record(file, label, groups.get(photo, file), photo, marked))
  return sorted(records, key=lambda record: record.file)


def _class_folders(root, key, plain):
  """Pairs of class and folder; a folder inside another's tree comes only under its own class."""
  mvtec = [root / name for name in ('train', 'test') if (root / name).is_dir()]
  simple = [root / name for name in ('ok', 'ng') if (root / name).is_dir()]
  if mvtec and simple:
    raise UserError(f'{key}: {root} has both {mvtec[0].name}/ and {simple[0].name}/; keep one layout')
  if mvtec:
    return [(folder.name, folder) for top in mvtec for folder in _subfolders(top)]
  if simple:
    classes = [(folder.name, folder) for folder in _subfolders(root / 'ng')]
    return [('good', root / 'ok'), *classes, ('ng', root / 'ng')]
  if plain and any(path.suffix.lower() in SUFFIXES for path in root.iterdir()):
    return [('good', root)]
  inside = [folder for folder in _subfolders(root) if any((folder / name).is_dir() for name in ('train', 'test', 'ok'))]
  hint = f'; perhaps you mean {inside[0]}' if inside else ''
  raise UserError(f'{key}: {root} has neither {_LAYOUTS}{hint}')


def _subfolders(folder):
  return sorted(child for child in folder.glob('*/') if not child.name.startswith('.'))


def photos_below(folder: pathlib.Path) -> builtins.list[pathlib.Path]:
  """Paths of the photos in a folder and those below it, linked ones too.

  Hidden files (as macOS leaves them) are no photos. What has a name that no manifest or table could hold is left out,
  with a warning.
  """
  paths, seen = [], set()
  for top, folders, files in os.walk(folder, followlinks=True):
    if (real := os.path.realpath(top)) in seen:  # a link back to where it lies
      folders.clear()
      continue
    seen.add(real)
    folders.sort()  # of two links to one folder the first counts, on every machine
    paths += [path for name in files if _is_photo(path := pathlib.Path(top) / name)]
  return paths


def _is_photo(path):
  if path.suffix.lower() not in SUFFIXES or path.name.startswith('.') or not path.is_file():
    return False
  try:
    str(path).encode()
  except UnicodeEncodeError:
    logging.warning('skipped %s: its name is not UTF-8; rename it', ascii(path.name))
    return False
  return True


def _groups(root, paths):
  """Group by photo, from index.csv; empty without one.

  An index that names only some of the photos is refused: the others could belong to its groups, and end up in another
  part. One of the folder above that names none is another set's.
  """
  for index in (root / 'index.csv', root.resolve().parent / 'index.csv'):
    if not index.is_file():
      continue
    by_path = _read_index(index)
    groups = {photo: by_path[photo.resolve()] for photo in paths if photo.resolve() in by_path}
    if not groups and index.parent != root:
      continue
    missing = [photo for photo in paths if photo not in groups]
    if missing:
      raise UserError(f'{index}: has no row for {len(missing)} of {len(paths)} photos, such as '
                      f'{missing[0].relative_to(root).as_posix()}; add path and group, or remove the index')
    return groups
  return {}


def _read_index(index):
  try:
    with open(index, newline='', encoding='utf-8-sig') as file:
      rows = [*csv.DictReader(file)]
  except (OSError, ValueError, csv.Error) as error:
    raise UserError(f'{index}: cannot be read ({error}); save it as CSV in UTF-8') from error
  if not rows or not {'path', 'group'} <= rows[0].keys():
    raise UserError(f'{index}: needs rows with the columns path and group')
  by_path = {}
  for number, row in enumerate(rows, 2):
    if not row['path'] or not row['group']:
      raise UserError(f'{index}: line {number} has no path or no group')
    path = (index.parent / row['path']).resolve()
    if by_path.setdefault(path, row['group']) != row['group']:
      raise UserError(f'{index}: line {number} gives {row["path"]} a second group')
  return by_path
