"""Which photos a detector is fitted to, which give its threshold, which test it."""

import pathlib

import pytest

from defect_jax.data import calibration, parts
from defect_jax.errors import UserError


def records(label, part, count, group=None):
  """Records of a class in a part, each of a group of its own unless one is given."""
  files = [f'{label}/{number}' for number in range(1000)]
  files = [file for file in files if parts.part_of(file) == part][:count]
  return [parts.Record(file, label, group or file, pathlib.Path(file)) for file in files]


PHOTOS = [record for part, good, dents in (('pool', 8, 3), ('dev', 6, 2), ('final', 5, 4))
          for record in records('good', part, good) + records('dent', part, dents) + records('hole', part, 1)]


def counts(split):
  return [len(split.train), len(split.calibrate), len(split.test)]


@pytest.mark.parametrize(('measured', 'expected'), [
    ('final', [8, 6, 5 + 4 + 1]), ('dev', [8, 3, 3 + 2 + 1]), ('synthetic', [8, 3, 3]), (None, [8, 6, 0])])
def test_parts_of_each_measure(measured, expected):
  split = calibration.split(PHOTOS, measured=measured)
  assert counts(split) == expected
  assert {record.label for record in split.train + split.calibrate} == {'good'}
  assert {record.part for record in split.train} == {'pool'} and {record.part for record in split.calibrate} == {'dev'}
  files = [record.file for record in split.train + split.calibrate + split.test]
  assert len(set(files)) == len(files) and split.test == sorted(split.test, key=lambda record: record.file)


def test_few_photos_and_some_classes():
  split = calibration.split(PHOTOS, few_shot=5, defects=['hole'], measured='final')
  assert counts(split) == [5, 6, 5 + 1]
  assert {record.file for record in split.train} == set(parts.choose_few(records('good', 'pool', 8), 5, 0))


def test_workpieces_are_never_on_both_sides():
  groups = [name for name in map(str, range(99)) if parts.part_of(name) == 'dev'][:4]
  good = [parts.Record(f'good/{group}_{number}', 'good', group, pathlib.Path())
          for group in groups for number in (0, 1)]
  split = calibration.split(records('good', 'pool', 2) + good, measured='synthetic')
  sides = [{record.group for record in side} for side in (split.calibrate, split.test)]
  assert [len(side) for side in sides] == [2, 2] and not sides[0] & sides[1]


@pytest.mark.parametrize(('photos', 'own', 'reason'), [
    (records('good', 'dev', 3), {}, '0 good photos in part pool'),
    (records('good', 'pool', 3), {}, '0 in part dev'),
    (PHOTOS, {'defects': ['dint']}, "no class 'dint'"), (PHOTOS, {'defects': ['good']}, "no class 'good'"),
    (records('good', 'pool', 2) + records('good', 'dev', 2), {'measured': 'final'}, '0 photos to test in part final')])
def test_refusals(photos, own, reason):
  with pytest.raises(UserError, match=reason):
    calibration.split(photos, **own)
