"""Photos keep every pixel outside the mask, whatever their size, depth and mode, the crop and the mask."""

import numpy as np
import pytest

from defect_jax.config import UserError
from defect_jax.data.photos import PhotoError
from defect_jax.diffusion import geometry, masks
from defect_jax.diffusion.geometry import Settings


def photo_of(rng, shape, dtype, channels):
  full = np.iinfo(dtype).max
  return rng.integers(0, full + 1, shape if channels == 1 else (*shape, 3)).astype(dtype)


def worked_on(photo, settings, rng, native=64, multiple=64, model=lambda canvas: 1 - canvas):
  """(augmented photo, soft_mask, crop, target, canvas) of a photo whose canvas `model` changes."""
  shape = photo.shape[:2]
  crop, target = geometry.place(shape, settings, rng, 'photo')
  mask = np.zeros(shape, bool)
  mask[target[1]:target[1] + target[3], target[0]:target[0] + target[2]] = masks.random(rng, target[:1:-1], 0.1, 0.9)
  soft_mask = masks.feathered(mask, target, settings.feather)
  canvas = geometry.Canvas.of(settings, crop, masks.bounds(soft_mask > 0), native, multiple)
  after = geometry.paste(photo, model(geometry.to_canvas(photo, canvas)), canvas, soft_mask)
  return after, soft_mask, crop, target, canvas


@pytest.mark.parametrize('seed', range(40))
def test_only_marked_pixels_change_in_any_photo_crop_and_mask(seed):
  rng = np.random.default_rng(seed)
  shape = tuple(int(side) for side in rng.integers(40, 200, 2))
  crop = tuple(int(8 * rng.integers(1, side // 8 + 1)) for side in shape[::-1])
  target = None if rng.random() < 0.3 else tuple(int(rng.integers(1, side + 1)) for side in crop)
  settings = Settings(('crop', 'masked')[seed % 2], crop, target, int(rng.integers(0, 12)), int(rng.integers(0, 40)))
  photo = photo_of(rng, shape, (np.uint8, np.uint16)[seed // 2 % 2], (1, 3)[seed // 4 % 2])
  after, soft_mask, box, area, canvas = worked_on(photo, settings, rng)
  assert after.shape == photo.shape and after.dtype == photo.dtype
  assert geometry.contains((0, 0, *shape[::-1]), box) and geometry.contains(box, area)
  assert geometry.contains(box, canvas.box) and geometry.contains(canvas.box, masks.bounds(soft_mask > 0))
  assert geometry.contains(area, masks.bounds(soft_mask > 0))
  assert geometry.changed_outside_mask(photo, after, np.uint8(soft_mask > 0)) == 0
  assert (after != photo)[soft_mask == 1].any() or not (soft_mask == 1).any()
  assert all(side % 64 == 0 for side in canvas.size)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('mode', geometry.MODES)
def test_the_thesis_photo(mode, channels, dtype):
  rng = np.random.default_rng(0)
  photo = photo_of(rng, (1942, 2590), dtype, channels)
  settings = Settings(mode, (1288, 1288), (1200, 700, 300, 200), 8, 32)
  after, soft_mask, crop, target, canvas = worked_on(photo, settings, rng, native=512)
  assert after.shape == photo.shape and after.dtype == dtype
  assert crop[2:] == (1288, 1288) and target == (1200, 700, 300, 200)
  assert canvas.size == ((1344, 1344) if mode == 'crop' else (512, 512))
  assert geometry.changed_outside_mask(photo, after, np.uint8(soft_mask > 0)) == 0
  assert 0 < np.mean(after[soft_mask > 0] != photo[soft_mask > 0]) <= 1


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_in_mode_crop_a_canvas_that_is_not_changed_gives_the_photo_back(dtype):
  rng = np.random.default_rng(0)
  photo = photo_of(rng, (90, 110), dtype, 3)
  after, *_ = worked_on(photo, Settings('crop', (72, 88), None, 5, 0), rng, model=lambda canvas: canvas)
  np.testing.assert_array_equal(after, photo)


def test_the_canvas_is_the_crop_continued_by_reflection():
  photo = np.arange(8 * 8, dtype=np.uint8).reshape(8, 8)
  settings = Settings('crop', (8, 8), None, 0, 0)
  canvas = geometry.Canvas.of(settings, (0, 0, 8, 8), (2, 2, 3, 3), 64, 12)
  assert canvas == geometry.Canvas((0, 0, 8, 8), (8, 8), (12, 12))
  pixels = geometry.to_canvas(photo, canvas)
  np.testing.assert_array_equal(np.rint(pixels[0, :, 0] * 255), [0, 1, 2, 3, 4, 5, 6, 7, 6, 5, 4, 3])
  np.testing.assert_array_equal(np.rint(pixels[:, 0, 2] * 255), [0, 8, 16, 24, 32, 40, 48, 56, 48, 40, 32, 24])
  mask = geometry.mask_to_canvas(np.ones((8, 8), bool), canvas)
  assert mask[:8, :8].all() and mask.sum() == 64


def test_masked_looks_at_a_square_around_the_mask_as_far_as_the_crop_allows():
  settings = Settings('masked', (200, 104), None, 0, 10)
  assert geometry.Canvas.of(settings, (100, 0, 200, 104), (200, 40, 20, 30), 64, 64) == geometry.Canvas(
    (185, 30, 50, 50), (64, 64), (64, 64))  # 30 + 2 * 10 a side, the mask in the middle
  wide = geometry.Canvas.of(settings, (100, 0, 200, 104), (110, 40, 160, 4), 64, 64)
  assert wide.box == (100, 0, 180, 104) and wide.scaled == (64, 37)


def test_what_is_laid_over_is_mixed_by_the_soft_mask_in_the_photos_own_depth():
  photo = np.full((8, 8), 1000, np.uint16)
  canvas = geometry.Canvas((0, 0, 8, 8), (8, 8), (8, 8))
  soft_mask = np.zeros((8, 8), np.float32)
  soft_mask[0, :3] = 1, 0.5, 0.25
  after = geometry.paste(photo, np.full((8, 8, 3), 3000 / 65535, np.float32), canvas, soft_mask)
  assert after[0].tolist() == [3000, 2000, 1500] + [1000] * 5 and (after[1:] == 1000).all()


def test_the_difference_is_255_minus_the_change_of_the_channel_that_changed_most():
  before = np.zeros((8, 8, 3), np.uint8)
  after = before.copy()
  after[0, 0], after[0, 1] = (3, 200, 10), (1, 0, 0)
  assert geometry.difference(before, after)[0, :3].tolist() == [55, 254, 255]
  deep = np.zeros((8, 8), np.uint16)
  changed = deep.copy()
  changed[0, :2] = 65535, 257 * 5
  assert geometry.difference(deep, changed)[0, :3].tolist() == [0, 250, 255]


def test_pixels_changed_outside_are_counted_by_any_channel_and_a_change_of_kind_counts_whole():
  before, mask = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
  mask[0] = 255
  after = before.copy()
  after[0, :, 1], after[3, 4, 2], after[5, 5] = 9, 1, 7
  assert geometry.changed_outside_mask(before, after, mask) == 2
  assert geometry.changed_outside_mask(before, after[..., 0], mask) == 64
  assert geometry.changed_outside_mask(before, before.astype(np.uint16), mask) == 64


@pytest.mark.parametrize(('keys', 'part'), [
  ({'crop': (60, 64)}, r'geometry\.crop = \(60, 64\): its sides must be multiples of 8, such as \(56, 64\)'),
  ({'crop': (64,)}, 'give width,height or left,top'), ({'crop': (0, 8)}, 'at least 1'),
  ({'crop': (64, 64), 'target': (72, 8)}, 'larger than the crop'),
  ({'crop': (0, 0, 64, 64), 'target': (40, 0, 32, 8)}, 'reaches beyond the crop'), ({'target': (1, 2, 3)}, 'or none')])
def test_boxes_that_cannot_be(keys, part):
  with pytest.raises(UserError, match=part):
    Settings(**{'mode': 'crop', 'crop': (64, 64), 'target': None, 'feather': 0, 'padding': 0} | keys)


@pytest.mark.parametrize(('crop', 'target', 'part'), [
  ((64, 64), None, r'is 80 x 56 px, the crop \(64, 64\) is larger'), ((40, 16, 48, 32), None, 'reaches beyond it'),
  ((48, 48), (60, 0, 24, 24), 'the target area .* reaches beyond it'),
  ((0, 0, 48, 48), (56, 0, 8, 8), 'reaches beyond|outside the crop')])
def test_photos_that_do_not_fit(crop, target, part):
  with pytest.raises((PhotoError, UserError), match=part):
    geometry.place((56, 80), Settings('crop', crop, target, 0, 0), np.random.default_rng(0), 'a.png')


def test_a_crop_is_laid_around_the_target_area_inside_the_photo():
  def crop(target):
    return geometry.place((100, 200), Settings('crop', (64, 64), target, 0, 0), np.random.default_rng(0), 'a')[0]
  assert crop((90, 40, 20, 20)) == (68, 18, 64, 64)
  assert crop((0, 90, 10, 10)) == (0, 36, 64, 64) and crop((190, 0, 10, 10)) == (136, 0, 64, 64)
