"""BTAD: as MVTec AD, with ok/ for good/, ko/ for the defects and masks named as their photos.

Mishra et al. 2021, "VT-ADL: A Vision Transformer Network for Image Anomaly Detection and Localization", ISIE.
"""

import builtins
import os
import pathlib

from defect_jax.data import parts
from defect_jax.data.sources import mvtec_ad, tree

TITLE = 'BTAD'


def missing(root: pathlib.Path) -> builtins.list[str]:
  """What the folder lacks to be of this layout."""
  return tree.lacks(root, 'train/ok', 'test/ko') or mvtec_ad.only_good(root)


def list(path: str | os.PathLike | None, key: str = 'data.path') -> parts.Listing:
  """Lists the photos of a folder that the config's `key` names, sorted by file; opens none of them."""
  return mvtec_ad.list_tops(path, key, {'train': 'train', 'test': 'test'})
