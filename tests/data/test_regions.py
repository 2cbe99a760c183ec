import numpy as np
import pytest

from defect_jax.config import UserError
from defect_jax.data import photos, regions
from defect_jax.data.sources import folder

GRID = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)  # value = 30 * row + column


def place(photo, mask=None, **options):
  image, box = regions.place(photo, mask, regions.Geometry(**{'channels': 1, **options}), 'photo.png')
  return np.round(image[..., 0] * np.iinfo(photo.dtype).max).astype(int), box


def test_full_crop_takes_the_central_square():
  image, box = place(GRID, size=20)
  assert box == (5, 0, 20, 20)
  np.testing.assert_array_equal(image, GRID[:, 5:25])


def test_full_pad_reflects_without_repeating_the_edge():
  image, box = place(GRID, size=30, fit='pad')
  assert box == (0, -5, 30, 30)
  np.testing.assert_array_equal(image, np.pad(GRID, ((5, 5), (0, 0)), mode='reflect'))


def test_padding_wider_than_the_photo_reflects_again():
  photo = np.arange(8 * 40, dtype=np.uint16).reshape(8, 40)
  image, _ = place(photo, size=40, fit='pad')
  np.testing.assert_array_equal(image, np.pad(photo, ((16, 16), (0, 0)), mode='reflect'))


def test_box():
  image, box = place(GRID, size=10, region='box', box=(3, 2, 14, 10))
  assert box == (5, 2, 10, 10)
  np.testing.assert_array_equal(image, GRID[2:12, 5:15])
  image, box = place(GRID, size=14, region='box', box=(3, 2, 14, 10), fit='pad')
  assert box == (3, 0, 14, 14)
  np.testing.assert_array_equal(image, np.pad(GRID[2:12, 3:17], ((2, 2), (0, 0)), mode='reflect'))  # unseen outside
  with pytest.raises(photos.PhotoError, match=r'photo.png: is 30 x 20 px, the box \(25, 2, 6, 4\) reaches beyond'):
    place(GRID, size=10, region='box', box=(25, 2, 6, 4))


def blob(top, left, height, width, shape=(100, 140)):
  mask = np.zeros(shape, bool)
  mask[top:top + height, left:left + width] = True
  return mask


@pytest.mark.parametrize(('options', 'share'), [
    ({}, 1 / 4),  # columns 20 to 119 of 140 are seen, and of the defect 5 to 24
    ({'fit': 'pad'}, 1),
    # Rows 0 to 41 of the defect's 40 to 47 lie in the box; padding adds rows of the photo, but shows mirrored ones.
    ({'region': 'box', 'box': (0, 0, 50, 42), 'fit': 'pad'}, 1 / 4),
])
def test_share_of_a_defect_that_is_seen(options, share):
  mask, geometry = blob(40, 5, 8, 20), regions.Geometry(size=32, channels=1, **options)
  _, box = regions.place(np.zeros((100, 140), np.uint8), mask, geometry, 'photo.png')
  assert regions.seen(mask, box, geometry) == share


def test_all_of_a_defect_is_seen_where_none_is_marked():
  geometry = regions.Geometry(size=32, channels=1)
  for mask in (None, np.zeros((40, 32), bool)):
    assert regions.seen(mask, (0, 0, 32, 32), geometry) == 1


@pytest.mark.parametrize(('mask', 'options', 'box'), [
    (blob(40, 60, 6, 4), {}, (46, 27, 32, 32)),  # small: the image's own size, centred on (62, 43)
    (blob(40, 60, 20, 10), {'context': 2.5}, (40, 25, 50, 50)),  # 2.5 x 20
    (blob(40, 60, 7, 33), {'context': 1.5}, (51, 18, 50, 50)),  # ceil(49.5)
    (blob(1, 136, 6, 4), {}, (108, 0, 32, 32)),  # shifted inside
    (blob(40, 5, 6, 120), {}, (15, 0, 100, 100)),  # the photo's short side
    (blob(40, 5, 6, 120), {'fit': 'pad', 'context': 1.25}, (-5, -25, 150, 150)),
])
def test_square_around_the_mask(mask, options, box):
  photo = np.zeros((100, 140), np.uint8)
  assert place(photo, mask, size=32, region='mask', **options)[1] == box


def test_mask_refusals():
  photo = np.zeros((100, 140), np.uint8)
  for mask, reason in (
      (None, 'photo.png: has no defect mask'), (blob(0, 0, 0, 0), 'photo.png: has an empty defect mask')):
    with pytest.raises(photos.PhotoError, match=reason):
      place(photo, mask, size=32, region='mask')


@pytest.mark.parametrize(('options', 'key'), [
    ({'region': 'all'}, 'data.region'), ({'fit': 'stretch'}, 'data.fit'), ({'channels': 4}, 'data.channels'),
    ({'region': 'mask', 'context': 0.5}, 'data.context'), ({'region': 'mask', 'context': float('nan')}, 'data.context'),
    ({'region': 'box'}, 'data.box')])
def test_impossible_geometry(options, key):
  with pytest.raises(UserError, match=key):
    regions.Geometry(**{'size': 64, 'channels': 1, **options})


def test_a_real_blowhole_is_neither_enlarged_nor_shrunk(photo_sets):
  records = [r for r in folder.list(photo_sets / 'magnetic_tile/magnetic_tile') if r.label == 'blowhole'][::8]
  for record in records:
    photo = photos.decode(record.photo, record.file)
    mask = record.annotation.read(photo.shape)
    image, (left, top, width, height) = place(photo, mask, size=64, region='mask')
    assert mask[top:top + height, left:left + width].sum() == mask.sum()
    if width == 64:
      np.testing.assert_array_equal(image, photo[top:top + 64, left:left + 64])
  # Scaled whole, the same blowholes shrink to a handful of pixels: area of the smallest, 64 px image.
  assert min((photos.decode(r.annotation.path, r.file) > 0).mean() * 64 * 64 for r in records) < 5
