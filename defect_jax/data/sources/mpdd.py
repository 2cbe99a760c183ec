"""MPDD, metal parts: laid out as MVTec AD, known by the names of its six parts.

Jezek et al. 2021, "Deep learning-based defect detection of metal parts: evaluating current methods in complex
conditions", ICUMT.
"""

import builtins
import os
import pathlib

from defect_jax.data import parts
from defect_jax.data.sources import mvtec_ad

TITLE = 'MPDD'
_PARTS = ('bracket_black', 'bracket_brown', 'bracket_white', 'connector', 'metal_plate', 'tubes')


def missing(root: pathlib.Path) -> builtins.list[str]:
  """What the folder lacks to be of this layout."""
  return mvtec_ad.missing(root) + ([] if root.resolve().name in _PARTS else [f'a name such as {_PARTS[0]}'])


def list(path: str | os.PathLike | None, key: str = 'data.path') -> parts.Listing:
  """Lists the photos of a folder that the config's `key` names, sorted by file; opens none of them."""
  return mvtec_ad.list(path, key)
