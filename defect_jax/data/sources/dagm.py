"""DAGM 2007: Class1/Train/0576.PNG with Class1/Train/Label/0576_label.PNG where it is defective, and Test/ likewise.

Wieler and Hahn 2007, "Weakly supervised learning for industrial optical inspection", DAGM Symposium. The masks are
ellipses around the defects.
"""

import builtins
import os
import pathlib

from defect_jax.config import UserError
from defect_jax.data import annotations, parts
from defect_jax.data.sources import tree

TITLE = 'DAGM 2007'
_TOPS = {'Train': 'train', 'Test': 'test'}
_DEFECT = 'defect'


def missing(root: pathlib.Path) -> builtins.list[str]:
  """What the folder lacks to be of this layout."""
  return [] if any((root / top / 'Label').is_dir() for top in _TOPS) else ['Train/Label/']


def list(path: str | os.PathLike | None, key: str = 'data.path') -> parts.Listing:
  """Lists the photos of a folder of one texture that the config's `key` names, sorted by file; opens none of them.

  Photos with a mask are of the class `defect`, the others good. Masks without a photo are problems.
  """
  root = tree.root_of(path, key, 'Train/ and Test/ with Label/')
  found, masks, problems = [], {}, []
  for top, part in _TOPS.items():
    marks = {mask.stem.removesuffix('_label'): mask for mask in tree.photos_in(root / top / 'Label')}
    for photo in tree.photos_in(root / top):
      file, mask = f'{top}/{photo.name}', marks.pop(photo.stem, None)
      found.append(tree.Found(photo, _DEFECT if mask else parts.GOOD, part, '', top))
      if mask:
        masks[file] = annotations.MaskFile(mask, file)
    problems += [parts.Problem(f'{top}/Label/{mask.name}', 'no_photo', 'has no photo') for mask in marks.values()]
  if not found:
    raise UserError(f'{key}: {root} holds no photos ({tree.TYPES}) in Train/ and Test/')
  return tree.listing(root, found, masks, problems)
