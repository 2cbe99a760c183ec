"""Folders of classes as people name them: good/ and defective/, OK/ and NG/, 良品/ and 不良品/, no_defect/ and crack/.

They may lie in train/, val/ and test/, and have folders by day, shift or line below or above them, which are groups.
"""

import builtins
import collections
import dataclasses
import os
import pathlib
from collections.abc import Collection

from defect_jax.config import UserError
from defect_jax.data import parts
from defect_jax.data.parts import GOOD
from defect_jax.data.sources import tree, words

TITLE = 'class folders'
_WANTED = 'folders named for their class, such as good/ and defective/, with photos'


@dataclasses.dataclass(frozen=True)
class Place:
  """What a folder's path says of the photos in it. label: '' if it names no class. name: the path down to the class."""
  label: str
  folder: str
  group: str
  name: str


def missing(root: pathlib.Path) -> builtins.list[str]:
  """What the folder lacks to be of this layout."""
  places = understand(folders_of(root))
  return [] if any(place.label for place in places.values()) else [_WANTED]


def list(path: str | os.PathLike | None, key: str = 'data.path') -> parts.Listing:
  """Lists the photos of a folder that the config's `key` names, sorted by file; opens none of them.

  Classes: `good` for a folder whose name says so in any case and in a factory's language; else the folder's own name.
  In one that says no more than that its photos are defective, folders are classes of their own, unless their names are
  of days, shifts, lines or numbers, or lie among the good photos too. Folders that are no classes are groups, unless
  they would leave a class in one group. Photos in no class folder are problems. Raises UserError.
  """
  root = tree.root_of(path, key, _WANTED)
  by_folder = folders_of(root)
  places = understand(by_folder)
  labelled = {folder: place for folder, place in places.items() if place.label}
  if not labelled:
    raise UserError(f'{key}: {root} has no {_WANTED} ({tree.TYPES}) in them')
  if len({bool(place.folder) for place in labelled.values()}) > 1:
    some, other = (next(place.name for place in labelled.values() if bool(place.folder) == inside)
                   for inside in (True, False))
    raise UserError(f'{key}: {root} has both {some}/ and {other}/; keep one layout')
  words.check_clear({place.label for place in labelled.values()}, f'{key}: {root}')
  problems = [parts.Problem(f'{"/".join(folder) or "."}/', 'no_class', f'{len(photos)} photos lie in no class folder '
                            'and are left out; move them into one, or take data.source=photos')
              for folder, photos in by_folder.items() if folder not in labelled]
  found = [tree.Found(photo, place.label, place.folder, place.group, place.name)
           for folder, place in labelled.items() for photo in by_folder[folder]]
  found = useful_groups(found)
  return tree.listing(root, found, problems=problems)


def folders_of(root: pathlib.Path) -> dict[tuple[str, ...], builtins.list[pathlib.Path]]:
  """The photos below a folder, but masks, by the names of the folders that they lie in."""
  by_folder = collections.defaultdict(builtins.list)
  for photo in tree.photos_below(root, words.is_marks):
    by_folder[photo.parent].append(photo)
  return {folder.relative_to(root).parts: found for folder, found in sorted(by_folder.items())}


def understand(folders: Collection[tuple[str, ...]]) -> dict[tuple[str, ...], Place]:
  """What each folder's path says, seen beside the others."""
  known = {folder: _last_known(folder) for folder in folders}
  tops = {folder[:at] for folder, at in known.items() if at is not None}  # folders of class folders
  beside_good = {name for folder, at in known.items() if at is not None and words.is_good(folder[at])
                 for name in folder[at + 1:]}
  return {folder: _place(folder, _class_at(folder, at, tops, beside_good)) for folder, at in known.items()}


def _last_known(folder):
  """Where the path says good or defective, by the last word of the kind; None where it doesn't."""
  return max((at for at, name in enumerate(folder) if words.is_good(name) or words.is_defective(name)), default=None)


def _class_at(folder, known, tops, beside_good):
  """Which folder of the path gives the class, None if none does."""
  if known is not None and words.is_good(folder[known]):
    return known
  start = known + 1 if known is not None else max((len(top) for top in tops if folder[:len(top)] == top), default=0)
  return next((at for at, name in enumerate(folder)
               if at >= start and not _says_nothing(name) and name not in beside_good), known)


def _says_nothing(name):
  return bool(words.part_of(name)) or words.is_filler(name) or words.is_group(name)


def _place(folder, at):
  part = next((part for name in folder if (part := words.part_of(name))), '')
  group = '/'.join(name for number, name in enumerate(folder)
                   if number != at and not (words.part_of(name) or words.is_filler(name) or words.is_defective(name)))
  if at is None:
    return Place('', part, group, '/'.join(folder))
  return Place(GOOD if words.is_good(folder[at]) else folder[at], part, group, '/'.join(folder[:at + 1]))


def useful_groups(found: builtins.list[tree.Found]) -> builtins.list[tree.Found]:
  """The photos without groups, if those would leave all photos of a class in one group, never apart."""
  groups, counts = collections.defaultdict(set), collections.Counter(one.label for one in found)
  for one in found:
    groups[one.label].add(one.group or one.photo)
  if all(len(groups[label]) > 1 or counts[label] == 1 for label in counts):
    return found
  return [one._replace(group='') for one in found]
