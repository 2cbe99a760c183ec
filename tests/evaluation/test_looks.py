"""Where a classifier looks, by maps that are known."""

import numpy as np
import pytest
from made_photos import write

from defect_jax.data import listing, regions, tiles
from defect_jax.evaluation import looks


def darkest(images):
  """Log-odds by the defects alone: how many pixels are neither disc nor background."""
  return np.sum((images > 0.2) & (images < 0.6), (1, 2, 3)) / 16 - 0.5


TILING = tiles.Tiling(regions.Geometry(32, 1))


@pytest.fixture(scope='module')
def records(tmp_path_factory):
  """(good, defective) photos: a bright disc on black, in 10 of them a marked square of 4 px."""
  root = tmp_path_factory.mktemp('looks')
  y, x = np.mgrid[:32, :32]
  disc = np.uint8(200) * ((x - 15.5) ** 2 + (y - 15.5) ** 2 < 100)
  for number in range(10):
    noise = np.random.default_rng(number).integers(0, 6, (32, 32), np.uint8)
    write(root / f'ok/{number}.png', disc + noise)
    dented, mask = disc + noise, np.zeros((32, 32), np.uint8)
    dented[12:16, 12:16], mask[12:16, 12:16] = 90, 255
    write(root / f'ng/{number}.png', dented)
    write(root / f'ground_truth/ng/{number}_mask.png', mask)
  listed = listing.list_photos('auto', root).records
  return [[record for record in listed if (record.label == 'good') is good] for good in (True, False)]


def test_a_share_is_counted_within_two_pixels():
  area, values = np.zeros((10, 10), bool), np.ones((10, 10))
  area[4:6, 4:6] = True
  assert looks.share_on(values, area) == (pytest.approx(0.36), pytest.approx(0.36))  # 6 x 6 of 100 pixels
  values[4, 4] = 65.
  assert looks.share_on(values, area) == (pytest.approx(100 / 164), pytest.approx(0.36))
  assert looks.share_on(np.zeros((10, 10)), area) == (pytest.approx(0.36), pytest.approx(0.36))


def test_saliency_on_defects_and_on_the_part(records):
  good, defective = records

  def at_the_defect(images):
    maps = np.zeros(images.shape[:3])
    maps[:, 12:16, 12:16] = 1.
    return maps

  def at_the_border(images):
    maps = np.zeros(images.shape[:3])
    maps[:, :2] = 1.
    return maps

  found = looks.look(defective, good, TILING, at_the_defect, darkest)
  assert (found['saliency_on_defect'], found['defect_area']) == (1, 64 / 1024)  # the square is 8 px wide with its rim
  assert found['saliency_on_part'] == 1 and 0.3 < found['part_area'] < 0.6 and found['looks_at'] == 10
  assert found['by_defect'] == pytest.approx(1)
  found = looks.look(defective, good, TILING, at_the_border, lambda images: np.zeros(len(images)))
  assert (found['saliency_on_defect'], found['saliency_on_part']) == (0, 0)
  assert found['by_defect'] is None  # good and defective photos are not told apart


def test_what_goes_with_a_defect_beside_what_stays():
  dark, mask = np.full((16, 16, 1), 0.5, np.float32), np.zeros((16, 16), bool)
  mask[6:9, 6:9] = True
  good, defective = dark.copy(), dark.copy()
  defective[mask], defective[0, 0] = 0.1, 1.

  def both(images):  # half by the defect, half by the corner
    return 3 * (images[:, 7, 7, 0] < 0.3) + 3 * (images[:, 0, 0, 0] > 0.9) - 2.

  assert looks.by_defect([(defective, mask)], [good], both) == pytest.approx(0.5)
  assert looks.by_defect([(defective, mask)], [good], lambda images: images[:, 0, 0, 0]) == 0
  assert looks.by_defect([(defective, mask)], [defective], both) is None
  np.testing.assert_allclose(looks.covered(defective, mask)[mask], 0.5, atol=1e-5)
  assert looks.covered(defective, mask)[0, 0] == 1


def test_what_is_not_there_is_not_measured(records):
  _, defective = records
  found = looks.look(defective, [], TILING, lambda images: np.ones(images.shape[:3]), darkest)
  assert (found['saliency_on_part'], found['part_area']) == (None, None)
  assert found['saliency_on_defect'] == pytest.approx(found['defect_area'])
  assert looks.look([], [], TILING, None, None) == {'looks_at': 0, 'saliency_on_defect': None, 'defect_area': None,
                                                    'by_defect': None,
                                                    'saliency_on_part': None, 'part_area': None}
