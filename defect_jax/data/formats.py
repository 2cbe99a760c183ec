"""Decodes the formats that cameras and inspection stations write, to the full range of 8 or 16 bits.

What Pillow can't do without loss (16-bit colour, odd bit depths) goes through imagecodecs and tifffile. Alpha is
dropped, not composited: the colours are what the camera measured, transparency is only about display.
"""

import io
import logging
from collections.abc import Callable

import imagecodecs
import numpy as np
import tifffile
from jaxtyping import Shaped
from PIL import Image

from defect_jax.data import headers
from defect_jax.data.headers import FormatError

Photo = Shaped[np.ndarray, 'h w *c']  # as decoded: uint8 or uint16 over its full range, grey or of 3 colours

_YCBCR_READ = (6, 7)  # compressions by which tifffile converts the colours: JPEG, old and new
_ALPHA = (1, 2)  # kinds of extra samples of a TIFF: with colours multiplied by it, and not
_REDUCED, _MASK = 1, 4  # flags of a page's NewSubfileType
_DNG = 50706  # the tag that makes a TIFF a camera's raw file

logging.getLogger('tifffile').setLevel(logging.CRITICAL)  # it logs each damaged tag; we raise one error a photo


def decoder(data: bytes) -> Callable[[bytes, int], Photo]:
  """What decodes a file of this content, by it and how many bits of a 16-bit file the camera uses.

  Raises FormatError; the decoder does too, and whatever damaged files lead to.
  """
  return _DECODERS[headers.check_known(data[:32])]


def full_range(values: Shaped[np.ndarray, '*shape'], bits: int) -> Shaped[np.ndarray, '*shape']:
  """Values of 0 to 2**bits - 1 over the full range of 8 or 16 bits; FormatError if some are higher."""
  if bits in (8, 16):
    return values
  values = np.uint8(values) if values.dtype == bool else values
  highest, dtype, most = 2**bits - 1, *((np.uint8, 255) if bits < 8 else (np.uint16, 65535))
  if (found := int(values.max(initial=0))) > highest:
    raise FormatError(f'has values up to {found}, more than {bits} bits hold; set data.bits={found.bit_length()}')
  return (np.arange(highest + 1) * (most / highest)).round().astype(dtype)[values]


def _png(data, bits):
  _check_png_chunks(data)
  if data[24] != 16:  # bit depth in the IHDR chunk
    return _by_pillow(data, bits)
  values = full_range(_without_alpha(imagecodecs.png_decode(data)), bits)
  with Image.open(io.BytesIO(data)) as image:  # EXIF data may lie behind the pixels
    return upright(values, image.getexif().get(headers.ORIENTATION, 1))


def _check_png_chunks(data):
  """Decoders take a PNG that stops between its last pixel and its end mark; a copy cut off is cut off."""
  position = len(headers.PNG)
  while position + 8 <= len(data):
    length = int.from_bytes(data[position:position + 4], 'big')
    is_end = data[position + 4:position + 8] == b'IEND'
    position += length + 12
    if is_end and position <= len(data):
      return
  raise FormatError('is truncated (the PNG has no end)')


def _jpeg(data, bits):
  # Bytes FF D9 end the last scan. Inside scans FF is always escaped; a thumbnail's end lies before the scans' start.
  if data.rfind(b'\xff\xd9') < data.rfind(b'\xff\xda'):  # Pillow itself lets CMYK without an end pass
    raise FormatError('is truncated (the JPEG has no end)')
  head = headers.read(io.BytesIO(data))
  if head.bits == 8:
    return _by_pillow(data, bits)
  return upright(full_range(imagecodecs.jpeg_decode(data), head.bits), head.orientation)


def _bmp(data, bits):
  declared = int.from_bytes(data[2:6], 'little')
  if declared > len(data):  # Pillow itself doesn't miss the last row's padding
    raise FormatError(f'is truncated ({len(data)} of {declared} bytes)')
  return _by_pillow(data, bits)


def _webp(data, bits):
  if (declared := int.from_bytes(data[4:8], 'little') + 8) > len(data):
    raise FormatError(f'is truncated ({len(data)} of {declared} bytes)')
  return _by_pillow(data, bits)


def _by_pillow(data, bits):
  del bits
  with Image.open(io.BytesIO(data)) as image:
    if image.format not in ('JPEG', 'MPO', 'PNG') and (count := getattr(image, 'n_frames', 1)) > 1:
      raise FormatError(f'has {count} images; save one image a file')
    image.load()
    orientation = image.getexif().get(headers.ORIENTATION, 1)
    palette = np.array(image.getpalette('RGB') or ()).reshape(-1, 3)  # none but in mode P
    grey = image.mode in headers.GREY_MODES or (image.mode == 'P' and (palette == palette[:, :1]).all())
    return upright(np.asarray(image.convert('L' if grey else 'RGB')), orientation)


def _avif(data, bits):
  head = headers.read(io.BytesIO(data))
  if head.bits == 8:
    values = _by_pillow(data, bits)
    return values if head.channels == 3 or values.ndim == 2 else np.ascontiguousarray(values[..., 0])
  return upright(full_range(_without_alpha(imagecodecs.avif_decode(data)), head.bits), head.orientation)


def _jpeg2000(data, bits):
  depth = headers.read(io.BytesIO(data)).bits
  return _of_depth(_without_alpha(imagecodecs.jpeg2k_decode(data)), depth, bits)


def _jpeg_xl(data, bits):
  values = _without_alpha(imagecodecs.jpegxl_decode(data))  # upright by itself
  return _of_depth(values, 8 * values.dtype.itemsize, bits)


def _of_depth(values, depth, bits):
  if values.dtype.kind != 'u' or depth > 16:
    raise FormatError(f'has {values.dtype} values; save it with 8 or 16 bits')
  return full_range(values, min(depth, bits) if depth == 16 else depth)


def _pnm(data, bits):
  kind, width, height, most, start = headers.pnm_fields(data)
  colours = 3 if kind in (3, 6) else 1
  if kind in (1, 4):
    if kind == 4 and len(data) - start < -(-width // 8) * height:  # Pillow fills up what is missing
      raise FormatError('is truncated (the PBM lacks pixels)')
    return _by_pillow(data, bits)
  if kind < 4:
    values = np.array(data[start:].split(), np.int64)
  else:
    values = np.frombuffer(data, np.uint8 if most < 256 else '>u2', width * height * colours, start)
  if not 0 < most < 2**16 or values.max() > most:
    raise FormatError(f'has values above {most}, which it calls the highest')
  values = values.reshape(height, width, 3) if colours == 3 else values.reshape(height, width)
  values = values.astype(np.uint8 if most < 256 else np.uint16)
  return full_range(values, bits if most == 2**16 - 1 else most.bit_length())


def _tiff(data, bits):
  with tifffile.TiffFile(io.BytesIO(data)) as tiff:
    page, *others = tiff.pages
    # Smaller copies of a page and masks of transparency are no photos.
    if further := [other for other in others if not other.subfiletype & (_REDUCED | _MASK)]:
      raise FormatError(f'has {1 + len(further)} pages; save one image a file')
    if (page.is_imagej and int(tiff.imagej_metadata.get('images', 1)) > 1) or page.imagedepth > 1:
      raise FormatError('holds a stack of images; save one image a file')
    _check_tiff_kind(page)
    _check_tiff_whole(tiff, page, data)
    return upright(_tiff_values(page, bits), page.tags[274].value if 274 in page.tags else 1)


def _check_tiff_whole(tiff, page, data):
  """tifffile leaves out tags that lie beyond the file's end and takes their defaults."""
  form = tiff.tiff
  count = data[page.offset:page.offset + form.tagnosize]
  entries = int.from_bytes(count, 'little' if tiff.byteorder == '<' else 'big')
  ends = [page.offset + form.tagnosize + entries * form.tagsize + form.offsetsize]
  ends += [start + count for start, count in zip(page.dataoffsets, page.databytecounts, strict=True)]
  if max(ends) > len(data) or len(page.tags) < entries:
    raise FormatError('is truncated (the TIFF lacks pixel data or tags)')


def _check_tiff_kind(page):
  kind = tifffile.PHOTOMETRIC(page.photometric).name
  # Raw files begin with a preview, whose photo is in a page below it.
  if _DNG in page.tags or kind == 'CFA' or (page.subfiletype & _REDUCED and 330 in page.tags):
    raise FormatError("is a camera's raw file, which is not read; develop it to TIFF or PNG")
  if kind not in ('MINISBLACK', 'MINISWHITE', 'RGB', 'YCBCR', 'PALETTE'):
    raise FormatError(f'has the colour model {kind}; save it as grey or RGB')
  if kind == 'YCBCR' and page.compression not in _YCBCR_READ:
    raise FormatError('has the colour model YCBCR without JPEG compression; save it as grey or RGB')
  if page.dtype is None or page.dtype.kind not in 'ub' or page.bitspersample > 16:
    values = 'floating-point' if page.sampleformat == 3 else 'signed' if page.sampleformat == 2 else 'wide integer'
    raise FormatError(f'has {values} values of {page.bitspersample} bits; save it with 8 or 16 bits')
  colours = 1 if kind in ('MINISBLACK', 'MINISWHITE', 'PALETTE') else 3
  # Samples beside the colours that are not said to be transparency are measurements.
  if page.samplesperpixel - sum(extra in _ALPHA for extra in page.extrasamples) != colours:
    raise FormatError(f'has {page.samplesperpixel} channels; save it as grey or RGB')


def _tiff_values(page, bits):
  values = page.asarray()
  if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and values.ndim == 3:
    values = np.moveaxis(values, 0, -1)
  values = _without_alpha(values)
  if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
    return (page.colormap[:, values] >> 8).astype(np.uint8).transpose(1, 2, 0)
  # 1-bit drawings and 10- to 14-bit cameras: stretched to the full range.
  values = full_range(values, min(page.bitspersample, bits) if page.bitspersample == 16 else page.bitspersample)
  if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
    values = np.iinfo(values.dtype).max - values
  return values


def _without_alpha(array):
  if array.ndim == 2:
    return array
  return array[..., :3] if array.shape[-1] >= 3 else array[..., 0]


def upright(array: Shaped[np.ndarray, 'h w *c'], orientation: int) -> Shaped[np.ndarray, 'h2 w2 *c']:
  """Applies the EXIF orientation (1 to 8, EXIF 2.32 section 4.6.4)."""
  array = np.swapaxes(array, 0, 1) if orientation in (5, 6, 7, 8) else array
  array = array[::-1] if orientation in (3, 4, 7, 8) else array
  return array[:, ::-1] if orientation in (2, 3, 6, 7) else array


_DECODERS = {'PNG': _png, 'JPEG': _jpeg, 'BMP': _bmp, 'TIFF': _tiff, 'WebP': _webp, 'JPEG 2000': _jpeg2000,
             'JPEG XL': _jpeg_xl, 'PNM': _pnm, 'AVIF': _avif}
