"""A person's own photos in the two layouts that version 0.1 knew: MVTec AD, or plain ok/ and ng/."""

import builtins
import os
import pathlib

from defect_jax.config import UserError
from defect_jax.data import parts
from defect_jax.data.sources import tree

TITLE = 'MVTec AD or ok/ and ng/'
_LAYOUTS = 'train/good, test/<class> (MVTec AD) or ok/, ng/'


def missing(root: pathlib.Path) -> builtins.list[str]:
  """What the folder lacks to be of this layout."""
  return [] if any((root / name).is_dir() for name in ('train', 'test', 'ok', 'ng')) else [_LAYOUTS]


def list(path: str | os.PathLike | None, key: str = 'data.path', plain: bool = False) -> parts.Listing:
  """Lists the photos of a folder that the config's `key` names, sorted by file; opens none of them.

  plain: whether a folder without these layouts may hold photos, all of class `good`.
  Classes: `good` for folders good/ and ok/; else the folder's name below train/, test/ or ng/, and `ng` for
  photos directly in ng/. Masks: ground_truth/<class>/<stem>_mask.png. Groups: index.csv (columns path, group; in the
  folder or the one above it), else each photo is its own group.
  """
  root = tree.root_of(path, key, _LAYOUTS)
  # What lies below ng/ is of classes of its own.
  found = [tree.Found(photo, label, part, '', folder.relative_to(root).as_posix())
           for label, part, folder in _class_folders(root, key, plain)
           for photo in (tree.photos_in(folder) if folder == root / 'ng' else tree.photos_below(folder))]
  if not found:
    raise UserError(f'{key}: {root} holds no photos ({tree.TYPES}) in {_LAYOUTS}')
  return tree.listing(root, found)


def _class_folders(root, key, plain):
  """Class, part and folder; a folder inside another's tree comes only under its own class."""
  mvtec = [root / name for name in ('train', 'test') if (root / name).is_dir()]
  simple = [root / name for name in ('ok', 'ng') if (root / name).is_dir()]
  if mvtec and simple:
    raise UserError(f'{key}: {root} has both {mvtec[0].name}/ and {simple[0].name}/; keep one layout')
  if mvtec:
    return [(parts.GOOD if folder.name == 'ok' else folder.name, top.name, folder)
            for top in mvtec for folder in tree.subfolders(top)]
  if simple:
    classes = [(folder.name, '', folder) for folder in tree.subfolders(root / 'ng')]
    return [(parts.GOOD, '', root / 'ok'), *classes, ('ng', '', root / 'ng')]
  if plain and tree.photos_in(root):
    return [(parts.GOOD, '', root)]
  inside = [folder for folder in tree.subfolders(root)
            if any((folder / name).is_dir() for name in ('train', 'test', 'ok'))]
  hint = f'; perhaps you mean {inside[0]}' if inside else ''
  raise UserError(f'{key}: {root} has neither {_LAYOUTS}{hint}')
