"""Images of a set as PNG files, 16-bit colour as TIFF: fast, lossless, the same bytes for the same image."""

import io
import os
import zlib
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
_MOST_USED = 281  # the tag MaxSampleValue of a TIFF
_END = b'\0\0\0\0IEND\xaeB`\x82'  # the last chunk of every PNG
# 0.07 ms for a soft grey image of 64 px on one CPU core; with zlib's default strategy 0.12 ms, by Pillow 0.18 ms at
# level 1 and 0.22 ms at its default. None of these makes the file more than 1 % smaller.
_HEAD = 33  # bytes of a PNG before what may follow its first chunk
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


def encode_png(levels: Levels, bits: int = 16) -> bytes:
  """Bytes of a PNG; of all but 16-bit colour. bits: that are used, said in an sBIT chunk if not all of 16 are."""
  data = imagecodecs.png_encode(np.ascontiguousarray(levels), level=_LEVEL, strategy=_STRATEGY)
  if bits == 16:
    return data
  chunk = b'sBIT' + bytes([bits])
  return data[:_HEAD] + b'\0\0\0\1' + chunk + zlib.crc32(chunk).to_bytes(4, 'big') + data[_HEAD:]


def encode_tiff(levels: UInt16[np.ndarray, 'h w 3'], bits: int = 16) -> bytes:
  """Bytes of a TIFF. bits: that are used, said in its tag MaxSampleValue if not all of 16 are."""
  file = io.BytesIO()
  used = [] if bits == 16 else [(_MOST_USED, 'H', 3, (2**bits - 1,) * 3, True)]
  tifffile.imwrite(file, np.ascontiguousarray(levels), photometric='rgb', compression='zlib', predictor=True,
                   metadata=None, software=False, extratags=used)
  return file.getvalue()


def write_image(root: str | Path, index: int, image: Any, folder: str = IMAGES, bits: int = 16) -> str:
  """Writes an image (see `to_levels`) whole or not at all, in a `folder` of `root`, which exists; returns its path.

  bits: of a 16-bit image, that the file's values take: 65535 becomes 2**bits - 1.
  A PNG is not synced to disk, which takes longer than making it. After a power cut `is_whole` says which are there.
  """
  try:
    levels = to_levels(image)
  except ValueError as error:
    raise ValueError(f'image {index}: {error}') from error
  path, deep = image_file(index, folder, levels), _is_deep_colour(levels)
  bits = bits if levels.dtype == np.uint16 else 16
  if bits != 16:
    levels = np.round(levels * ((2**bits - 1) / 65535)).astype(np.uint16)
  write_atomic(Path(root) / path, encode_tiff(levels, bits) if deep else encode_png(levels, bits), sync=deep)
  return path


def read_image(path: str | Path) -> Float[np.ndarray, 'h w c']:
  """In [0, 1], from a file written here; UserError if it is damaged."""
  levels = read_levels(path)
  return np.float32(levels if levels.ndim == 3 else levels[..., None]) / np.iinfo(levels.dtype).max


def read_levels(path: str | Path) -> Levels:
  """The levels of a file written here, as they were given; UserError if it is damaged."""
  try:
    levels, bits = (_read_png if _is_png(path) else _read_tiff)(Path(path).read_bytes())
    return levels if bits == 16 else np.round(levels * (65535 / (2**bits - 1))).astype(np.uint16)
  except (OSError, ValueError, imagecodecs.PngError, tifffile.TiffFileError) as error:
    raise UserError(f'{path}: cannot be read ({error}); remove the set and make it again') from error


def _read_png(data):
  """(levels, bits of 16 that are used)."""
  is_said = data[_HEAD + 4:_HEAD + 8] == b'sBIT'
  return imagecodecs.png_decode(data), data[_HEAD + 8] if is_said else 16


def _read_tiff(data):
  with tifffile.TiffFile(io.BytesIO(data)) as file:
    tags = file.pages[0].tags
    return file.asarray(), tags[_MOST_USED].value[0].bit_length() if _MOST_USED in tags else 16


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
