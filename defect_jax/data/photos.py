"""Decodes photos, whatever format their content is of, and scales them."""

import os
import pathlib

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from defect_jax.data import formats, headers
from defect_jax.data.formats import Photo
from defect_jax.data.headers import FormatError

MIN_SIDE = 8  # px; below this there is nothing to learn and a file is rather a tracking pixel or a mistake
# Endings of the files that are taken for photos. The content tells the format, never the name.
SUFFIXES = ('.png', '.jpg', '.jpeg', '.jpe', '.jfif', '.bmp', '.dib', '.tif', '.tiff', '.webp', '.jp2', '.j2k', '.jpx',
            '.jpc', '.j2c', '.pgm', '.ppm', '.pnm', '.pbm', '.avif', '.jxl')
_RAWS = ('.3fr', '.arw', '.cr2', '.cr3', '.dng', '.nef', '.nrw', '.orf', '.pef', '.raf', '.raw', '.rw2', '.srw')
# Why files of other endings that photos have are not read.
UNREAD = {'.heic': 'is HEIC, which is not read; save it as JPEG or PNG',
          '.heif': 'is HEIF, which is not read; save it as JPEG or PNG',
          '.gif': 'is GIF, which is not read; save it as PNG'
          } | dict.fromkeys(_RAWS, "is a camera's raw file, which is not read; develop it to TIFF or PNG")
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


class PhotoError(Exception):
  """A photo that can't be used; `reason` is a short clause such as 'is empty (0 bytes)'."""

  def __init__(self, name: str, reason: str):
    super().__init__(f'{name}: {reason}')
    self.name, self.reason = name, reason

  def told_of(self, name: str) -> str:
    """The reason where it is said beside a photo's name, which need not be repeated."""
    return self.reason if self.name == name else str(self)


def read(path: str | os.PathLike, name: str) -> bytes:
  """Returns the file's bytes; raises PhotoError when it can't be read."""
  try:
    return pathlib.Path(path).read_bytes()
  except OSError as error:
    raise PhotoError(name, f'cannot be read: {error.strerror or error}') from error


def decode(source: str | os.PathLike | bytes, name: str, bits: int = 16) -> Photo:
  """Decodes one photo, a path or the file's bytes, upright; `name` is what error messages call it.

  bits: how many bits the camera uses of files of 16 bits; their values are stretched to the full range.
  Raises PhotoError for an empty, truncated or damaged file, for what is of no format that is read, for several pages,
  for floating point or signed values, for values beyond `bits`, and for less than MIN_SIDE pixels a side.
  """
  data = read(source, name) if isinstance(source, (str, os.PathLike)) else bytes(source)
  if not data:
    raise PhotoError(name, 'is empty (0 bytes)')
  try:
    array = formats.decoder(data)(data, bits)
  except FormatError as error:
    raise PhotoError(name, UNREAD.get(pathlib.Path(name).suffix.lower(), str(error))) from error
  except MemoryError:
    raise
  except Image.DecompressionBombError as error:
    raise PhotoError(name, f'is too large ({error})') from error
  except Exception as error:  # the decoders raise a dozen types, from struct.error to SyntaxError, on damaged files
    raise _damaged(name, error) from error
  height, width = array.shape[:2]
  if min(height, width) < MIN_SIDE:
    raise PhotoError(name, f'is {width} x {height} px; at least {MIN_SIDE} px a side are needed')
  return np.ascontiguousarray(array)


def header(path: str | os.PathLike, name: str | None = None) -> headers.Header:
  """What a photo's file says of itself, without its pixels; PhotoError where it can't be read or is damaged."""
  name = str(path) if name is None else name
  try:
    with open(path, 'rb') as file:
      return headers.read(file)
  except FormatError as error:
    raise PhotoError(name, str(error)) from error
  except OSError as error:
    if error.errno is None:  # one of Pillow's
      raise _damaged(name, error) from error
    raise PhotoError(name, f'cannot be read: {error.strerror}') from error
  except Exception as error:  # as in decode
    raise _damaged(name, error) from error


def _damaged(name, error):
  detail = ' '.join(str(error).split()) or type(error).__name__
  return PhotoError(name, f'is truncated or damaged ({detail})')


def to_bits(levels: Photo, bits: int) -> Photo:
  """Undoes what `decode` did to the values of a file of 16 bits: 0 to 65535 becomes 0 to 2**bits - 1."""
  return levels if bits == 16 else np.round(levels * ((2**bits - 1) / 65535)).astype(np.uint16)


def to_channels(array: Photo, channels: int) -> Float[np.ndarray, 'h w c']:
  """A decoded photo in [0, 1], with 1 or 3 channels; grey is Rec. 601 luma."""
  image = array.astype(np.float32) / np.float32(np.iinfo(array.dtype).max)
  if image.ndim == 2:
    return np.repeat(image[..., None], channels, axis=-1)
  return image if channels == 3 else grey(image)[..., None]


def grey(image: Float[np.ndarray, '*shape 3']) -> Float[np.ndarray, '*shape']:
  """Rec. 601 luma of RGB."""
  return image @ _LUMA


def scale(image: Float[np.ndarray, 'h w c'], size: int | tuple[int, int]) -> Float[np.ndarray, 'h2 w2 c']:
  """Scales an image in [0, 1] to `size`, a side or (height, width).

  Smaller: each new pixel is the exact mean over the area it covers, fractions of pixels included. Larger, be it on one
  side: bicubic, clipped to [0, 1].
  """
  height, width = (size, size) if isinstance(size, int) else size
  if image.shape[:2] == (height, width):
    return image
  if image.shape[0] < height or image.shape[1] < width:
    planes = [np.asarray(Image.fromarray(image[..., c]).resize((width, height), Image.Resampling.BICUBIC))
              for c in range(image.shape[-1])]
    return np.clip(np.stack(planes, axis=-1), 0, 1)
  rows = np.tensordot(_area_weights(image.shape[0], height), image, axes=1)  # [height, W, C]
  return np.clip(_area_weights(image.shape[1], width) @ rows, 0, 1)


def scale_mask(mask: Bool[np.ndarray, 's s'], size: int) -> Bool[np.ndarray, 'size size']:
  """Scales a square mask: set where any pixel is that the new one covers in part."""
  covered = (_area_weights(len(mask), size) > 0).astype(np.float32)
  return covered @ mask.astype(np.float32) @ covered.T > 0


def _area_weights(old, new):
  """Matrix `[new, old]`: the share of each old pixel in each new one."""
  edges, pixels = np.arange(new + 1) * (old / new), np.arange(old)
  overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
  return (np.clip(overlap, 0, None) * (new / old)).astype(np.float32)
