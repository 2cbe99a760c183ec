"""What a photo's file says of itself before its pixels: format, size, depth, orientation."""

import dataclasses
import io
import re
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import imagecodecs
import tifffile
from PIL import Image

PNG, JPEG, BMP = b'\x89PNG\r\n\x1a\n', b'\xff\xd8\xff', b'BM'
TIFF = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
JPEG2000 = b'\0\0\0\x0cjP  \r\n\x87\n', b'\xff\x4f\xff\x51'
JPEG_XL = b'\0\0\0\x0cJXL \r\n\x87\n', b'\xff\x0a'
PNM = tuple(f'P{kind}'.encode() + space for kind in range(1, 7) for space in (b' ', b'\n', b'\r', b'\t'))
ORIENTATION = 0x0112  # the EXIF tag
# Modes of Pillow's that hold no colours; a palette may.
GREY_MODES = ('1', 'L', 'LA', 'La', 'I', 'I;16', 'I;16B', 'I;16L')

_HEAD = 32  # bytes that tell the format
_SIZES = {*range(0xc0, 0xd0)} - {0xc4, 0xc8, 0xcc}  # JPEG markers of frames: SOF0 to SOF15
_FIELD = rb'(?:\s|#[^\r\n]*[\r\n])+(\d+)'  # of a PNM's head, behind spaces and comments
_HEIC = (b'heic', b'heix', b'hevc', b'heim', b'heis', b'mif1')
_BRANDS = {b'avif': 'AVIF', b'avis': 'AVIF', b'crx ': 'CR3'} | dict.fromkeys(_HEIC, 'HEIC')


class FormatError(Exception):
  """Why a whole file is not taken, as a short clause."""


@dataclasses.dataclass(frozen=True)
class Header:
  """size: (height, width), as stored, before `orientation` (EXIF's 1 to 8) is applied. bits: of a sample in the file.
  significant: of these, how many the file says that the camera has used; None where it says nothing. channels: 1 or 3,
  or what a TIFF has that is neither, without alpha."""
  format: str
  size: tuple[int, int]
  bits: int
  channels: int
  orientation: int = 1
  significant: int | None = None

  @property
  def upright(self) -> tuple[int, int]:
    """(height, width) as decoded."""
    return self.size if self.orientation < 5 else (self.size[1], self.size[0])


def format_of(head: bytes) -> str:
  """The name of the format of a file that begins with `head`, of 32 bytes or more; '' for one that is not known."""
  for name, starts in (('PNG', PNG), ('JPEG', JPEG), ('BMP', BMP), ('TIFF', TIFF), ('JPEG 2000', JPEG2000),
                       ('JPEG XL', JPEG_XL), ('PNM', PNM), ('GIF', b'GIF8')):
    if head.startswith(starts) and head[8:10] != b'CR':  # a Canon raw file begins as a TIFF
      return name
  if head[:4] == b'RIFF' and head[8:12] == b'WEBP':
    return 'WebP'
  return _BRANDS.get(head[8:12], '') if head[4:8] == b'ftyp' else ''


def check_known(head: bytes) -> str:
  """`format_of`; FormatError for a format that is not read."""
  form = format_of(head)
  if form not in _READERS:
    raise FormatError(f'is {form}, which is not read; save it as PNG or TIFF' if form else
                      'is not a PNG, JPEG, BMP, TIFF, WebP, JPEG 2000, PNM, AVIF or JPEG XL image')
  return form


def read(file: BinaryIO) -> Header:
  """The header of an open file. Raises FormatError for a format that is not read, and whatever damaged files lead to.
  """
  form = check_known(file.read(_HEAD))
  file.seek(0)
  return dataclasses.replace(_READERS[form](file), format=form)


def png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
  """(kind, content) of the chunks before a PNG's pixels."""
  file.seek(len(PNG))
  while len(start := file.read(8)) == 8 and start[4:] not in (b'IDAT', b'IEND'):
    yield start[4:], file.read(int.from_bytes(start[:4], 'big'))
    file.seek(4, io.SEEK_CUR)  # the checksum


def _png(file):
  chunks = dict(png_chunks(file))
  width, height, bits, colour = struct.unpack('>IIBB', chunks[b'IHDR'][:10])
  if colour == 3:  # which colours a palette holds
    return _by_pillow(file)
  used = max(chunks[b'sBIT'][:1 if colour in (0, 4) else 3], default=0) if b'sBIT' in chunks else 0
  return Header('', (height, width), bits, 1 if colour in (0, 4) else 3, _turn(chunks.get(b'eXIf')),
                used if 0 < used < bits else None)


def _jpeg(file):
  exif = None
  file.seek(2)
  while len(start := file.read(4)) == 4:
    marker, length = start[1], int.from_bytes(start[2:], 'big') - 2
    if start[0] != 0xff or length < 0:
      break
    if marker == 0xff:  # a fill byte
      file.seek(-3, io.SEEK_CUR)
      continue
    content = file.read(length)
    if marker == 0xe1 and content.startswith(b'Exif\0\0') and exif is None:
      exif = content
    if marker in _SIZES:
      bits, height, width, channels = struct.unpack('>BHHB', content[:6])
      return Header('', (height, width), bits, 1 if channels == 1 else 3, _turn(exif))
  raise FormatError('is truncated (the JPEG has no frame)')


def _turn(exif):
  """The orientation that EXIF data name, 1 for no such data."""
  if not exif:
    return 1
  read = Image.Exif()
  read.load(exif)
  return checked_turn(read.get(ORIENTATION))


def checked_turn(value: Any) -> int:
  """An orientation as a tag names it; 1 where it is none."""
  return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _tiff(file):
  with tifffile.TiffFile(file) as tiff:
    page = tiff.pages[0]
    tags = {code: page.tags[code].value for code in (274, 281, 341) if code in page.tags}
    used = max(_whole(tags.get(341, tags.get(281, 0))), default=0).bit_length()
    palette = page.photometric == tifffile.PHOTOMETRIC.PALETTE
    alpha = sum(int(extra) in (1, 2) for extra in page.extrasamples)
    return Header('', (page.imagelength, page.imagewidth), page.bitspersample,
                  3 if palette else page.samplesperpixel - alpha, checked_turn(tags.get(274)),
                  used if 0 < used < page.bitspersample else None)


def _whole(values):
  """The whole numbers at least 0 of a tag's value, which is a number or several."""
  values = values if isinstance(values, tuple) else (values,)
  return [int(value) for value in values if isinstance(value, int | float) and 0 <= value < 2**32]


def _jpeg2000(file):
  head = file.read(1 << 16)
  start = head.index(JPEG2000[1]) + 6  # behind the markers SOC and SIZ and a length
  width, height, left, top = struct.unpack('>4I', head[start + 2:start + 18])
  count, depth = struct.unpack('>HB', head[start + 34:start + 37])
  return Header('', (height - top, width - left), (depth & 127) + 1, 1 if count < 3 else 3)


def _jpeg_xl(file):
  # Its head is packed bit by bit; photos of this format are few, so they are decoded.
  values = imagecodecs.jpegxl_decode(file.read())
  return Header('', values.shape[:2], 8 * values.dtype.itemsize, 1 if values.ndim == 2 or values.shape[-1] < 3 else 3)


def pnm_fields(head: bytes) -> tuple[int, int, int, int, int]:
  """(kind, width, height, highest value, where the pixels begin) of a PNM; ValueError where that is damaged."""
  kind = int(head[1:2])
  found = re.match(rb'P\d' + _FIELD * (2 if kind in (1, 4) else 3) + rb'\s', head)
  if not found:
    raise ValueError('the head of the PNM is damaged')
  width, height, *most = map(int, found.groups())
  return kind, width, height, most[0] if most else 1, found.end()


def _pnm(file):
  kind, width, height, most, _ = pnm_fields(file.read(1 << 12))
  return Header('', (height, width), most.bit_length(), 3 if kind in (3, 6) else 1)


def _by_pillow(file):
  file.seek(0)
  with Image.open(file) as image:
    palette = image.getpalette('RGB') or []
    grey = image.mode in GREY_MODES or (image.mode == 'P' and palette[::3] == palette[1::3] == palette[2::3])
    return Header('', (image.height, image.width), 1 if image.mode == '1' else 8, 1 if grey else 3,
                  checked_turn(image.getexif().get(ORIENTATION)))


def _avif(file):
  data = file.read()
  flags = data[data.index(b'av1C') + 6]  # of the configuration record (AV1 in ISOBMFF 1.2, section 2.3)
  bits = 8 if not flags & 0x40 else 12 if flags & 0x20 else 10
  return dataclasses.replace(_by_pillow(file), bits=bits, channels=1 if flags & 0x10 else 3)


_READERS = {'PNG': _png, 'JPEG': _jpeg, 'TIFF': _tiff, 'JPEG 2000': _jpeg2000, 'JPEG XL': _jpeg_xl, 'PNM': _pnm,
            'BMP': _by_pillow, 'WebP': _by_pillow, 'AVIF': _avif}
