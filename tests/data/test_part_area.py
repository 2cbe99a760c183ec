"""The part's area: exact on drawn parts, none where real photos are filled by the part."""

import os
import pathlib

import numpy as np
import pytest
from elpv_dataset.utils import load_dataset
from PIL import Image

from defect_jax.data import part_area, photos

_SHARED = pathlib.Path(os.environ.get('DEFECT_JAX_DATA') or pathlib.Path(__file__).parents[3] / 'shared/data')


def _bar(rng, back=(235, 235, 235), bar=(110, 110, 110), second=None):
  """A bar of 300 x 60 px in a photo of 384 x 384, and where it is; its left half in `second`."""
  photo = np.tile(np.float32(back), (384, 384, 1)) + rng.normal(0, 4, (384, 384, 1))
  top, left = rng.integers(20, 300), rng.integers(10, 70)
  area = np.zeros((384, 384), bool)
  area[top:top + 60, left:left + 300] = True
  photo[area] = bar
  photo[top:top + 60, left:left + 150] = second or bar
  return np.clip(photo, 0, 255).astype(np.uint8), area


@pytest.mark.parametrize('colours', [
    {}, {'back': (10, 10, 10), 'bar': (200, 200, 200)},
    {'back': (120, 120, 120), 'bar': (250, 250, 250), 'second': (20, 20, 20)},  # of two colours
    {'back': (90, 140, 90), 'bar': (140, 90, 140)}])  # of like brightness, by colour alone
def test_a_drawn_part_is_found(colours):
  for seed in range(5):
    photo, area = _bar(np.random.default_rng(seed), **colours)
    found = part_area.of_photo(photo)
    assert found is not None and (found & area).sum() / (found | area).sum() > 0.9


def test_grey_photos_16_bit_photos_and_images_are_alike():
  photo, _ = _bar(np.random.default_rng(0))
  grey = photo[..., 0]
  found = part_area.of_photo(grey)
  for same in (np.uint16(grey) * 257, photos.to_channels(grey, 1)):
    np.testing.assert_array_equal(part_area.of_photo(same), found)


def test_light_that_falls_off_is_no_part():
  gradient = np.tile(np.linspace(0, 255, 200), (200, 1)).astype(np.uint8)
  assert part_area.of_photo(gradient) is None
  assert part_area.of_photo(np.full((200, 200), 90, np.uint8)) is None


def test_a_bar_lies_beside_in_the_share_of_its_pixels():
  area, mask = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
  area[:, :5], mask[0, 3:7] = True, True
  assert part_area.share_beside(area, mask) == 0.5


def test_a_set_needs_a_background_in_four_of_five_photos():
  bars, full = [_bar(np.random.default_rng(seed))[0] for seed in range(4)], np.full((384, 384), 90, np.uint8)
  assert part_area.of_set([*bars, full]) is part_area.of_photo
  assert part_area.of_set([*bars, full, full]) is None
  assert part_area.of_set([]) is None


def test_solar_cells_fill_their_photos():
  images, probabilities, types = load_dataset()
  for cell_type in ('mono', 'poly'):
    cells = images[(types == cell_type) & (probabilities == 0)][:400:10]
    assert part_area.of_set(cells) is None


@pytest.mark.parametrize('folder', ['bsdata/ball_screw/train/good', 'magnetic_tile/magnetic_tile/train/good',
                                    'magnetic_tile/magnetic_tile/test/fray', 'bsdata/ball_screw/test/pitting'])
def test_real_parts_that_fill_their_photos_have_no_area(folder):
  if not (_SHARED / folder).is_dir():
    pytest.skip(f'{folder} is not there; set DEFECT_JAX_DATA')
  files = sorted((_SHARED / folder).iterdir())
  assert part_area.of_set(np.asarray(Image.open(file)) for file in files[::len(files) // 30 + 1]) is None
