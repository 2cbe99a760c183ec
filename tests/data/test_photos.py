import io

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


def pillow(array, form, mode=None, **options):
  image = Image.fromarray(array)
  file = io.BytesIO()
  (image.convert(mode) if mode else image).save(file, form, **options)
  return file.getvalue()


def tiff(array, **options):
  file = io.BytesIO()
  tifffile.imwrite(file, array, **options)
  return file.getvalue()


EXACT = {
    'png 8 grey': (pillow(GREY8, 'PNG'), GREY8),
    'png 8 rgb': (pillow(RGB8, 'PNG'), RGB8),
    'png 8 grey alpha': (pillow(GREY8, 'PNG', 'LA'), GREY8),
    'png 16 grey': (imagecodecs.png_encode(GREY16), GREY16),
    'png 16 rgb': (imagecodecs.png_encode(RGB16), RGB16),
    'png 16 rgba': (imagecodecs.png_encode(np.dstack([RGB16, GREY16])), RGB16),
    'bmp grey': (pillow(GREY8, 'BMP'), GREY8),
    'bmp rgb': (pillow(RGB8, 'BMP'), RGB8),
    'bmp rgba': (pillow(np.dstack([RGB8, GREY8]), 'BMP'), RGB8),
    'tiff 8 grey': (tiff(GREY8), GREY8),
    'tiff 8 rgba': (pillow(np.dstack([RGB8, GREY8]), 'TIFF'), RGB8),
    'tiff 16 rgb': (tiff(RGB16), RGB16),
    'tiff 16 big-endian': (tiff(RGB16, byteorder='>'), RGB16),
    'tiff 16 lzw': (tiff(RGB16, compression='lzw', predictor=True), RGB16),
    'tiff 16 tiles': (tiff(RGB16, compression='zlib', tile=(16, 16)), RGB16),
    'tiff 16 planes': (tiff(np.moveaxis(RGB16, -1, 0), photometric='rgb', planarconfig='separate'), RGB16),
    'tiff libtiff lzw': (pillow(RGB8, 'TIFF', compression='tiff_lzw'), RGB8),
    'tiff white is zero': (tiff(GREY8, photometric='miniswhite'), 255 - GREY8),
}


@pytest.mark.parametrize('kind', EXACT)
def test_lossless_formats_keep_every_value(kind):
  data, expected = EXACT[kind]
  decoded = photos.decode(data, kind)
  assert decoded.dtype == expected.dtype
  np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize(
    ('form', 'options'), [('PNG', {}), ('BMP', {}), ('TIFF', {}), ('TIFF', {'compression': 'group4'})])
def test_one_bit_is_black_and_white(form, options):
  bits = GREY8 > 127
  np.testing.assert_array_equal(photos.decode(pillow(bits, form, **options), form), bits * np.uint8(255))


@pytest.mark.parametrize('form', ['PNG', 'BMP', 'TIFF'])
def test_palettes_give_their_colours(form):
  image = Image.fromarray(RGB8).quantize(16)
  file = io.BytesIO()
  image.save(file, form)
  np.testing.assert_array_equal(photos.decode(file.getvalue(), form), np.asarray(image.convert('RGB')))


def test_grey_palette_stays_grey():
  image = Image.fromarray(GREY8 // 64)
  image.putpalette([level for level in (0, 80, 160, 255) for _ in range(3)])
  file = io.BytesIO()
  image.save(file, 'PNG')
  np.testing.assert_array_equal(photos.decode(file.getvalue(), 'p'), np.array([0, 80, 160, 255])[GREY8 // 64])


def test_twelve_bits_are_stretched_to_sixteen():
  values = (GREY16 >> 4).reshape(-1, 2).astype(np.uint32)
  packed = np.stack([values[:, 0] >> 4, (values[:, 0] & 15) << 4 | values[:, 1] >> 8, values[:, 1] & 255], -1)
  file = io.BytesIO(tiff(packed.astype(np.uint8).reshape(24, 60)))
  with tifffile.TiffFile(file, mode='r+') as opened:
    opened.pages[0].tags['ImageWidth'].overwrite(40)
    opened.pages[0].tags['BitsPerSample'].overwrite(12)
  expected = np.round(values.reshape(24, 40) * (65535 / 4095))
  np.testing.assert_array_equal(photos.decode(file.getvalue(), '12 bit'), expected)


def test_jpeg_is_what_pillow_decodes():
  for array in (GREY8, RGB8):
    data = pillow(array, 'JPEG', progressive=True)
    np.testing.assert_array_equal(photos.decode(data, 'j'), np.asarray(Image.open(io.BytesIO(data))))


# What each orientation needs so that it is shown upright (EXIF 2.32): a numpy twin, worked out independently.
UPRIGHT = {
    1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
    5: lambda a: np.rot90(np.flipud(a), -1), 6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(np.flipud(a), 1), 8: lambda a: np.rot90(a, 1)}


@pytest.mark.parametrize('orientation', UPRIGHT)
def test_exif_orientation_equals_the_turned_twin(orientation):
  exif = Image.Exif()
  exif[0x0112] = orientation
  upright = UPRIGHT[orientation](RGB8)
  np.testing.assert_array_equal(photos.decode(pillow(RGB8, 'PNG', exif=exif), 'png'), upright)
  jpeg, plain = pillow(RGB8, 'JPEG', exif=exif), pillow(RGB8, 'JPEG')
  np.testing.assert_array_equal(photos.decode(jpeg, 'jpeg'), UPRIGHT[orientation](photos.decode(plain, 'plain')))
  turned = tiff(RGB16, extratags=[(274, 3, 1, orientation, True)])
  np.testing.assert_array_equal(photos.decode(turned, 'tiff'), UPRIGHT[orientation](RGB16))


TRUNCATED = {
    'png': EXACT['png 8 rgb'][0], 'png 16': EXACT['png 16 rgb'][0], 'jpeg': pillow(RGB8, 'JPEG'),
    'jpeg progressive': pillow(RGB8, 'JPEG', progressive=True), 'jpeg cmyk': pillow(RGB8, 'JPEG', 'CMYK'),
    'bmp': EXACT['bmp rgb'][0], 'bmp 1 bit': pillow(GREY8 > 127, 'BMP'),
    'tiff': EXACT['tiff 16 rgb'][0], 'tiff lzw': EXACT['tiff 16 lzw'][0], 'libtiff': EXACT['tiff libtiff lzw'][0]}


@pytest.mark.parametrize('kind', TRUNCATED)
def test_every_truncation_is_noticed(kind):
  data = TRUNCATED[kind]
  photos.decode(data, kind)
  for length in {*range(1, 200, 9), *range(200, len(data) - 40, 97), *range(len(data) - 40, len(data))}:
    with pytest.raises(photos.PhotoError, match=kind):
      photos.decode(data[:length], kind)


@pytest.mark.parametrize(('data', 'reason'), [
    (b'', 'is empty'),
    (b'hello, world\n' * 9, 'is not a PNG'),
    (pillow(GREY8, 'GIF'), 'is GIF, which is not read'),
    (pillow(GREY8[:1, :1], 'PNG'), 'is 1 x 1 px'),
    (pillow(GREY8[:7], 'BMP'), 'is 40 x 7 px'),
    (tiff(GREY8.astype(np.float32)), 'floating-point values of 32 bits'),
    (tiff(GREY8.astype(np.int16)), 'signed values of 16 bits'),
    (tiff(GREY16.astype(np.uint32)), 'values of 32 bits'),
    (tiff(np.stack([GREY8, GREY8])), 'has 2 pages'),
    (pillow(RGB8, 'TIFF', 'CMYK'), 'colour model SEPARATED'),
    (pillow(RGB8, 'TIFF', 'YCbCr'), 'colour model YCBCR without JPEG'),
])
def test_refusals_name_file_and_reason(data, reason):
  with pytest.raises(photos.PhotoError, match=reason) as caught:
    photos.decode(data, 'part 7.png')
  assert str(caught.value).startswith('part 7.png: ') and '\n' not in str(caught.value)


def test_missing_file(tmp_path):
  with pytest.raises(photos.PhotoError, match=r'gone\.png: cannot be read: No such file'):
    photos.decode(tmp_path / 'gone.png', 'gone.png')


def test_channels():
  pixel = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
  np.testing.assert_allclose(photos.to_channels(pixel, 1)[0, :, 0], [0.299, 0.587, 0.114, 1], atol=1e-6)
  np.testing.assert_array_equal(photos.to_channels(pixel, 3), pixel / np.float32(255))
  np.testing.assert_array_equal(photos.to_channels(np.array([[0, 65535]], np.uint16), 3), [[[0] * 3, [1] * 3]])


def test_shrinking_is_the_block_mean():
  image = RNG.random((12, 12, 3), np.float32)
  expected = image.reshape(4, 3, 4, 3, 3).mean((1, 3))
  np.testing.assert_allclose(photos.scale(image, 4), expected, atol=1e-6)


def test_shrinking_counts_fractions_of_pixels():
  # 3 px to 2: each new pixel covers 1.5 old ones, so weights 2/3 and 1/3.
  image = np.array([[0.9, 0.3, 0.6]] * 3, np.float32)[..., None]
  np.testing.assert_allclose(photos.scale(image, 2)[..., 0], [[0.7, 0.5]] * 2, atol=1e-6)


def test_shrinking_keeps_the_mean_of_a_real_size():
  image = RNG.random((300, 300, 1), np.float32)
  assert photos.scale(image, 64).mean() == pytest.approx(image.mean(), abs=1e-6)


def test_enlarging_is_smooth_and_stays_in_range():
  step = np.zeros((8, 8, 1), np.float32)
  step[:, 4:] = 1
  large = photos.scale(step, 32)
  assert large.min() == 0 and large.max() == 1
  assert (np.diff(large[16, :, 0]) >= -1e-6).all() and ((large > 0.1) & (large < 0.9)).any()
  np.testing.assert_array_equal(photos.scale(step, 8), step)
