"""What is marked in a photo, however it is kept, and masks that are images."""

import dataclasses
import hashlib
import io
import pathlib
from typing import Never, Protocol

import numpy as np
from jaxtyping import Bool
from PIL import Image

from defect_jax.data import formats, headers, photos

_LOSSY = ('JPEG', 'WebP', 'AVIF')  # formats that leave levels near an edge which nobody has painted


class Annotation(Protocol):
  """What is marked as a defect in one photo. A file a kind; sources attach it to their records."""

  def read(self, shape: tuple[int, int]) -> Bool[np.ndarray, 'h w']:
    """Which pixels of the upright photo, of height and width `shape`, are marked. Raises PhotoError."""

  def digest(self) -> str:
    """Differs where `read` would. Raises PhotoError."""


@dataclasses.dataclass(frozen=True)
class MaskFile:
  """An image of the photo's size, see `read_mask`; `photo` is the photo's name, for messages.

  inverted: whether what is not marked is the defect. turn: the EXIF orientation that the mask has to be turned by,
  that of a photo on whose pixels it was drawn as they are stored.
  """
  path: pathlib.Path
  photo: str
  inverted: bool = False
  turn: int = 1

  def read(self, shape: tuple[int, int]) -> Bool[np.ndarray, 'h w']:
    """Raises PhotoError also for a mask of another size, which belongs to another photo."""
    mask = formats.upright(self.levels(), self.turn)
    if mask.shape != tuple(shape):
      sizes = f'is {shape[1]} x {shape[0]} px, its mask {mask.shape[1]} x {mask.shape[0]} px'
      raise photos.PhotoError(self.photo, sizes)
    return mask != self.inverted

  def levels(self) -> Bool[np.ndarray, 'h w']:
    """What is marked before it is turned or inverted; see read_mask."""
    return read_mask(self.path, f'mask of {self.photo}')

  def digest(self) -> str:
    """SHA-256 of the file, hex, and how it is read if not as it is."""
    how = (' inverted' if self.inverted else '') + (f' turned {self.turn}' if self.turn != 1 else '')
    return hashlib.sha256(photos.read(self.path, f'mask of {self.photo}')).hexdigest() + how


@dataclasses.dataclass(frozen=True)
class Union:
  """Several annotations of one photo: marked is what any of them marks."""
  annotations: tuple[Annotation, ...]

  def read(self, shape: tuple[int, int]) -> Bool[np.ndarray, 'h w']:
    return np.logical_or.reduce([annotation.read(shape) for annotation in self.annotations])

  def digest(self) -> str:
    digests = ' '.join(annotation.digest() for annotation in self.annotations)
    return hashlib.sha256(digests.encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Unusable:
  """What can't be used, so that its photo is left out and named, rather than taken for one with nothing marked."""
  photo: str
  reason: str

  def read(self, shape: tuple[int, int]) -> Never:
    """Raises PhotoError."""
    raise photos.PhotoError(self.photo, self.reason)

  def digest(self) -> Never:
    """Raises PhotoError."""
    raise photos.PhotoError(self.photo, self.reason)


def read_mask(path: pathlib.Path, name: str) -> Bool[np.ndarray, 'h w']:
  """Which pixels of a mask are marked, upright by its own EXIF data. Raises PhotoError of `name`, see photos.decode.

  Those above 0; of lossy formats above half of the highest. Where a part is transparent: those that are not. Of a
  palette whose corners, three or four, are of one colour that is not black: those of another index.
  """
  data = photos.read(path, name)
  levels = photos.decode(data, name)
  form = headers.format_of(data[:32])
  if form in ('PNG', 'WebP', 'TIFF', 'BMP') and (found := _by_transparency_or_palette(data)) is not None:
    return found
  least = max(levels.max() / 2, np.iinfo(levels.dtype).max / 32) if form in _LOSSY else 0
  return levels > least if levels.ndim == 2 else (levels > least).any(-1)


def _by_transparency_or_palette(data):
  try:
    image = Image.open(io.BytesIO(data))
  except OSError:  # what Pillow alone does not read has been decoded
    return None
  with image:
    turn = image.getexif().get(headers.ORIENTATION, 1)
    if image.has_transparency_data:
      alpha = np.asarray(image.convert('RGBA').getchannel('A'))
      return formats.upright(alpha > 0, turn) if alpha.min() == 0 else None
    if image.mode != 'P':
      return None
    found = _by_palette(np.asarray(image), np.array(image.getpalette('RGB'), np.uint8).reshape(-1, 3))
    return None if found is None else formats.upright(found, turn)


def _by_palette(index, colours):
  """None where the background is black, or the corners do not tell it."""
  counts = np.bincount(index[[0, 0, -1, -1], [0, -1, 0, -1]])
  background = counts.argmax()
  return index != background if counts[background] > 2 and colours[background].any() else None
