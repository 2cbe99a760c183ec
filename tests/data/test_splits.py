"""Which photos a classifier holds out, which it does not train on, and how classes are numbered."""

import shutil

import numpy as np
import pytest
from classifier_photos import config_of, open_photos

from defect_jax.data import parts, splits
from defect_jax.data.dataset import InMemory
from defect_jax.errors import UserError


def test_whole_groups_of_every_class_are_held_out():
  labels = np.array([0] * 40 + [1] * 10)
  groups = [f'good {row // 4}' for row in range(40)] + [f'bad {row // 2}' for row in range(10)]
  for seed in range(5):
    held = splits.hold_out(labels, groups, 0.2, seed)
    assert held[:40].sum() == 8 and held[40:].sum() == 2
    assert not {groups[row] for row in np.flatnonzero(held)} & {groups[row] for row in np.flatnonzero(~held)}
  assert not np.array_equal(splits.hold_out(labels, groups, 0.2, 0), splits.hold_out(labels, groups, 0.2, 1))


def test_photos_of_two_classes_in_one_group_stay_together():
  labels = np.array([0, 1] * 10)
  groups = [f'part {row // 2}' for row in range(20)]
  held = splits.hold_out(labels, groups, 0.2, 0)
  assert held[::2].tolist() == held[1::2].tolist() and held.sum() == 4


def test_no_class_is_held_out_as_a_whole():
  # Each of ten groups has a good photo and a scratch, two of them a dent too: to hold both out would leave none.
  labels = np.array([0] * 10 + [1] * 10 + [2] * 2)
  groups = [f'g{number}' for number in (*range(10), *range(10), 0, 1)]
  for seed in range(40):
    held = splits.hold_out(labels, groups, 0.2, seed)
    assert [(held[labels == label].any(), held[labels == label].all()) for label in range(3)] == [(True, False)] * 3


def test_nothing_is_held_out_where_that_is_asked():
  assert not splits.hold_out(np.array([0, 1]), ['a', 'b'], 0, 0).any()


def test_a_class_of_one_group_cannot_be_on_both_sides():
  with pytest.raises(UserError, match=r'validation.share = 0.2: a class has 3 photos of 1 groups'):
    splits.hold_out(np.array([0] * 10 + [1] * 3), [*map(str, range(10)), 'x', 'x', 'x'], 0.2, 0)


def test_classes_are_numbered_and_defects_merged():
  assert [splits.number_of(name, ['good', 'crack', 'hole']) for name in ('good', 'crack', 'hole')] == [0, 1, 2]
  assert [splits.number_of(name, ['good', 'defect']) for name in ('good', 'crack', 'hole')] == [0, 1, 1]


def test_what_is_held_out_does_not_depend_on_where_the_photos_lie(dents, tmp_path):
  shutil.copytree(dents, tmp_path / 'elsewhere')
  here, there = (open_photos(config_of(root)) for root in (dents, tmp_path / 'elsewhere'))
  assert here.validation.files == there.validation.files and here.real.groups == there.real.groups


@pytest.mark.parametrize('part', ['dev', 'final'])
def test_a_copy_of_a_photo_of_another_part_is_not_trained_on(dents, tmp_path, part):
  config = config_of(dents)
  before = open_photos(config)
  folder = tmp_path / 'photos'
  tested = next(file for file in sorted(str(path.relative_to(dents)) for path in (dents / 'ok').iterdir())
                if parts.part_of(file) == part)
  shutil.copytree(dents, folder)
  name = next(name for number in range(99) if parts.part_of(name := f'ok/copy{number}.png') == 'pool')
  shutil.copyfile(folder / tested, folder / name)
  config.data.path = str(folder)
  found = open_photos(config)
  assert found.lines == ['1 photos of the pool are held out too, under another name, so are not trained on; '
                         f'such as {name}, which is {tested}']
  assert name not in found.real.files + found.validation.files
  assert sorted(found.real.files + found.validation.files) == sorted(before.real.files + before.validation.files)


def test_photos_that_are_there_twice_count_once(dents, tmp_path):
  config = config_of(dents)
  before = open_photos(config)
  config.data.more = (str(dents),)  # all of them
  found = open_photos(config)
  for name in ('real', 'validation', 'test'):
    assert getattr(found, name).files == getattr(before, name).files
    np.testing.assert_array_equal(getattr(found, name).labels, getattr(before, name).labels)
  assert len(found.lines) == 2
  assert f'{len(before.test)} photos of the part dev are in it twice and count once' in found.lines[0]
  shutil.copytree(dents, tmp_path / 'photos')
  file, twin = before.real.files[0], next(name for number in range(99)
                                          if parts.part_of(name := f'ok/twin{number}.png') == 'pool')
  shutil.copyfile(dents / file, tmp_path / 'photos' / twin)
  found = open_photos(config_of(tmp_path / 'photos'))
  assert len({*found.real.sha256, *found.validation.sha256}) == len(found.real) + len(found.validation)
  assert len(found.real) + len(found.validation) == len(before.real) + len(before.validation)
  assert '1 photos of the part pool are in it twice' in found.lines[0] and twin in found.lines[0]


def test_classes_of_few_workpieces_are_told_of():
  groups = ['a'] * 4 + list('bcdef') + ['g', 'g', 'h']
  lot = InMemory(np.zeros((12, 2, 2, 1)), np.array([0] * 9 + [1] * 2 + [2]), list('abcdefghijkl'), groups, [''] * 12)
  assert list(splits.few_workpieces(lot, ['good', 'crack', 'dent'])) == [
      'the tested photos of crack show 1 workpiece: intervals are too narrow',
      'the tested photos of dent show 1 workpiece: intervals are too narrow']
