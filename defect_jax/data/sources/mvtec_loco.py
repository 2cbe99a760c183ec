"""MVTec LOCO AD: as MVTec AD, with validation/good/ and several masks a photo, ground_truth/<class>/<stem>/000.png.

Bergmann et al. 2022, "Beyond Dents and Scratches: Logical Constraints in Unsupervised Anomaly Detection and
Localization", IJCV.
"""

import builtins
import os
import pathlib

from defect_jax.data import parts
from defect_jax.data.sources import mvtec_ad, tree

TITLE = 'MVTec LOCO AD'
_DEFECTS = ('logical_anomalies', 'structural_anomalies')


def missing(root: pathlib.Path) -> builtins.list[str]:
  """What the folder lacks to be of this layout."""
  return tree.lacks(root, 'train/good', 'test') + (
      [] if any((root / 'test' / name).is_dir() for name in _DEFECTS) else [f'test/{_DEFECTS[0]}/'])


def list(path: str | os.PathLike | None, key: str = 'data.path') -> parts.Listing:
  """Lists the photos of a folder that the config's `key` names, sorted by file; opens none of them."""
  return mvtec_ad.list_tops(path, key, {'train': 'train', 'validation': 'val', 'test': 'test'})
