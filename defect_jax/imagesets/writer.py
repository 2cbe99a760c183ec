"""Images of a set as PNG files: fast, lossless, the same bytes for the same image."""

import os
import pathlib

import imagecodecs
import numpy as np

from defect_jax.atomic import write_atomic
from defect_jax.config import UserError

IMAGES = 'images'  # folder of the images within a set
_END = b'\0\0\0\0IEND\xaeB`\x82'  # the last chunk of every PNG
# 0.07 ms for a soft grey image of 64 px on one CPU core; with zlib's default strategy 0.12 ms, by Pillow 0.18 ms at
# level 1 and 0.22 ms at its default. None of these makes the file more than 1 % smaller.
_LEVEL, _STRATEGY = 1, imagecodecs.PNG.STRATEGY.RLE


def image_file(index):
  """Path of an image within its set."""
  return f'{IMAGES}/{index:06d}.png'


def to_levels(image):
  """8-bit levels of an image.

  Args:
    image: `[H, W]`, `[H, W, 1]` or `[H, W, 3]`; floating-point, clipped to [0, 1], or uint8, left as it is.

  Returns uint8 `[H, W]` or `[H, W, 3]`. ValueError for another shape or type, nan or infinity.
  """
  image = np.asarray(image)
  if image.ndim == 3 and image.shape[-1] == 1:
    image = image[..., 0]
  if image.ndim != 2 and not (image.ndim == 3 and image.shape[-1] == 3):
    raise ValueError(f'an image is [H, W], [H, W, 1] or [H, W, 3], got {list(image.shape)}')
  if image.dtype == np.uint8:
    return image
  if not np.issubdtype(image.dtype, np.floating):
    raise ValueError(f'an image is uint8 or floating-point, got {image.dtype}')
  if not np.isfinite(image).all():
    raise ValueError('the image holds nan or infinity')
  return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def encode_png(levels):
  """Bytes of a PNG of uint8 `[H, W]` or `[H, W, 3]`."""
  return imagecodecs.png_encode(np.ascontiguousarray(levels), level=_LEVEL, strategy=_STRATEGY)


def write_image(root, index, image):
  """Writes an image (see `to_levels`) whole or not at all, in the folder `images` of `root`, which exists.

  Not synced to disk: for thousands of small files that takes longer than making them. After a power cut `is_whole`
  tells which are there.

  Raises ValueError for what is no image, DiskFull or another OSError.
  """
  try:
    data = encode_png(to_levels(image))
  except ValueError as error:
    raise ValueError(f'image {index}: {error}') from error
  write_atomic(pathlib.Path(root) / image_file(index), data, sync=False)


def read_image(path):
  """Float32 `[H, W, C]` in [0, 1] of a PNG written here; UserError where it is damaged."""
  try:
    levels = imagecodecs.png_decode(pathlib.Path(path).read_bytes())
  except (OSError, imagecodecs.PngError) as error:
    raise UserError(f'{path}: cannot be read ({error}); remove the set and make it again') from error
  return np.float32(levels if levels.ndim == 3 else levels[..., None]) / 255


def is_whole(path):
  """Whether a file ends as a PNG does: not one that is missing, empty, cut off or whose end never reached the disk."""
  try:
    with open(path, 'rb') as file:
      file.seek(-len(_END), os.SEEK_END)
      return file.read() == _END
  except OSError:  # also where it is shorter than the end
    return False
