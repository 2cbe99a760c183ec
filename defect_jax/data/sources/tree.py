"""What sources share: the photos in a folder, the groups that an index gives them, and what was taken for what."""

import collections
import csv
import functools
import os
import pathlib
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from absl import logging

from defect_jax.config import UserError
from defect_jax.data import annotations, photos, walk
from defect_jax.data.annotations import Annotation
from defect_jax.data.parts import GOOD, Listing, Problem, Record
from defect_jax.data.sources import words

TYPES = 'PNG, JPEG, BMP, TIFF, WebP, JPEG 2000, PNM, AVIF, JPEG XL'
_FOLDERS = ('', 'train', 'val', 'test')
_NAMED, _PLACES = 12, 4  # classes that are named one by one, and folders of each


class Found(NamedTuple):
  """A photo of a class. folder: see Record. group: '' for one of its own. place: the folder that gave it its class."""
  photo: pathlib.Path
  label: str
  folder: str = ''
  group: str = ''
  place: str | None = None


def root_of(path: str | os.PathLike | None, key: str, wanted: str) -> pathlib.Path:
  """The folder that the config's `key` names, `~` expanded; UserError where there is none. wanted: for the message."""
  if not path:
    raise UserError(f'{key}: is not set; name the folder of your photos')
  root = pathlib.Path(path).expanduser()
  if not root.is_dir():
    raise UserError(f'{key}: {root} {"is a file" if root.is_file() else "does not exist"}; name a folder with {wanted}')
  return root


def lacks(root: pathlib.Path, *folders: str) -> list[str]:
  """Those of `folders` that are not there, as `missing` of a source names them."""
  return [f'{name}/' for name in folders if not (root / name).is_dir()]


def of_tops(root: pathlib.Path, tops: Mapping[str, str]) -> list[Found]:
  """Photos in <top>/<class>/ of each of `tops`, which are folders for training, validation or testing by name."""
  return [Found(photo, GOOD if words.is_good(folder.name) else folder.name, part, '', f'{top}/{folder.name}')
          for top, part in tops.items() if (root / top).is_dir()
          for folder in subfolders(root / top) if not words.is_marks(folder.name) for photo in photos_below(folder)]


def subfolders(folder: pathlib.Path) -> list[pathlib.Path]:
  """The folders in a folder that are not hidden, sorted."""
  return sorted(child for child in folder.glob('*/') if not child.name.startswith(walk.HIDDEN))


def photos_in(folder: pathlib.Path) -> list[pathlib.Path]:
  """Paths of the photos that lie in a folder, not of those below."""
  return [path for path in folder.glob('*') if _is_photo(path)]


def photos_below(folder: pathlib.Path, leave_out: Callable[[str], bool] = lambda name: False,
                 suffixes: Container[str] = photos.SUFFIXES) -> list[pathlib.Path]:
  """Paths of the photos in a folder and those below it, linked ones too, but not below folders of names to `leave_out`.

  Hidden files (as macOS leaves them) and what lies in hidden folders are no photos. What has a name that no manifest or
  table could hold is left out, with a warning.
  """
  return [path for top, files in walk.folders(folder, leave_out)
          for name in files if _is_photo(path := top / name, suffixes)]


def unread(root: pathlib.Path) -> list[Problem]:
  """The files of types that are not read, but for those beside a photo of the same name, as cameras save both."""
  left_out = photos_below(root, suffixes=photos.UNREAD)
  known = {photo.with_suffix('') for photo in photos_below(root)} if left_out else ()
  return [Problem(path.relative_to(root).as_posix(), 'not_read', photos.UNREAD[path.suffix.lower()])
          for path in left_out if path.with_suffix('') not in known]


def _is_photo(path, suffixes=photos.SUFFIXES):
  if path.suffix.lower() not in suffixes or path.name.startswith('.') or not path.is_file():
    return False
  try:
    str(path).encode()
  except UnicodeEncodeError:
    logging.warning('skipped %s: its name is not UTF-8; rename it', ascii(path.name))
    return False
  return True


def listing(root: pathlib.Path, found: Iterable[Found], masks: Mapping[str, Annotation] | None = None,
            problems: Sequence[Problem] = (), indexed: bool = True, note: str = '') -> Listing:
  """The listing of photos, with what is marked by file, and a note.

  masks: None where masks and annotation files are to be looked for. indexed: whether groups of an index.csv count.
  """
  found = [*found]
  if masks is None:
    kept, beside = without_masks(root, [one.photo for one in found])
    found = [one for one in found if one.photo in kept]
    of = {one.photo.relative_to(root).as_posix(): one.photo for one in found}
    masks, wrong = annotations.find_masks(root, of)
    read, broken, _ = annotations.read_files(root, of)
    masks = {file: one.annotation for file, one in read.items() if one.annotation} | masks
    problems = *problems, *beside, *wrong, *broken
  by_index = index_groups(root, [one.photo for one in found]) if indexed else {}
  records = []
  for one in found:
    file = one.photo.relative_to(root).as_posix()
    group = by_index.get(one.photo) or one.group or file
    records.append(Record(file, one.label, group, one.photo, masks.get(file), one.folder))
  taken = [_classes_taken(root, found)]
  if masks:
    taken.append(f'{len(masks)} masks')
  if note:
    taken.append(note)
  if by_index:
    taken.append('groups: index.csv')
  elif groups := sorted({one.group for one in found if one.group}):
    taken.append(f'{len(groups)} groups, such as {groups[0]}')
  return Listing(tuple(sorted(records, key=lambda record: record.file)), '; '.join(taken),
                 (*problems, *unread(root)))


def without_masks(root: pathlib.Path, paths: Collection[pathlib.Path]) -> tuple[set[pathlib.Path], list[Problem]]:
  """The photos that are not masks of others beside them, and a problem that says how many are."""
  names = collections.defaultdict(set)
  for path in paths:
    names[path.parent].add(path.name)
  masks = [path for path in paths if annotations.is_mask_of(path, names[path.parent])]
  if not masks:
    return {*paths}, []
  message = f'is the mask of the photo beside it by its name, as {len(masks)} files are, and no photo'
  return {*paths} - {*masks}, [Problem(min(masks).relative_to(root).as_posix(), 'mask_beside', message)]


def _classes_taken(root, found):
  """'good: OK/ (24 photos), NG: NG/ (20)'."""
  places = collections.defaultdict(collections.Counter)
  for one in sorted(found, key=lambda one: _FOLDERS.index(one.folder)):
    place = one.photo.parent.relative_to(root).as_posix() if one.place is None else one.place
    places[one.label][place] += 1
  said: list[str] = []
  for label in sorted(places, key=lambda label: (label != GOOD, label)):
    names = [f'{name}/' if name not in ('', '.') else 'this folder' for name in places[label]]
    more = f' and {len(names) - _PLACES} more' if len(names) > _PLACES else ''
    said.append(f'{label}: {", ".join(names[:_PLACES])}{more} ({places[label].total()}{"" if said else " photos"})')
  return ', '.join(said[:_NAMED]) + (f' and {len(said) - _NAMED} more classes' if len(said) > _NAMED else '')


def index_groups(root: pathlib.Path, paths: Sequence[pathlib.Path]) -> dict[pathlib.Path, str]:
  """Group by photo, from an index.csv (columns path, group) in the folder or the one above it; empty without one.

  An index that names only some of the photos is refused: the others could belong to its groups, and end up in another
  part. One of the folder above that names none is another set's.
  """
  for index in (root / 'index.csv', root.resolve().parent / 'index.csv'):
    if not index.is_file():
      continue
    real_folder = functools.cache(pathlib.Path.resolve)
    by_path = _read_index(index, real_folder)
    groups = {photo: by_path[real] for photo in paths if (real := _real(photo, real_folder)) in by_path}
    if not groups and index.parent != root:
      continue
    missing = [photo for photo in paths if photo not in groups]
    if missing:
      raise UserError(f'{index}: has no row for {len(missing)} of {len(paths)} photos, such as '
                      f'{missing[0].relative_to(root).as_posix()}; add path and group, or remove the index')
    return groups
  return {}


def _real(path, real_folder):
  """Path.resolve, each folder once."""
  return path.resolve() if path.is_symlink() else real_folder(path.parent) / path.name


def _read_index(index, real_folder):
  rows = read_table(index)
  if not rows or not {'path', 'group'} <= rows[0].keys():
    raise UserError(f'{index}: needs rows with the columns path and group')
  by_path = {}
  for number, row in enumerate(rows, 2):
    if not row['path'] or not row['group']:
      raise UserError(f'{index}: line {number} has no path or no group')
    path = _real(index.parent / row['path'], real_folder)
    if by_path.setdefault(path, row['group']) != row['group']:
      raise UserError(f'{index}: line {number} gives {row["path"]} a second group')
  return by_path


def read_table(path: pathlib.Path) -> list[dict[str, str]]:
  """Rows of a CSV file, by comma, semicolon or tab, whichever its first line has most of. Raises UserError."""
  try:
    with open(path, newline='', encoding='utf-8-sig') as file:
      head = file.readline()
      file.seek(0)
      return [*csv.DictReader(file, delimiter=max(',;\t', key=head.count))]
  except (OSError, ValueError, csv.Error) as error:
    raise UserError(f'{path}: cannot be read ({error}); save it as CSV in UTF-8') from error
