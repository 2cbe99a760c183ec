"""Defects that are drawn are seen, places that were left as they were are not; the share beside the part is counted."""

import numpy as np
import pytest
from elpv_dataset.utils import load_dataset
from PIL import Image
from scipy import ndimage

from defect_jax.data import parts, photos
from defect_jax.evaluation import changes, visibility
from defect_jax.imagesets import manifest

_BAR = slice(60, 120)  # rows of a photo that show the part


def _surface(rng, side):
  return 0.5 + 0.1 * ndimage.gaussian_filter(rng.normal(size=(side, side, 1)), (1.5, 1.5, 0)).repeat(3, -1)


@pytest.fixture(scope='module')
def surfaces():
  rng = np.random.default_rng(0)
  return np.float32([_surface(rng, 32) for _ in range(20)])


def test_a_drawn_defect_is_seen_and_a_good_image_is_not(surfaces):
  groups, masks = [f'{row}' for row in range(20)], np.zeros((20, 32, 32), bool)
  masks[:, 12:20, 12:20] = True
  dark = np.where(masks[..., None], surfaces - 0.4, surfaces)
  for of_masks in (None, masks):
    usual = visibility.Usual(surfaces, groups, of_masks)
    assert usual.share(dark, groups, of_masks) == 1.0
    assert usual.share(surfaces, groups, of_masks) == 1 / 20  # 5 % of the good ones, by the threshold
    assert usual.share(surfaces[:0], [], of_masks) is None


def test_made_images_beside_real_ones(surfaces):
  dark = surfaces.copy()
  dark[:, 10:22, 10:22] -= 0.4
  groups = [f'{row}' for row in range(12)]
  assert visibility.of_images(np.concatenate([dark[12:16], surfaces[12:16]]), surfaces[:12], groups, dark[16:]) == {
      'visible': 0.5, 'visible_real': 1.0}
  nothing = {'visible': None, 'visible_real': None}
  assert visibility.of_images(dark, surfaces[:9], groups[:9], dark) == nothing  # of so few nobody knows what is usual
  assert visibility.of_images(dark, surfaces[:12], ['one'] * 12, dark) == nothing


def test_changes_within_masks(surfaces):
  masks = np.zeros((20, 32, 32), bool)
  masks[:, 12:20, 12:20] = True
  dark = np.where(masks[..., None], surfaces - 0.4, surfaces)
  half = np.concatenate([dark[:10], surfaces[10:]])
  seen = visibility.of_changes(surfaces, half, masks, dark)
  assert seen['visible'] in (10 / 20, 11 / 20) and seen['visible_real'] == 1.0
  alike = np.repeat(surfaces[:1], 20, 0)  # one good image twenty times says not what is usual
  assert visibility.of_changes(alike, half, masks, dark) == visibility.NOTHING


def test_blur_is_no_defect_of_real_cells():
  images, probabilities, types = load_dataset()
  cells = images[(types == 'mono') & (probabilities == 0)][::12][:36]
  cells = np.stack([photos.scale(np.float32(cell)[..., None] / 255, 64) for cell in cells])
  good, others, groups = cells[:24], ndimage.gaussian_filter(cells[24:], (0, 2, 2, 0)), [f'{row}' for row in range(24)]
  assert visibility.Usual(good, groups).share(others, [''] * 12) > 0.9  # to which blur is unusual
  assert visibility.of_images(others, good, groups, others)['visible'] <= 1 / 12


def test_images_are_drawn_evenly_and_fewer_of_large_ones():
  assert visibility.evenly(3, 5) == [0, 1, 2] and visibility.evenly(10, 4) == [0, 2, 5, 7]
  assert (visibility.count_of(32), visibility.count_of(64), visibility.count_of(256)) == (32, 32, 12)
  assert visibility.few(np.zeros((40, 256, 256, 1), np.float32)).shape == (12, 128, 128, 1)


@pytest.fixture
def bars(tmp_path):
  """Twelve photos of a bar, each with a mask; in the first half nothing changed, every third mask lies beside the bar
  and every third a little."""
  rng, made = np.random.default_rng(0), []
  for folder in ('photos', 'set/images', 'set/masks'):
    (tmp_path / folder).mkdir(parents=True)
  for index in range(12):
    photo = np.uint8(np.clip(235 + rng.normal(0, 3, (180, 180)), 0, 255))
    photo[_BAR, 20:160] = np.uint8(255 * _surface(rng, 180)[_BAR, 20:160, 0])
    mask = np.zeros((180, 180), np.uint8)
    top = {0: 130, 1: 113}.get(index % 3, 80)  # beside the bar, a little more than half on it, on it
    mask[top:top + 12, 60:100] = 255
    after = np.where(mask > 0, 20, photo) if index >= 6 else photo
    Image.fromarray(photo).save(tmp_path / f'photos/{index}.png')
    Image.fromarray(np.uint8(after)).save(tmp_path / f'set/images/{index:06d}.png')
    Image.fromarray(mask).save(tmp_path / f'set/masks/{index:06d}.png')
    made.append(manifest.Made(file=f'images/{index:06d}.png', mask=f'masks/{index:06d}.png', label='dent', index=index,
                              method='inpaint', seed=0, source=f'{index}.png', config_hash='0'))
  return tmp_path, made


def test_changes_of_photos_beside_the_part_and_those_that_show_nothing(bars):
  root, made = bars
  seen = changes.look(made, root / 'set', root / 'photos', [], 32, 0)
  assert seen['beside_part'] == 4 / 12 and seen['changes_seen'] == 12
  assert seen['visible'] == pytest.approx(7 / 12)  # the six, and of the others one, since 95 % of twelve are eleven
  assert seen['visible_real'] is None
  left, top, width, height = seen['part_box']
  assert abs(left - 20) <= 2 and abs(top - 60) <= 2 and abs(width - 140) <= 4 and abs(height - 60) <= 4


def test_what_cannot_be_said_is_none(bars):
  root, made = bars
  one = changes.look(made[:1] * 12, root / 'set', root / 'photos', [], 32, 0)  # one photo says not what is usual
  assert one['visible'] is None and one['beside_part'] == 1.0
  for file in (root / 'photos').iterdir():
    Image.fromarray(np.uint8(255 * _surface(np.random.default_rng(1), 180)[..., 0])).save(file)
  assert changes.look(made, root / 'set', root / 'photos', [], 32, 0)['beside_part'] is None  # the part fills them


def test_real_defects_are_measured_as_the_made_ones(bars):
  root, made = bars

  class Marked:
    def read(self, shape):
      return np.asarray(Image.open(root / 'set/masks/000005.png')) > 0

  real = [parts.Record(image.file, 'dent', 'a', root / 'set' / image.file, Marked()) for image in made[6:]]
  assert changes.look(made, root / 'set', root / 'photos', real[2::3], 32, 0)['visible_real'] == 1.0
