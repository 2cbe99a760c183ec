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


def photos_of(good, dents, part='all', per_group=2):
  """Good photos and dents, two of each group; groups hold one class."""
  return [parts.Record(f'{label}/{number:02d}', label, f'{label} {number // per_group}', pathlib.Path(), assigned=part)
          for label, count in (('good', good), ('dent', dents)) for number in range(count)]


def test_folds_hold_out_every_photo_once_and_no_group_is_on_both_sides():
  records = photos_of(30, 12)
  split = calibration.split(records, by='kfold', folds=5, measured='dev')
  assert counts(split) == [30, 0, 0] and len(split.folds) == 5
  tested = [record.file for fold in split.folds for record in fold.test]
  assert sorted(tested) == sorted(record.file for record in records)
  for fold in split.folds:
    assert len(fold.train) == 24 and len(fold.calibrate) == 6
    assert fold.calibrate == [record for record in fold.test if record.label == 'good']
    assert not {record.group for record in fold.train} & {record.group for record in fold.test}


def test_dents_of_a_group_with_good_photos_are_held_out_with_them():
  records = [parts.Record(f'{label}/{number}', label, str(number // 3), pathlib.Path(), assigned='all')
             for label in ('good', 'dent') for number in range(15)]
  for fold in calibration.split(records, by='kfold', measured='dev').folds:
    assert {record.group for record in fold.test if record.label == 'dent'} == {record.group
                                                                               for record in fold.calibrate}


def test_without_a_measure_no_dent_is_scored_and_made_ones_are_set_on_good_photos_alone():
  split = calibration.split(photos_of(20, 8), by='kfold')
  assert all(fold.test == [] for fold in split.folds)
  split = calibration.split(photos_of(20, 8), by='kfold', measured='synthetic')
  assert all(fold.test == fold.calibrate for fold in split.folds) and split.test == []


def test_folders_give_the_threshold_by_folds_of_train_or_by_val():
  train, test = photos_of(20, 0, 'pool'), [*photos_of(4, 6, 'test')]
  split = calibration.split(train + test, by='folders', measured='dev')
  assert counts(split) == [20, 0, 10] and sum(len(fold.calibrate) for fold in split.folds) == 20
  assert all(fold.test == [] for fold in split.folds)
  val = photos_of(6, 0, 'dev')
  split = calibration.split(train + val + test, by='folders', measured='dev')
  assert counts(split) == [20, 6, 10] and split.folds == ()
  for photos, tested in ((train + val + test, 4), (train + val, 6)):  # test/good, else those of the threshold
    split = calibration.split(photos, by='folders', measured='synthetic')
    assert counts(split) == [20, 6, tested] and split.folds == ()


@pytest.mark.parametrize('by', ['kfold', 'folders', 'hash'])
def test_what_is_measured_changes_neither_folds_nor_threshold(by):
  records = [*photos_of(21, 9, 'all' if by == 'kfold' else 'pool'), *photos_of(4, 6, 'dev')]
  records += [] if by == 'kfold' else photos_of(4, 6, 'test')
  one, other = (calibration.split(records, by=by, measured=part) for part in ('dev', 'synthetic'))
  assert (one.train, one.calibrate) == (other.train, other.calibrate)
  assert [(fold.train, fold.calibrate) for fold in one.folds] == [
      (fold.train, fold.calibrate) for fold in other.folds]


def test_good_photos_of_one_group_are_folded_one_by_one(caplog):
  records = photos_of(10, 4, per_group=100)
  split = calibration.split(records, by='kfold', measured='dev')
  assert [len(fold.calibrate) for fold in split.folds] == [2] * 5 and 'belong to one group' in caplog.text


def test_few_of_all_photos_are_drawn():
  records = photos_of(30, 4)
  split = calibration.split(records, by='kfold', few_shot=10, measured='dev')
  assert {record.file for record in split.train} == set(parts.choose_few(records[:30], 10, 0))
  assert sum(len(fold.calibrate) for fold in split.folds) == 10
  for seed in range(20):
    split = calibration.split(records, by='kfold', few_shot=3, seed=seed)
    assert [len(fold.train) for fold in split.folds] == [2, 2, 2]


@pytest.mark.parametrize(('photos', 'own', 'reason'), [
    (photos_of(2, 4), {'by': 'kfold'}, '2 good photos to train on; at least 3'),
    (photos_of(9, 4), {'by': 'none'}, 'data.split = none'),
    (photos_of(9, 4), {'by': 'kfold', 'measured': 'final'}, 'measure.part = final')])
def test_refusals_of_folds(photos, own, reason):
  with pytest.raises(UserError, match=reason):
    calibration.split(photos, **own)
