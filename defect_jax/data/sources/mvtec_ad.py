"""MVTec AD: train/good/, test/<class>/ and ground_truth/<class>/<stem>_mask.png.

Bergmann et al. 2019, "MVTec AD: A Comprehensive Real-World Dataset for Unsupervised Anomaly Detection", CVPR.
"""

import builtins
import os
import pathlib
from collections.abc import Mapping, Sequence

from defect_jax.config import UserError
from defect_jax.data import parts
from defect_jax.data.sources import tree, words

TITLE = 'MVTec AD'
_TOPS = {'train': 'train', 'test': 'test'}


def missing(root: pathlib.Path) -> builtins.list[str]:
  """What the folder lacks to be of this layout: train/ holds good photos alone, and no class lies beside it."""
  lacking = tree.lacks(root, 'train/good', 'test')
  if not lacking and not tree.subfolders(root / 'test'):
    lacking = ['class folders in test/']
  return lacking or only_good(root)


def only_good(root: pathlib.Path) -> builtins.list[str]:
  """What makes a set with train/ one of another layout: further classes in train/, or class folders beside it."""
  if any(not words.is_good(folder.name) for folder in tree.subfolders(root / 'train')):
    return ['good photos alone in train/']
  beside = [name for folder in tree.subfolders(root) if words.is_good(name := folder.name) or words.is_defective(name)]
  return [f'no {beside[0]}/ beside train/'] if beside else []


def list(path: str | os.PathLike | None, key: str = 'data.path') -> parts.Listing:
  """Lists the photos of a folder that the config's `key` names, sorted by file; opens none of them."""
  return list_tops(path, key, _TOPS)


def list_tops(path: str | os.PathLike | None, key: str, tops: Mapping[str, str], problems: Sequence[parts.Problem] = ()
              ) -> parts.Listing:
  """Lists <top>/<class>/ of each of `tops`, see tree.of_tops. Raises UserError where there are no photos."""
  wanted = ', '.join(f'{top}/<class>' for top in tops)
  root = tree.root_of(path, key, wanted)
  found = tree.of_tops(root, tops)
  if not found:
    raise UserError(f'{key}: {root} holds no photos ({tree.TYPES}) in {wanted}')
  return tree.listing(root, found, problems=problems)
