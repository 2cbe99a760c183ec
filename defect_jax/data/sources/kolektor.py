"""KolektorSDD: kos01/Part0.jpg with kos01/Part0_label.bmp; a folder shows one commutator.

Tabernik et al. 2020, "Segmentation-based deep-learning approach for surface-defect detection", Journal of Intelligent
Manufacturing.
"""

import builtins
import functools
import os
import pathlib
import re
from collections.abc import Iterable

from defect_jax.config import UserError
from defect_jax.data import annotations, parts, photos
from defect_jax.data.sources import tree

TITLE = 'KolektorSDD'
DEFECT = 'defect'
_WANTED = 'kos01/Part0.jpg with kos01/Part0_label.bmp'


def missing(root: pathlib.Path) -> builtins.list[str]:
  """What the folder lacks to be of this layout."""
  return [] if any(any(folder.glob('Part*_label.*')) for folder in _folders(root)) else [_WANTED]


def _folders(root):
  return [folder for folder in tree.subfolders(root) if re.fullmatch(r'kos\d+', folder.name)]


def list(path: str | os.PathLike | None, key: str = 'data.path') -> parts.Listing:
  """Lists the photos of a folder that the config's `key` names, sorted by file; opens their masks alone.

  Photos whose mask is empty are good, the others of the class `defect`; those of one commutator are a group.
  """
  root = tree.root_of(path, key, _WANTED)
  found = [tree.Found(photo, '', '', folder.name, folder.name) for folder in _folders(root)
           for photo in tree.photos_in(folder)]
  return by_mask(root, found, '_label', key)


def by_mask(root: pathlib.Path, found: Iterable[tree.Found], ending: str, key: str) -> parts.Listing:
  """The listing of photos with a mask beside each, <stem><ending>, which tells the class. Raises UserError."""
  photos_of, masks = {}, {}
  for one in found:
    name = one.photo.with_suffix('')
    if name.name.endswith(ending):
      masks[name] = one.photo
    else:
      photos_of[name] = one
  labelled, marked, problems = [], {}, []
  for name, one in photos_of.items():
    file = one.photo.relative_to(root).as_posix()
    mask = masks.get(name.with_name(f'{name.name}{ending}'))
    if mask is None:
      problems.append(parts.Problem(file, 'no_mask', f'has no mask {name.name}{ending} beside it and is left out'))
      continue
    try:
      is_marked = _is_marked(mask, mask.stat().st_mtime_ns)
    except photos.PhotoError as error:
      problems.append(parts.Problem(file, 'no_mask', f'is left out, since its mask {error.reason}'))
      continue
    labelled.append(one._replace(label=DEFECT if is_marked else parts.GOOD))
    if is_marked:
      marked[file] = annotations.MaskFile(mask, file)
  if not labelled:
    raise UserError(f'{key}: {root} holds no photos ({tree.TYPES}) with masks named *{ending}')
  return tree.listing(root, labelled, marked, problems)


@functools.lru_cache(None)
def _is_marked(mask, changed):
  """Whether any pixel is marked; `changed` is when the file was, so that a new one is read anew."""
  del changed
  return bool(annotations.read_mask(mask, mask.name).any())
