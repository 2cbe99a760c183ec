"""What scaling loses, by photos whose detail is known."""

import numpy as np
import pytest
from made_photos import write

from defect_jax.data import dataset
from defect_jax.evaluation import own_size


@pytest.fixture()
def taken(tmp_path):
  """Opens photos at a size; each is a checkerboard of `cell` px squares over a grey that differs."""
  def open_(cell, size, side=64, count=4):
    for number in range(count):
      y, x = np.indices((side, side)) // cell
      levels = 100 + 10 * number + 40 * ((x + y) % 2)
      write(tmp_path / 'ng' / f'{number}.png', np.uint8(levels))
    return dataset.load(source='photos', path=tmp_path, part='pool', split='none', defects=('defect',), size=size,
                        channels=1, cache=tmp_path / 'cache')
  return open_


def _kept(taken_photos):
  images = taken_photos.images()
  return own_size.detail_kept(taken_photos, images, np.full_like(images[0], 0.5))


def test_squares_of_one_pixel_are_lost_in_scaling_by_two(taken):
  assert _kept(taken(cell=1, size=32)) == pytest.approx(0, abs=0.02)


def test_squares_of_eight_pixels_survive_it(taken):
  assert _kept(taken(cell=8, size=32)) > 0.3  # their edges are half as steep


def test_nothing_is_said_where_nothing_is_scaled(taken):
  assert _kept(taken(cell=8, size=64)) is None


def test_defects_that_vanish_and_defects_that_stay(tmp_path):
  """A dark square on grey: a reconstruction without it keeps none of its detail, the photo itself all of it."""
  mask = np.zeros((32, 32), np.uint8)
  mask[10:16, 12:18] = 255
  for number in range(2):
    write(tmp_path / 'ng' / 'dent' / f'{number}.png', np.uint8(np.where(mask, 40, 150)))
    write(tmp_path / 'ground_truth' / 'dent' / f'{number}_mask.png', mask)
  photos_of = dataset.load(source='folder', path=tmp_path, part='pool', split='none', defects=('dent',), size=32,
                           channels=1, cache=tmp_path / 'cache')
  images, center = photos_of.images(), np.full((32, 32, 1), 150 / 255, np.float32)
  assert own_size.defects_kept(photos_of, images, center) == pytest.approx(1, abs=1e-5)
  assert own_size.defects_kept(photos_of, np.stack([center] * 2), center) == pytest.approx(0, abs=1e-5)


def test_many_photos_are_compared_by_some(taken):
  photos_of = taken(cell=8, size=32, count=40)
  assert len(own_size.rows(photos_of)) == 32 and own_size.rows(photos_of)[-1] == 39
