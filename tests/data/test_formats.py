import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from defect_jax.data import photos

RNG = np.random.default_rng(0)
RGB8 = RNG.integers(0, 256, (24, 40, 3), np.uint8)
RGB16 = RNG.integers(0, 65536, (24, 40, 3), np.uint16)
GREY8, GREY16 = RGB8[..., 0].copy(), RGB16[..., 0].copy()
GREY12, RGB12 = GREY16 >> 4, RGB16 >> 4


def full(values, bits):
  """Values of `bits` over the range of 16, by hand."""
  return np.uint16(np.floor(values.astype(float) * 65535 / (2**bits - 1) + 0.5))


def pillow(array, form, **options):
  file = io.BytesIO()
  Image.fromarray(array).save(file, form, **options)
  return file.getvalue()


def pnm(array, most, kind):
  head = b'P%d\n# a camera\n%d %d\n%d\n' % (kind, array.shape[1], array.shape[0], most)
  if kind < 4:
    return head + b' '.join(b'%d' % value for value in array.ravel())
  return head + (array.astype('>u2') if most > 255 else array).tobytes()


def chunk(kind, data):
  return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def png_16(values, significant=None):
  """A PNG of 16 bits, with an sBIT chunk, by the standard's words."""
  rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in values)
  sbit = chunk(b'sBIT', bytes([significant])) if significant else b''
  return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', *values.shape[::-1], 16, 0, 0, 0, 0)) + sbit
          + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))


# Bytes; what is decoded; bits of a sample and channels as the header has them.
EXACT = {
    'webp': (pillow(RGB8, 'WEBP', lossless=True), RGB8, 8, 3),
    'jp2 8': (pillow(RGB8, 'JPEG2000', irreversible=False), RGB8, 8, 3),
    'jp2 12': (imagecodecs.jpeg2k_encode(GREY12, level=0, bitspersample=12, reversible=True), full(GREY12, 12), 12, 1),
    'jp2 16': (imagecodecs.jpeg2k_encode(GREY16, level=0, reversible=True), GREY16, 16, 1),
    'j2k': (imagecodecs.jpeg2k_encode(GREY8, level=0, reversible=True, codecformat='j2k'), GREY8, 8, 1),
    'pgm 8': (pnm(GREY8, 255, 5), GREY8, 8, 1),
    'pgm 12': (pnm(GREY12, 4095, 5), full(GREY12, 12), 12, 1),
    'pgm 16': (pnm(GREY16, 65535, 5), GREY16, 16, 1),
    'pgm text': (pnm(GREY12, 4095, 2), full(GREY12, 12), 12, 1),
    'ppm 16': (pnm(RGB16, 65535, 6), RGB16, 16, 3),
    'pbm': (pillow(GREY8 > 127, 'PPM'), (GREY8 > 127) * np.uint8(255), 1, 1),
    'jxl 8': (imagecodecs.jpegxl_encode(RGB8, lossless=True), RGB8, 8, 3),
    'jxl 16': (imagecodecs.jpegxl_encode(GREY16, lossless=True), GREY16, 16, 1),
    'png sBIT': (png_16(GREY12, 12), GREY12, 16, 1),
}


@pytest.mark.parametrize('kind', EXACT)
def test_formats_keep_every_value(kind, tmp_path):
  data, expected, bits, channels = EXACT[kind]
  decoded = photos.decode(data, kind)
  assert decoded.dtype == expected.dtype
  np.testing.assert_array_equal(decoded, expected)
  (tmp_path / kind).write_bytes(data)
  header = photos.header(tmp_path / kind)
  assert (header.size, header.bits, header.channels) == (expected.shape[:2], bits, channels)


@pytest.mark.parametrize('kind', [kind for kind in EXACT if kind != 'pgm text'])
def test_every_truncation_is_noticed(kind):
  data = EXACT[kind][0]
  for length in {*range(1, len(data) - 40, 9), *range(len(data) - 40, len(data))}:
    with pytest.raises(photos.PhotoError, match=kind):
      photos.decode(data[:length], kind)


def test_avif_is_near_and_of_its_depth():
  flat = np.full((24, 40, 3), 512, np.uint16)
  deep = photos.decode(imagecodecs.avif_encode(flat, bitspersample=10), 'avif')
  assert deep.dtype == np.uint16 and abs(int(deep.mean()) - 512 * 65535 / 1023) < 300
  grey = photos.decode(imagecodecs.avif_encode(np.full((24, 40), 77, np.uint8)), 'avif')
  assert grey.shape == (24, 40) and abs(grey.mean() - 77) < 2


def test_jpeg_of_12_bits_is_of_its_depth(tmp_path):
  ramp = np.tile(np.linspace(0, 4095, 256).astype(np.uint16), (64, 1))
  (tmp_path / 'x.jpg').write_bytes(imagecodecs.jpeg_encode(ramp, bitspersample=12, level=95))
  decoded, header = photos.decode(tmp_path / 'x.jpg', 'x'), photos.header(tmp_path / 'x.jpg')
  np.testing.assert_allclose(decoded / 65535, ramp / 4095, atol=0.002)
  assert (header.size, header.bits, header.channels) == ((64, 256), 12, 1)


def test_bits_of_a_camera_fill_the_range_and_go_back():
  for data in (png_16(GREY12), pnm(GREY12, 65535, 5), imagecodecs.jpegxl_encode(GREY12, lossless=True)):
    decoded = photos.decode(data, 'x', bits=12)
    np.testing.assert_array_equal(decoded, full(GREY12, 12))
    np.testing.assert_array_equal(photos.to_bits(decoded, 12), GREY12)
  every = np.arange(2**14, dtype=np.uint16).reshape(128, 128)
  np.testing.assert_array_equal(photos.to_bits(photos.decode(png_16(every), 'x', bits=14), 14), every)
  np.testing.assert_array_equal(photos.decode(pillow(GREY8, 'PNG'), 'x', bits=12), GREY8)  # no matter of 8-bit files
  with pytest.raises(photos.PhotoError, match=r'has values up to 5000, more than 12 bits hold; set data\.bits=13'):
    photos.decode(png_16(np.full((9, 9), 5000, np.uint16)), 'x', bits=12)


@pytest.mark.parametrize('count', [2, 5])
def test_bands_beside_the_colours_are_refused(count):
  bands = np.stack([np.full((64, 64), 1000 * (band + 1), np.uint16) for band in range(5)], axis=-1)[..., :count]
  file = io.BytesIO()
  tifffile.imwrite(file, bands, photometric='minisblack', planarconfig='contig',
                   extrasamples=['unspecified'] * (count - 1))
  with pytest.raises(photos.PhotoError, match=f'has {count} channels; save it as grey or RGB'):
    photos.decode(file.getvalue(), 'bands.tif')
  file = io.BytesIO()
  tifffile.imwrite(file, bands[..., :2], photometric='minisblack', planarconfig='contig', extrasamples=['unassalpha'])
  np.testing.assert_array_equal(photos.decode(file.getvalue(), 'alpha.tif'), bands[..., 0])


def test_thumbnails_and_pyramids_are_no_further_photos():
  file = io.BytesIO()
  with tifffile.TiffWriter(file) as writer:
    writer.write(GREY16, photometric='minisblack', metadata=None)
    for step in (2, 4):
      writer.write(GREY16[::step, ::step].copy(), photometric='minisblack', subfiletype=1, metadata=None)
  np.testing.assert_array_equal(photos.decode(file.getvalue(), 'pyramid.tif'), GREY16)
  file = io.BytesIO()
  with tifffile.TiffWriter(file) as writer:
    for _ in range(2):  # focus planes
      writer.write(GREY16, photometric='minisblack', metadata=None)
  with pytest.raises(photos.PhotoError, match='has 2 pages'):
    photos.decode(file.getvalue(), 'planes.tif')


@pytest.mark.parametrize('orientation', range(1, 9))
def test_headers_know_the_turn(orientation, tmp_path):
  exif = Image.Exif()
  exif[0x0112] = orientation
  files = {form: pillow(RGB8, form, exif=exif) for form in ('PNG', 'JPEG', 'WEBP')}
  file = io.BytesIO()
  tifffile.imwrite(file, RGB16, extratags=[(274, 3, 1, orientation, True)])
  for form, data in {**files, 'TIFF': file.getvalue()}.items():
    (tmp_path / form).write_bytes(data)
    header = photos.header(tmp_path / form)
    assert (header.size, header.orientation, header.upright) == (
        (24, 40), orientation, photos.decode(data, form).shape[:2])


def test_headers_know_what_the_camera_used(tmp_path):
  (tmp_path / 'a.png').write_bytes(png_16(GREY12, 12))
  tifffile.imwrite(tmp_path / 'a.tif', GREY12, extratags=[(281, 3, 1, 4095, True)])
  tifffile.imwrite(tmp_path / 'b.tif', GREY12)
  assert [photos.header(tmp_path / name).significant for name in ('a.png', 'a.tif', 'b.tif')] == [12, 12, None]


@pytest.mark.parametrize(('data', 'reason'), [
    (pillow(GREY8, 'GIF'), 'is GIF, which is not read'),
    (b'\0\0\0\x18ftypheic' + bytes(40), 'is HEIC, which is not read'),
    (b'words\n' * 9, 'is not a PNG, JPEG, BMP, TIFF'), (b'', 'is not a PNG'),
    (b'\xff\xd8\xff\xe0\0', 'JPEG has no frame'),
    (b'P5\n3', 'the head of the PNM is damaged')])
def test_headers_that_are_none(data, reason, tmp_path):
  (tmp_path / 'x.png').write_bytes(data)
  with pytest.raises(photos.PhotoError, match=f'x: .*{reason}'):
    photos.header(tmp_path / 'x.png', 'x')
