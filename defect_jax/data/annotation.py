"""What is marked in a photo, however it is kept."""

import dataclasses
import hashlib
import pathlib
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Shaped

from defect_jax.data import photos


class Annotation(Protocol):
  """What is marked as a defect in one photo. A file a kind; sources attach it to their records."""

  def read(self, shape: tuple[int, int]) -> Bool[np.ndarray, 'h w']:
    """Which pixels of the upright photo, of height and width `shape`, are marked. Raises PhotoError."""

  def digest(self) -> str:
    """Differs where `read` would. Raises PhotoError."""


@dataclasses.dataclass(frozen=True)
class MaskFile:
  """An image of the photo's size in which everything above 0 is marked; `photo` is the photo's name, for messages."""
  path: pathlib.Path
  photo: str

  def read(self, shape: tuple[int, int]) -> Bool[np.ndarray, 'h w']:
    """Raises PhotoError also for a mask of another size, which belongs to another photo."""
    mask = marked(photos.decode(self.path, f'mask of {self.photo}'))
    if mask.shape != tuple(shape):
      sizes = f'is {shape[1]} x {shape[0]} px, its mask {mask.shape[1]} x {mask.shape[0]} px'
      raise photos.PhotoError(self.photo, sizes)
    return mask

  def digest(self) -> str:
    """SHA-256 of the file, hex."""
    return hashlib.sha256(photos.read(self.path, f'mask of {self.photo}')).hexdigest()


def marked(levels: Shaped[np.ndarray, 'h w *c']) -> Bool[np.ndarray, 'h w']:
  """Which pixels of a decoded mask, grey or colour, are above 0."""
  return levels > 0 if levels.ndim == 2 else (levels > 0).any(-1)
