"""Which pictures are in a page, and where the others are."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from defect_jax.report import album, anomaly, page

LEVELS = np.full((200, 100, 3), 90, np.uint8)


def test_what_tells_most():
  # The highest scores come first, here all but one; then what is called wrongly, the surest first.
  scores = np.array([5.0, 1.0, 2.0, 3.0, 4.0])
  assert album.telling(scores, 2.9, most=3) == [0, 4, 3]
  many = np.concatenate([np.linspace(10, 20, 20), [1.0, 2.0, 3.0, 3.5]])
  right = [True] * 20 + [False, True, False, True]
  assert album.telling(many, 4.0, right, most=23)[20:] == [20, 22, 23]  # away by 3 and 1, then 0.5


def test_the_others_lie_beside_the_page(tmp_path):
  pictures = album.Album(tmp_path / 'report.html', [1])
  assert pictures.source(1, LEVELS).startswith('data:image/jpeg;base64,')
  assert pictures.source(2, LEVELS) == 'pictures/000002.jpg'
  assert Image.open(tmp_path / 'pictures' / '000002.jpg').size == (48, 96)
  assert [path.name for path in (tmp_path / 'pictures').iterdir()] == ['000002.jpg']


def test_a_picture_is_kept_as_it_is_where_it_is_small():
  noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
  assert np.array_equal(decoded(page.picture(noise)), noise)
  large = page.picture(np.tile(noise, (4, 30, 1)))
  assert large.startswith('data:image/jpeg') and decoded(large).shape == (240, 1800, 3)  # of 256 x 1920


@pytest.mark.parametrize('side', [64, 256])
def test_a_page_of_24_photos_and_their_heat_maps_is_below_3_mb(tmp_path, side):
  rng, heat = np.random.default_rng(0), np.linspace(0, 1, side * side).reshape(side, side)
  # As noisy as photos of rough metal by a small camera: 8 of 255 levels.
  pairs = [anomaly.pair('photo', 1., np.float32(np.clip(rng.normal(0.5, 8 / 255, (side, side, 3)), 0, 1)), heat, 1.,
                        {'threshold': 0.5}) for _ in range(24)]
  page.write(tmp_path / 'page.html', 'Many', [page.Section('', [page.Pairs(pairs, 'heat map')])])
  assert (tmp_path / 'page.html').stat().st_size < 3e6


def decoded(source):
  return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(',')[1]))))
