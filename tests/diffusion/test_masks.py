"""No mark vanishes on the way to the latents, whatever is done to a mask; edges fade inside the target area only."""

import numpy as np
import pytest
from PIL import Image

from defect_jax.config import UserError
from defect_jax.data.photos import PhotoError
from defect_jax.diffusion import masks


@pytest.mark.parametrize('seed', range(30))
def test_a_reduced_mask_marks_every_pixel_that_a_mark_reaches(seed):
  rng = np.random.default_rng(seed)
  old, new = rng.integers(1, 70, 2), rng.integers(1, 70, 2)
  mask = rng.random(old) < rng.choice([0.01, 0.3])
  found = masks.reduce(mask, tuple(new))
  expected = np.zeros(new, bool)
  for y, x in np.argwhere(mask):
    (h, w), (height, width) = old, new
    expected[y * height // h:-(-(y + 1) * height // h), x * width // w:-(-(x + 1) * width // w)] = True
  np.testing.assert_array_equal(found, expected)


def test_a_single_pixel_marks_its_latent():
  for y, x in np.random.default_rng(0).integers(0, 64, (50, 2)):
    mask = np.zeros((64, 64), bool)
    mask[y, x] = True
    assert np.argwhere(masks.reduce(mask, (8, 8))).tolist() == [[y // 8, x // 8]]


@pytest.mark.parametrize('seed', range(20))
def test_drawn_masks_lie_in_the_area_and_are_never_empty(seed):
  rng = np.random.default_rng(seed)
  shape = tuple(int(side) for side in rng.integers(1, 90, 2))
  blob = masks.random(np.random.default_rng(seed), shape, 0.02, 1.0)
  assert blob.shape == shape and blob.any()
  np.testing.assert_array_equal(blob, masks.random(np.random.default_rng(seed), shape, 0.02, 1.0))
  mask = np.zeros((int(rng.integers(1, 60)), int(rng.integers(1, 60))), bool)
  mask[0] = mask[:, -1] = True
  placed = masks.placed(rng, shape, mask, 0.3, 2.0)
  assert placed.shape == shape and placed.any()


def test_a_mask_that_is_not_moved_scales_with_the_photo_and_stays_at_its_ends():
  whole = np.zeros((10, 20), bool)
  whole[3:5, 6:10] = True
  real = masks.RealMask.of(whole)
  # Before it lie 3 of the 8 rows and 6 of the 16 columns that are not its own, also where these are 16 and 16.
  assert masks.bounds(masks.fixed(real, (20, 20), (99, 99))) == (6, 6, 4, 4)
  assert masks.bounds(masks.fixed(real, (10, 20), (2, 2))) == (7, 3, 2, 2)
  for row, column in ((0, 0), (8, 16)):
    moved = np.roll(whole, (row - 3, column - 6), (0, 1))
    left, top, width, height = masks.bounds(masks.fixed(masks.RealMask.of(moved), (31, 7), (99, 99)))
    assert (top, left) == (0, 0) if row == 0 else (top + height, left + width) == (31, 7)
  np.testing.assert_array_equal(masks.fixed(real, (10, 20), (99, 99)), whole)
  assert masks.fixed(masks.RealMask.of(np.ones((3, 3), bool)), (8, 9), (4, 9)).sum() == 36


@pytest.mark.parametrize('factor', [0.2, 0.5, 1.0, 1.7, 3.0])
def test_a_thin_line_stays_one_line_when_it_is_turned_and_scaled(factor):
  from scipy import ndimage
  line = np.eye(60, dtype=bool)
  for angle in np.linspace(0, 3, 7):
    turned = masks._turned(line, angle, factor, False)
    assert ndimage.label(turned, np.ones((3, 3)))[1] == 1
    assert np.hypot(*turned.shape) == pytest.approx(factor * 60 * 2**0.5, rel=0.1, abs=4)


def test_size_of_a_blob_follows_the_settings():
  rng = np.random.default_rng(0)
  spans = [max(masks.bounds(masks.random(rng, (200, 300), 0.25, 0.25))[2:]) for _ in range(20)]
  assert min(spans) >= 45 and max(spans) <= 55


def test_polygon_is_filled_with_its_outline():
  mask = masks.polygon((2, 1, 6, 1, 6, 4, 2, 4), (8, 10), 'a')
  assert masks.bounds(mask) == (2, 1, 5, 4) and mask.sum() == 20
  with pytest.raises(PhotoError, match=r'a: is 10 x 8 px, masks\.polygon reaches beyond it'):
    masks.polygon((2, 1, 10, 1, 6, 4), (8, 10), 'a')
  with pytest.raises(UserError, match='three corners'):
    masks.check_polygon((1, 2, 3, 4))


def test_masks_of_files(tmp_path):
  levels = np.zeros((9, 9), np.uint8)
  Image.fromarray(levels).save(tmp_path / 'empty.png')
  levels[3, 4] = 1
  Image.fromarray(levels).save(tmp_path / 'mask.png')
  (tmp_path / 'broken.png').write_bytes(b'\x89PNG')
  assert np.argwhere(masks.read(tmp_path / 'mask.png')).tolist() == [[3, 4]]
  for name, part in (('empty', 'marks no pixel'), ('broken', r'masks\.file: .*broken'), ('none', 'No such file')):
    with pytest.raises(UserError, match=part):
      masks.read(tmp_path / f'{name}.png')


@pytest.mark.parametrize('seed', range(15))
def test_a_soft_mask_is_1_on_the_mask_0_outside_the_target_area_and_fades_between(seed):
  rng = np.random.default_rng(seed)
  mask = np.zeros((60, 70), bool)
  mask[25:33, 30:38] = True
  feather = int(rng.integers(0, 9))
  soft_mask = masks.feathered(mask, (10, 5, 50, 50), feather)
  assert (soft_mask[mask] == 1).all() and not soft_mask[:, :10].any() and not soft_mask[55:].any()
  y, x = np.mgrid[:60, :70]
  distance = np.hypot(np.maximum(np.maximum(30 - x, x - 37), 0), np.maximum(np.maximum(25 - y, y - 32), 0))
  np.testing.assert_allclose(soft_mask, np.clip(1 - distance / (feather + 1), 0, 1), atol=1e-6)


def test_towards_the_sides_of_the_target_area_a_mask_fades_but_not_at_the_photos_own_end():
  soft_mask = masks.feathered(np.ones((8, 12), bool), (0, 0, 10, 8), 3, (True, True, False, True))
  np.testing.assert_allclose(soft_mask[4], [1, 1, 1, 1, 1, 1, 1, .75, .5, .25, 0, 0])
  with pytest.raises(UserError, match='holds nothing of the mask'):
    masks.feathered(np.eye(8, dtype=bool), (5, 0, 3, 3), 2)
