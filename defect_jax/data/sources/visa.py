"""VisA: <object>/Data/Images/Normal/ and Anomaly/ with Data/Masks/Anomaly/<stem>.png; or made over to MVTec AD's form.

Zou et al. 2022, "SPot-the-Difference Self-Supervised Pre-training for Anomaly Detection and Segmentation", ECCV.
"""

import builtins
import os
import pathlib

from defect_jax.config import UserError
from defect_jax.data import parts
from defect_jax.data.sources import mvtec_ad, tree

TITLE = 'VisA'
_OBJECTS = ('candle', 'capsules', 'cashew', 'chewinggum', 'fryum', 'macaroni1', 'macaroni2', 'pcb1', 'pcb2', 'pcb3',
            'pcb4', 'pipe_fryum')
_IMAGES = 'Data/Images'
_SPLIT = 'split_csv/1cls.csv'


def missing(root: pathlib.Path) -> builtins.list[str]:
  """What the folder lacks to be of this layout."""
  return [] if _is_made_over(root) else tree.lacks(root, f'{_IMAGES}/Normal', f'{_IMAGES}/Anomaly')


def _is_made_over(root):
  return root.resolve().name in _OBJECTS and (root / 'test/bad').is_dir() and not mvtec_ad.missing(root)


def list(path: str | os.PathLike | None, key: str = 'data.path') -> parts.Listing:
  """Lists the photos of a folder that the config's `key` names, sorted by file; opens none of them.

  Which are for training and which for testing says split_csv/1cls.csv, in the folder or the one above it, if it is
  there; photos that it does not name are left out. Raises UserError.
  """
  root = tree.root_of(path, key, f'{_IMAGES}/Normal and {_IMAGES}/Anomaly')
  if _is_made_over(root):
    return mvtec_ad.list(path, key)
  found = tree.of_tops(root, {_IMAGES: ''})
  if not found:
    raise UserError(f'{key}: {root} holds no photos ({tree.TYPES}) in {_IMAGES}/Normal and {_IMAGES}/Anomaly')
  problems = []
  if split := _split(root):
    named = [one._replace(folder=part) for one in found if (part := split.get(one.photo.relative_to(root).as_posix()))]
    if rest := len(found) - len(named):
      problems = [parts.Problem(_SPLIT, 'left_out', f'{rest} photos that it does not name are left out')]
    found = named
  return tree.listing(root, found, problems=problems)


def _split(root):
  """'train' or 'test' by file; empty without a table."""
  for table in (root / _SPLIT, root.resolve().parent / _SPLIT):
    if table.is_file():
      rows, name = tree.read_table(table), root.resolve().name
      if not rows or not {'split', 'image'} <= rows[0].keys():
        raise UserError(f'{table}: needs rows with the columns split and image')
      return {row['image'].removeprefix(f'{name}/'): row['split'] for row in rows
              if row['image'].startswith((f'{name}/', 'Data/'))}
  return {}
