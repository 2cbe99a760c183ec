"""KolektorSDD2: train/10000.png with train/10000_GT.png, and test/ likewise; or one such folder alone.

Bozic et al. 2021, "Mixed supervision for surface-defect detection: from weakly to fully supervised learning", Computers
in Industry.
"""

import builtins
import os
import pathlib

from defect_jax.data import parts
from defect_jax.data.sources import kolektor, tree

TITLE = 'KolektorSDD2'
_TOPS = {'train': 'train', 'test': 'test', '.': ''}
_WANTED = 'train/10000.png with train/10000_GT.png'


def missing(root: pathlib.Path) -> builtins.list[str]:
  """What the folder lacks to be of this layout."""
  return [] if any(any((root / top).glob('*_GT.*')) for top in _TOPS) else [_WANTED]


def list(path: str | os.PathLike | None, key: str = 'data.path') -> parts.Listing:
  """Lists the photos of a folder that the config's `key` names, sorted by file; opens their masks alone.

  Photos whose mask is empty are good, the others of the class `defect`.
  """
  root = tree.root_of(path, key, _WANTED)
  found = [tree.Found(photo, '', part, '', top) for top, part in _TOPS.items() for photo in tree.photos_in(root / top)]
  return kolektor.by_mask(root, found, '_GT', key)
