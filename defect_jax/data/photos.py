"""Decodes photos as cameras and inspection stations write them, and scales them.

The content tells the format, never the file's name. What Pillow can't do without loss (16-bit RGB, odd bit
depths) goes through imagecodecs and tifffile. Alpha is dropped, not composited: the colours are what the camera
measured, transparency is only about display.
"""

import io
import logging
import os
import pathlib

import imagecodecs
import numpy as np
import tifffile
from jaxtyping import Bool, Float, Shaped
from PIL import Image

Photo = Shaped[np.ndarray, 'h w *c']  # as decoded: uint8 or uint16 over its full range, grey or of 3 colours
MIN_SIDE = 8  # px; below this there is nothing to learn and a file is rather a tracking pixel or a mistake

_PNG = b'\x89PNG\r\n\x1a\n'
_JPEG = b'\xff\xd8\xff'
_BMP = b'BM'
_TIFF = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
_EXIF_ORIENTATION = 0x0112
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_YCBCR_READ = (6, 7)  # compressions by which tifffile converts the colours: JPEG, old and new
_GREY_MODES = ('1', 'L', 'LA', 'La')

logging.getLogger('tifffile').setLevel(logging.CRITICAL)  # it logs each damaged tag; we raise one error a photo


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


def decode(source: str | os.PathLike | bytes, name: str) -> Photo:
  """Decodes one photo, a path or the file's bytes, upright; `name` is what error messages call it.

  Raises PhotoError for an empty, truncated or damaged file, for what is no PNG, JPEG, BMP or TIFF, for several pages,
  for floating point or signed values, and for less than MIN_SIDE pixels a side.
  """
  data = read(source, name) if isinstance(source, (str, os.PathLike)) else bytes(source)
  if not data:
    raise PhotoError(name, 'is empty (0 bytes)')
  try:
    array = _decoder(data, name)(data, name)
  except (PhotoError, MemoryError):
    raise
  except Image.DecompressionBombError as error:
    raise PhotoError(name, f'is too large ({error})') from error
  except Exception as error:  # the decoders raise a dozen types, from struct.error to SyntaxError, on damaged files
    detail = ' '.join(str(error).split()) or type(error).__name__
    raise PhotoError(name, f'is truncated or damaged ({detail})') from error
  height, width = array.shape[:2]
  if min(height, width) < MIN_SIDE:
    raise PhotoError(name, f'is {width} x {height} px; at least {MIN_SIDE} px a side are needed')
  return np.ascontiguousarray(array)


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


def _decoder(data, name):
  for start, decoder in ((_PNG, _png), (_JPEG, _jpeg), (_BMP, _bmp), (_TIFF, _tiff)):
    if data.startswith(start):
      return decoder
  raise PhotoError(name, 'is not a PNG, JPEG, BMP or TIFF image')


def _png(data, name):
  _check_png_chunks(data, name)
  if data[24] != 16:  # bit depth in the IHDR chunk
    return _by_pillow(data)
  with Image.open(io.BytesIO(data)) as image:
    orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
  return _upright(_without_alpha(imagecodecs.png_decode(data)), orientation)


def _check_png_chunks(data, name):
  """Decoders take a PNG that stops between its last pixel and its end mark; a copy cut off is cut off."""
  position = len(_PNG)
  while position + 8 <= len(data):
    length = int.from_bytes(data[position:position + 4], 'big')
    is_end = data[position + 4:position + 8] == b'IEND'
    position += length + 12
    if is_end and position <= len(data):
      return
  raise PhotoError(name, 'is truncated (the PNG has no end)')


def _jpeg(data, name):
  # Bytes FF D9 end the last scan. Inside scans FF is always escaped; a thumbnail's end lies before the scans' start.
  if data.rfind(b'\xff\xd9') < data.rfind(b'\xff\xda'):  # Pillow itself lets CMYK without an end pass
    raise PhotoError(name, 'is truncated (the JPEG has no end)')
  return _by_pillow(data)


def _bmp(data, name):
  declared = int.from_bytes(data[2:6], 'little')
  if declared > len(data):  # Pillow itself doesn't miss the last row's padding
    raise PhotoError(name, f'is truncated ({len(data)} of {declared} bytes)')
  return _by_pillow(data)


def _by_pillow(data):
  with Image.open(io.BytesIO(data)) as image:
    image.load()
    orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    palette = np.array(image.getpalette('RGB') or ()).reshape(-1, 3)  # none but in mode P
    grey = image.mode in _GREY_MODES or (image.mode == 'P' and (palette == palette[:, :1]).all())
    return _upright(np.asarray(image.convert('L' if grey else 'RGB')), orientation)


def _tiff(data, name):
  with tifffile.TiffFile(io.BytesIO(data)) as tiff:
    if len(tiff.pages) != 1:
      raise PhotoError(name, f'has {len(tiff.pages)} pages; save one image a file')
    page = tiff.pages[0]
    if (page.is_imagej and int(tiff.imagej_metadata.get('images', 1)) > 1) or page.imagedepth > 1:
      raise PhotoError(name, 'holds a stack of images; save one image a file')
    _check_tiff_kind(page, name)
    _check_tiff_whole(tiff, page, data, name)
    return _upright(_tiff_values(page), page.tags[274].value if 274 in page.tags else 1)


def _check_tiff_whole(tiff, page, data, name):
  """tifffile leaves out tags that lie beyond the file's end and takes their defaults."""
  form = tiff.tiff
  count = data[page.offset:page.offset + form.tagnosize]
  entries = int.from_bytes(count, 'little' if tiff.byteorder == '<' else 'big')
  ends = [page.offset + form.tagnosize + entries * form.tagsize + form.offsetsize]
  ends += [start + count for start, count in zip(page.dataoffsets, page.databytecounts, strict=True)]
  if max(ends) > len(data) or len(page.tags) < entries:
    raise PhotoError(name, 'is truncated (the TIFF lacks pixel data or tags)')


def _check_tiff_kind(page, name):
  kind = tifffile.PHOTOMETRIC(page.photometric).name
  if kind not in ('MINISBLACK', 'MINISWHITE', 'RGB', 'YCBCR', 'PALETTE'):
    raise PhotoError(name, f'has the colour model {kind}; save it as grey or RGB')
  if kind == 'YCBCR' and page.compression not in _YCBCR_READ:
    raise PhotoError(name, 'has the colour model YCBCR without JPEG compression; save it as grey or RGB')
  if page.dtype is None or page.dtype.kind not in 'ub' or page.bitspersample > 16:
    values = 'floating-point' if page.sampleformat == 3 else 'signed' if page.sampleformat == 2 else 'wide integer'
    raise PhotoError(name, f'has {values} values of {page.bitspersample} bits; save it with 8 or 16 bits')
  colours = 1 if kind in ('MINISBLACK', 'MINISWHITE', 'PALETTE') else 3
  if page.samplesperpixel - len(page.extrasamples) != colours:
    raise PhotoError(name, f'has {page.samplesperpixel} channels; save it as grey or RGB')


def _tiff_values(page):
  values = page.asarray()
  if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and values.ndim == 3:
    values = np.moveaxis(values, 0, -1)
  values = _without_alpha(values)
  if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
    return (page.colormap[:, values] >> 8).astype(np.uint8).transpose(1, 2, 0)
  bits = page.bitspersample
  if bits not in (8, 16):  # 1-bit drawings and 10- to 14-bit cameras: stretch to the full range
    full_scale, dtype = (255, np.uint8) if bits < 8 else (65535, np.uint16)
    values = np.round(values * (full_scale / (2**bits - 1))).astype(dtype)
  if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
    values = np.iinfo(values.dtype).max - values
  return values


def _without_alpha(array):
  if array.ndim == 2:
    return array
  return array[..., :3] if array.shape[-1] >= 3 else array[..., 0]


def _upright(array, orientation):
  """Applies the EXIF orientation (1 to 8, EXIF 2.32 section 4.6.4)."""
  array = np.swapaxes(array, 0, 1) if orientation in (5, 6, 7, 8) else array
  array = array[::-1] if orientation in (3, 4, 7, 8) else array
  return array[:, ::-1] if orientation in (2, 3, 6, 7) else array
