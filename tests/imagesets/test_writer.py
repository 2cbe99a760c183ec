"""PNG files hold the levels they were given, as another decoder sees them; whole files are told from cut ones."""

import io

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from defect_jax.data import photos
from defect_jax.imagesets import writer


def pillow(path):
  with Image.open(path) as image:
    return image.mode, np.asarray(image)


@pytest.fixture
def root(tmp_path):
  (tmp_path / 'images').mkdir()
  return tmp_path


@pytest.mark.parametrize(('shape', 'mode'), [((9, 13), 'L'), ((9, 13, 1), 'L'), ((9, 13, 3), 'RGB'), ((1, 1), 'L')])
def test_every_level_survives(root, shape, mode):
  levels = np.resize(np.random.default_rng(0).permutation(256).astype(np.uint8), shape)
  expected = levels.reshape(shape[:2] if mode == 'L' else shape)
  for index, image in enumerate((levels, (levels / 255).astype(np.float32), levels / 255)):
    writer.write_image(root, index, image)
    found, pixels = pillow(root / f'images/{index:06d}.png')
    assert found == mode
    np.testing.assert_array_equal(pixels, expected)
  files = sorted((root / 'images').iterdir())
  assert [file.name for file in files] == ['000000.png', '000001.png', '000002.png']
  assert len({file.read_bytes() for file in files}) == 1  # the same image, the same bytes


def test_values_are_rounded_and_clipped():
  image = np.array([[-3, 0.49 / 255, 0.51 / 255, 254.49 / 255, 1.7]], np.float32)
  assert writer.to_levels(image).tolist() == [[0, 0, 1, 254, 255]]


def test_images_cut_out_of_others_are_encoded_as_they_look():
  levels = np.random.default_rng(0).integers(0, 256, (12, 12, 4), np.uint8)
  cut = levels[::2, 3:9, :3].transpose(1, 0, 2)
  np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(writer.encode_png(cut)))), cut)


@pytest.mark.parametrize(('image', 'part'), [
  (np.full((4, 4), np.nan, np.float32), 'image 7: the image holds nan'), (np.full((4, 4), np.inf), 'nan or infinity'),
  (np.zeros((4, 4, 2)), r'got \[4, 4, 2\]'), (np.zeros((2, 4, 4, 1)), r'got \[2, 4, 4, 1\]'),
  (np.zeros((4, 4), np.int32), 'got int32'),
])
def test_what_is_no_image_is_refused(root, image, part):
  with pytest.raises(ValueError, match=part):
    writer.write_image(root, 7, image)
  assert list((root / 'images').iterdir()) == []


def test_whole_files_are_told_from_cut_ones(root):
  writer.write_image(root, 0, np.zeros((8, 8, 3)))
  path = root / 'images/000000.png'
  data = path.read_bytes()
  assert writer.is_whole(path)
  for damaged in (b'', data[:5], data[:-1], data[:-12], data[:-12] + bytes(12)):
    path.write_bytes(damaged)
    assert not writer.is_whole(path)
  path.unlink()
  assert not writer.is_whole(path)
  pillows = io.BytesIO()
  Image.new('L', (8, 8)).save(pillows, 'png')
  path.write_bytes(pillows.getvalue())
  assert writer.is_whole(path)


@pytest.mark.parametrize('shape', [(16, 16), (16, 16, 3)])
def test_bits_of_a_camera_are_kept_in_its_own_range(root, shape):
  values = np.random.default_rng(0).integers(0, 4096, shape, np.uint16)
  full = np.uint16(np.floor(values * (65535 / 4095) + 0.5))
  path = root / writer.write_image(root, 0, full, bits=12)
  raw = tifffile.imread(path) if path.suffix == '.tif' else imagecodecs.png_decode(path.read_bytes())
  np.testing.assert_array_equal(raw, values)
  np.testing.assert_array_equal(writer.read_levels(path), full)
  np.testing.assert_array_equal(photos.decode(path, 'made', bits=photos.header(path).significant), full)
  assert writer.is_whole(path)
  assert writer.read_image(path).max() == pytest.approx(values.max() / 4095, abs=1e-5)
