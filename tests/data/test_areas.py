"""Areas of made photos: around each defect, inside the photo, the same for the same seed; broken ones are skipped."""

import numpy as np
import pytest
from PIL import Image

from defect_jax.config import UserError
from defect_jax.data import annotations, areas, parts

VIEW = areas.Crop(size=16, context=(2., 2.), share=(0.5, 0.5))


def record(root, label, number, photo, mark=None):
  file, mask = root / f'{label}{number}.png', None
  Image.fromarray(photo).save(file)
  if mark is not None:
    mask = root / f'{label}{number}_mask.png'
    Image.fromarray(np.uint8(mark) * 255).save(mask)
  marked = None if mask is None else annotations.MaskFile(mask, file.name)
  return parts.Record(file.name, label, f'part of {file.name}', file, marked)


@pytest.fixture
def found(tmp_path):
  """Three photos with a bright defect of 12 x 6 px, three good ones whose grey is their number."""
  rng, dents = np.random.default_rng(0), []
  for number in range(3):
    photo, mark = np.full((80, 100), 50, np.uint8), np.zeros((80, 100), bool)
    top, left = rng.integers(0, 74), rng.integers(0, 88)
    mark[top:top + 6, left:left + 12] = True
    photo[mark] = 250
    dents.append(record(tmp_path, 'dent', number, photo, mark))
  good = [record(tmp_path, 'good', number, np.full((80, 100), 100 + number, np.uint8)) for number in range(3)]
  return {'good': good, 'dent': dents}


def test_the_defect_lies_in_its_area_whole_and_at_the_right_scale(found):
  drawn, skipped = areas.draw(found, {'dent': 7, 'good': 5}, VIEW, 0)
  assert skipped == [] and [area.label for area in drawn] == ['dent'] * 7 + ['good'] * 5
  assert [area.file for area in drawn[:7]] == ['dent0.png'] * 3 + ['dent1.png'] * 2 + ['dent2.png'] * 2
  assert all(area.group == f'part of {area.file}' for area in drawn)
  for area in drawn[:7]:
    # 24 px become 16: 12 x 6 px are 8 x 4, and what they cover in part counts.
    rows, columns = (np.flatnonzero(area.mask.any(axis)) for axis in (1, 0))
    assert len(rows) in (4, 5) and len(columns) in (8, 9)
    bright = (area.image > 245).all(-1)
    assert area.mask[bright].all() and bright.sum() >= 3 * 7
    assert (area.image[~area.mask] == 50).all()
  for area in drawn[7:]:
    assert not area.mask.any() and len(np.unique(area.image)) == 1


def test_good_areas_are_as_large_as_those_of_the_defects(found, tmp_path):
  ramp = np.uint8(np.tile(np.arange(100) * 2, (80, 1)))
  found['good'] = [record(tmp_path, 'good', number, ramp) for number in (7, 8)]
  drawn, _ = areas.draw(found, {'dent': 3, 'good': 4}, VIEW, 0)
  for area in drawn[3:]:  # 24 px of 2 levels each
    assert int(area.image[0, -1, 0]) - int(area.image[0, 0, 0]) == pytest.approx(2 * 24 * 15 / 16, abs=2)


def test_an_area_follows_from_seed_and_file_alone(found):
  whole, _ = areas.draw(found, {'dent': 6, 'good': 2}, VIEW, 3)
  found['dent'] = found['dent'][1:]
  less, _ = areas.draw(found, {'dent': 4, 'good': 2}, VIEW, 3)
  for one, other in zip(whole[2:6], less[:4], strict=True):
    np.testing.assert_array_equal(one.image, other.image)
  other_seed, _ = areas.draw(found, {'dent': 4, 'good': 2}, VIEW, 4)
  assert any((one.image != other.image).any() for one, other in zip(less, other_seed, strict=True))


def test_two_defects_of_a_photo_take_turns(tmp_path):
  mark = np.zeros((80, 100), bool)
  mark[10:14, 10:14] = mark[60:64, 80:84] = True
  photo = np.uint8(mark) * 100
  photo[60:64, 80:84] = 200
  both = [record(tmp_path, 'dent', number, photo, mark) for number in range(2)]
  drawn, _ = areas.draw({'dent': both}, {'dent': 4}, VIEW, 0)
  assert [int(area.image.max()) for area in drawn] == [100, 200] * 2


def test_an_unmarked_defect_lies_in_its_area(found, tmp_path):
  rng, found['dent'] = np.random.default_rng(1), []
  for number in range(4):
    photo = np.full((80, 100), 100, np.uint8)
    top, left = rng.integers(20, 50), rng.integers(20, 70)
    photo[top:top + 10, left:left + 10] = 10
    found['dent'].append(record(tmp_path, 'dent', number, photo))
  drawn, _ = areas.draw(found, {'dent': 12, 'good': 3}, VIEW, 0)  # squares of 40 px, a fifth of the photo
  shown = [area for area in drawn[:12] if (area.image < 40).any()]
  assert len(shown) >= 11  # a square by chance has it in one case of three
  for area in shown:
    assert area.image[..., 0][area.salience > 0.5].mean() < area.image[..., 0].mean()
  assert all(area.salience is None for area in drawn[12:]) and not any(area.mask.any() for area in drawn)


@pytest.mark.parametrize(('mark', 'reason'), [
  (np.zeros((80, 100), bool), 'empty defect mask'), (np.ones((80, 100), bool), 'marked all over'),
  (np.ones((8, 10), bool), 'its mask 10 x 8 px')])
def test_masks_of_no_use_are_skipped_or_refused(found, tmp_path, mark, reason):
  found['dent'].append(record(tmp_path, 'dent', 9, np.zeros((80, 100), np.uint8), mark))
  drawn, skipped = areas.draw(found, {'dent': 8, 'good': 2}, VIEW, 0, max_broken=0.2)
  assert [photo.file for photo in skipped] == ['dent9.png'] and reason in skipped[0].reason
  assert 'dent9.png' not in {area.file for area in drawn}
  assert [area.label for area in drawn].count('dent') == 8  # others took its turns
  with pytest.raises(UserError, match=reason):
    areas.draw(found, {'dent': 8, 'good': 2}, VIEW, 0)


def test_a_class_of_one_photo_is_refused(found):
  found['dent'] = found['dent'][:1]
  with pytest.raises(UserError, match='the class dent has less than 2 usable photos'):
    areas.draw(found, {'dent': 4, 'good': 2}, VIEW, 0)


def test_views_that_cannot_be():
  for wrong in ({'context': (0.5, 2.)}, {'context': (3., 2.)}, {'share': (0.5,)}):
    with pytest.raises(UserError, match=f'data.{next(iter(wrong))}'):
      areas.Crop(**{'size': 16, 'context': (2., 2.), 'share': (0.5, 0.5)} | wrong)
