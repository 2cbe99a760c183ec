"""How much of photos a job looks at, by hand from their sides."""

import made_photos
import numpy as np
import pytest
from PIL import Image

from defect_jax.data import coverage, parts, regions
from defect_jax.data import tiles as tiling


def records(root, *sides):
  """Records of black photos of so many pixels (width, height)."""
  made = []
  for number, (width, height) in enumerate(sides):
    made_photos.write(root / f'{number}.png', np.zeros((height, width), np.uint8))
    made.append(parts.Record(f'{number}.png', 'good', f'{number}.png', root / f'{number}.png'))
  return made


def test_sides_are_read_of_the_header_whichever_is_longer(tmp_path):
  photos = records(tmp_path, (30, 20), (20, 50))
  (tmp_path / 'broken.png').write_bytes(b'no photo')
  photos.append(parts.Record('broken.png', 'good', 'broken.png', tmp_path / 'broken.png'))
  assert coverage.sides(photos) == {'0.png': (20, 30), '1.png': (20, 50)}


def test_of_many_photos_a_thousand_headers_are_enough(tmp_path):
  [photo] = records(tmp_path, (30, 20))
  many = [parts.Record(str(number), 'good', str(number), photo.photo) for number in range(2500)]
  assert [*coverage.sides(many)] == [str(number) for number in range(0, 2500, 3)]
  assert len(coverage.sides(many[:1000])) == 1000


@pytest.mark.parametrize(('sides', 'right'), [
    ([(2000, 200)], (True, 4)),  # 200 / 64 = 3.1: 50 px, one row of tiles
    ([(200, 2000)], (True, 4)),
    ([(128, 64)], (True, 1)),
    ([(320, 40)], (True, 1)),
    ([(127, 64)], (False, 1)),
    ([(640, 64), (100, 90), (100, 100)], (False, 1)),  # one strip among others
    ([], (False, 1))])
def test_strips_are_cut_into_tiles(tmp_path, sides, right):
  assert coverage.tiles(records(tmp_path, *sides), 64) == right


def test_a_strip_is_one_row_of_tiles(tmp_path):
  photos = records(tmp_path, (2000, 200))
  on, reduce = coverage.tiles(photos, 64)
  cut = tiling.Tiling(regions.Geometry(64, 1), on, reduce)
  image, _ = cut.place(np.asarray(Image.open(photos[0].photo)), None, 'strip')
  assert image.shape == (50, 500, 1)
  # ceil((500 - 64) / (64 * 0.75)) + 1 = 11 tiles from 0 to 436
  assert [start[0] for start in cut.starts(image.shape)] == [0] * 11
  assert [start[1] for start in cut.starts(image.shape)][::10] == [0, 436]


def test_what_the_central_square_leaves_out_is_said(tmp_path):
  photos = records(tmp_path, (2000, 200), (100, 25), (100, 50))  # 10 %, 25 %, 50 %
  [line] = coverage.lines(photos, 'crop')
  assert line == ('photos are not square, and the central square alone is looked at: 25% of a photo in the '
                  'median, 10% of 0.png; train with data.fit=pad to take in all of it')


@pytest.mark.parametrize('asked', [('pad',), ('crop', 'box'), ('crop', 'mask'), ('crop', 'full', True)])
def test_nothing_is_said_where_no_square_is_cut_from_all_of_a_photo(tmp_path, asked):
  assert coverage.lines(records(tmp_path, (2000, 200)), *asked) == []


def test_nothing_is_said_of_photos_that_are_nearly_square(tmp_path):
  assert coverage.lines(records(tmp_path, (100, 96), (100, 100)), 'crop') == []
  assert len(coverage.lines(records(tmp_path, (100, 94)), 'crop')) == 1
  assert coverage.lines([], 'crop') == []
