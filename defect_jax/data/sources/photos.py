"""A folder of nothing but photos, all of one class; folders in it, such as by day, are groups."""

import builtins
import os
import pathlib
from collections.abc import Sequence

from defect_jax.config import UserError
from defect_jax.data import parts
from defect_jax.data.sources import classes, tree, words

TITLE = 'photos without class folders'
_WANTED = f'photos ({tree.TYPES})'


def missing(root: pathlib.Path) -> builtins.list[str]:
  """What the folder lacks to be of this layout."""
  return [] if tree.photos_below(root, words.is_marks) else [_WANTED]


def list(path: str | os.PathLike | None, key: str = 'data.path', defects: Sequence[str] = ()) -> parts.Listing:
  """Lists the photos of a folder that the config's `key` names and of those below it, sorted by file; opens none.

  They are of the one class that `defects` names; where it names none or several, of the folder's own name if that says
  that they are defective, else `good`. Raises UserError.
  """
  root = tree.root_of(path, key, _WANTED)
  by_folder = classes.folders_of(root)
  if not by_folder:
    raise UserError(f'{key}: {root} has no {_WANTED}')
  name = root.resolve().name
  label = defects[0] if len(defects) == 1 else name if words.is_defective(name) else parts.GOOD
  part_of = {folder: next(filter(None, map(words.part_of, folder)), '') for folder in by_folder}
  found = [tree.Found(photo, label, part_of[folder], '/'.join(folder))
           for folder, photos in by_folder.items() for photo in photos]
  found = classes.useful_groups(found)
  return tree.listing(root, found)
