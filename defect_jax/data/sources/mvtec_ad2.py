"""MVTec AD 2: train/good/, validation/good/ and test_public/ with good/, bad/ and ground_truth/bad/<stem>_mask.png.

Each workpiece is shown in several lights: NNN_regular, NNN_overexposed, NNN_underexposed, NNN_shift_1 and so on.
Heckler-Kram et al. 2025, "The MVTec AD 2 Dataset: Advanced Scenarios for Unsupervised Anomaly Detection".
"""

import builtins
import os
import pathlib
import re

from defect_jax.config import UserError
from defect_jax.data import parts
from defect_jax.data.sources import tree

TITLE = 'MVTec AD 2'
_TOPS = {'train': 'train', 'validation': 'val', 'test_public': 'test'}
_WANTED = 'train/good, test_public/<class>'
_LIGHT = re.compile(r'(\d+)_(?:regular|overexposed|underexposed|shift_\d+)')


def missing(root: pathlib.Path) -> builtins.list[str]:
  """What the folder lacks to be of this layout."""
  return tree.lacks(root, 'train/good', 'test_public')


def list(path: str | os.PathLike | None, key: str = 'data.path') -> parts.Listing:
  """Lists the photos of a folder that the config's `key` names, sorted by file; opens none of them.

  The lights of a workpiece are one group. Photos of test_private*/ have no known class and are left out.
  """
  root = tree.root_of(path, key, _WANTED)
  found = [one._replace(group=f'{one.place}/{light[1]}') if (light := _LIGHT.fullmatch(one.photo.stem)) else one
           for one in tree.of_tops(root, _TOPS)]
  if not found:
    raise UserError(f'{key}: {root} holds no photos ({tree.TYPES}) in {_WANTED}')
  problems = [parts.Problem(f'{folder.name}/', 'left_out', f'{len(photos)} photos of no known class are left out')
              for folder in tree.subfolders(root)
              if folder.name.startswith('test_private') and (photos := tree.photos_below(folder))]
  return tree.listing(root, found, problems=problems)
