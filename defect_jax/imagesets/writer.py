"""Images of a set as PNG files, 16-bit colour as TIFF: fast, lossless, the same bytes for the same image."""

import io
import os
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from jaxtyping import Float, UInt8, UInt16

from defect_jax.config import UserError
from defect_jax.runs.artefacts import Artefact
from defect_jax.runs.atomic import write_atomic

IMAGE_SET = Artefact('set')  # what a run makes
# Grey or RGB, 8 or 16 bits.
Levels = UInt8[np.ndarray, 'h w'] | UInt8[np.ndarray, 'h w 3'] | UInt16[np.ndarray, 'h w'] | UInt16[np.ndarray, 'h w 3']
IMAGES = 'images'  # folder of the images within a set
# Folders of a set by the key of a manifest's line that names a file there.
FOLDERS = {'file': IMAGES, 'mask': 'masks', 'crop_file': 'crops', 'difference_file': 'differences'}
_END = b'\0\0\0\0IEND\xaeB`\x82'  # the last chunk of every PNG
# 0.07 ms for a soft grey image of 64 px on one CPU core; with zlib's default strategy 0.12 ms, by Pillow 0.18 ms at
# level 1 and 0.22 ms at its default. None of these makes the file more than 1 % smaller.
_LEVEL, _STRATEGY = 1, imagecodecs.PNG.STRATEGY.RLE


def image_file(index: int, folder: str = IMAGES, levels: Levels | None = None) -> str:
  """Path of an image within its set; `levels` as `to_levels` returns them, if it may be 16-bit colour."""
  return f'{folder}/{index:06d}{".tif" if levels is not None and _is_deep_colour(levels) else ".png"}'


def to_levels(image: Any) -> Levels:
  """Levels of an image `[H, W]`, `[H, W, 1]` or `[H, W, 3]`: floats are clipped to [0, 1] and rounded to 8 bits, uint8
  and uint16 stay as they are. ValueError for another shape or type, nan or infinity."""
  image = np.asarray(image)
  image = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
  if image.ndim != 2 and not (image.ndim == 3 and image.shape[-1] == 3):
    raise ValueError(f'an image is [H, W], [H, W, 1] or [H, W, 3], got {list(image.shape)}')
  if image.dtype in (np.uint8, np.uint16):
    return image
  if not np.issubdtype(image.dtype, np.floating):
    raise ValueError(f'an image is uint8, uint16 or floating-point, got {image.dtype}')
  if not np.isfinite(image).all():
    raise ValueError('the image holds nan or infinity')
  return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def _is_deep_colour(levels):
  """Whether an image is 16-bit colour, which most programs read from a PNG as 8 bits without a word."""
  return levels.dtype == np.uint16 and levels.ndim == 3


def encode_png(levels: Levels) -> bytes:
  """Bytes of a PNG; of all but 16-bit colour."""
  return imagecodecs.png_encode(np.ascontiguousarray(levels), level=_LEVEL, strategy=_STRATEGY)


def encode_tiff(levels: UInt16[np.ndarray, 'h w 3']) -> bytes:
  """Bytes of a TIFF."""
  file = io.BytesIO()
  tifffile.imwrite(file, np.ascontiguousarray(levels), photometric='rgb', compression='zlib', predictor=True,
                   metadata=None, software=False)
  return file.getvalue()


def write_image(root: str | Path, index: int, image: Any, folder: str = IMAGES) -> str:
  """Writes an image (see `to_levels`) whole or not at all, in a `folder` of `root`, which exists; returns its path.

  A PNG is not synced to disk, which takes longer than making it. After a power cut `is_whole` says which are there.
  """
  try:
    levels = to_levels(image)
  except ValueError as error:
    raise ValueError(f'image {index}: {error}') from error
  path, deep = image_file(index, folder, levels), _is_deep_colour(levels)
  write_atomic(Path(root) / path, encode_tiff(levels) if deep else encode_png(levels), sync=deep)
  return path


def read_image(path: str | Path) -> Float[np.ndarray, 'h w c']:
  """In [0, 1], from a file written here; UserError if it is damaged."""
  levels = read_levels(path)
  return np.float32(levels if levels.ndim == 3 else levels[..., None]) / np.iinfo(levels.dtype).max


def read_levels(path: str | Path) -> Levels:
  """The levels of a file written here, as they were given; UserError if it is damaged."""
  try:
    data = Path(path).read_bytes()
    return imagecodecs.png_decode(data) if _is_png(path) else tifffile.imread(io.BytesIO(data))
  except (OSError, ValueError, imagecodecs.PngError, tifffile.TiffFileError) as error:
    raise UserError(f'{path}: cannot be read ({error}); remove the set and make it again') from error


def _is_png(path):
  return Path(path).suffix == '.png'


def is_whole(path: str | Path) -> bool:
  """Whether a file is not missing, empty or cut off: a PNG that ends as one does, also after a power cut.

  A TIFF is there as a whole or not at all, since it was synced.
  """
  try:
    if not _is_png(path):
      return os.path.getsize(path) > 0
    with open(path, 'rb') as file:
      file.seek(-len(_END), os.SEEK_END)
      return file.read() == _END
  except OSError:  # also where it is shorter than the end
    return False
