"""Which photos a classifier holds out, and which made images it takes, and how many."""

import hashlib
import re
import shutil

import numpy as np
import pytest
from made_photos import config_of

from defect_jax.augmentation.made import made_counts
from defect_jax.config import UserError
from defect_jax.data import parts, splits
from defect_jax.data.dataset import InMemory
from defect_jax.data.splits import hold_out, number_of
from defect_jax.tasks.classifier.learning import members_of
from defect_jax.tasks.classifier.material import open_material


def test_whole_groups_of_every_class_are_held_out():
  labels = np.array([0] * 40 + [1] * 10)
  groups = [f'good {row // 4}' for row in range(40)] + [f'bad {row // 2}' for row in range(10)]
  for seed in range(5):
    held = hold_out(labels, groups, 0.2, seed)
    assert held[:40].sum() == 8 and held[40:].sum() == 2
    assert not {groups[row] for row in np.flatnonzero(held)} & {groups[row] for row in np.flatnonzero(~held)}
  assert not np.array_equal(hold_out(labels, groups, 0.2, 0), hold_out(labels, groups, 0.2, 1))


def test_photos_of_two_classes_in_one_group_stay_together():
  labels = np.array([0, 1] * 10)
  groups = [f'part {row // 2}' for row in range(20)]
  held = hold_out(labels, groups, 0.2, 0)
  assert held[::2].tolist() == held[1::2].tolist() and held.sum() == 4


def test_no_class_is_held_out_as_a_whole():
  # Each of ten groups has a good photo and a scratch, two of them a dent too: to hold both out would leave none.
  labels = np.array([0] * 10 + [1] * 10 + [2] * 2)
  groups = [f'g{number}' for number in (*range(10), *range(10), 0, 1)]
  for seed in range(40):
    held = hold_out(labels, groups, 0.2, seed)
    assert [(held[labels == label].any(), held[labels == label].all()) for label in range(3)] == [(True, False)] * 3


def test_nothing_is_held_out_where_that_is_asked():
  assert not hold_out(np.array([0, 1]), ['a', 'b'], 0, 0).any()


def test_a_class_of_one_group_cannot_be_on_both_sides():
  with pytest.raises(UserError, match=r'validation.share = 0.2: a class has 3 photos of 1 groups'):
    hold_out(np.array([0] * 10 + [1] * 3), [*map(str, range(10)), 'x', 'x', 'x'], 0.2, 0)


def test_the_ratio_is_of_made_to_real_photos_of_the_class():
  assert made_counts(0.5, {0: 300, 1: 20}, {1: {'a': 100}}) == {1: {'a': 10}}
  assert made_counts(1, {0: 300, 1: 20, 2: 4}, {1: {'a': 100}, 2: {'a': 9}}) == {1: {'a': 20}, 2: {'a': 4}}


def test_sets_give_as_many_each_as_far_as_they_have_them():
  assert made_counts(1, {1: 21}, {1: {'a': 100, 'b': 100}}) == {1: {'a': 10, 'b': 11}}
  assert made_counts(1, {1: 21}, {1: {'a': 100, 'b': 3}}) == {1: {'a': 18, 'b': 3}}


def test_more_images_than_there_are_is_refused():
  reason = 'made.ratio = 5: asks for 100 made images beside 20 real photos, and a, b has 70'
  with pytest.raises(UserError, match=reason):
    made_counts(5, {1: 20}, {1: {'a': 40, 'b': 30}})


def test_classes_are_numbered_and_defects_merged():
  assert [number_of(name, ['good', 'crack', 'hole']) for name in ('good', 'crack', 'hole')] == [0, 1, 2]
  assert [number_of(name, ['good', 'defect']) for name in ('good', 'crack', 'hole')] == [0, 1, 1]


def test_members_are_listed_by_class():
  members, counts = members_of(np.array([1, 0, 1, 1]))
  assert counts.tolist() == [1, 3] and members[1].tolist() == [0, 2, 3] and members[0, 0] == 1


def test_made_images_of_held_out_training_photos_are_left_out(dents, made):
  config = config_of(dents)
  plain = open_material(config)
  held = next(file for file in plain.validation.files if 'dent' in file)
  of_held, of_none = made(source=held), made()
  config.made.update(sets=(str(of_held), str(of_none)), ratio=0.5)
  both = open_material(config)
  assert len(both.made) == 10 and {file.rpartition('/images')[0] for file in both.made.files} == {str(of_none)}
  assert both.lines == [f'{of_held}: 12 of 12 images were made of photos that early stopping looks at, so are not '
                        'trained on']
  assert both.validation.files == plain.validation.files and both.test.files == plain.test.files
  config.made.sets = (str(of_held),)
  with pytest.raises(UserError, match='has 0 usable ones'):
    open_material(config)


def test_what_is_held_out_does_not_depend_on_where_the_photos_lie(dents, tmp_path):
  shutil.copytree(dents, tmp_path / 'elsewhere')
  here, there = (open_material(config_of(root)) for root in (dents, tmp_path / 'elsewhere'))
  assert here.validation.files == there.validation.files and here.real.groups == there.real.groups


def test_a_held_out_photo_is_known_under_another_name(dents, made):
  config = config_of(dents)
  held = next(file for file in open_material(config).validation.files if 'dent' in file)
  digest = hashlib.sha256((dents / held).read_bytes()).hexdigest()
  config.made.update(sets=(str(made(source='elsewhere.png', source_sha256=digest)), str(made())), ratio=0.5)
  found = open_material(config)
  assert len(found.made) == 10 and 'photos that early stopping looks at' in found.lines[0]


def test_made_images_of_a_mate_of_a_held_out_photo_are_left_out(dents, made, tmp_path):
  folder = tmp_path / 'photos'
  shutil.copytree(dents, folder)
  files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*.png'))
  # Two photos a workpiece, so that of most mates one is drawn and one is not.
  index = [('path', 'group'), *((file, f'{file.rpartition("/")[0]}{number // 2}') for number, file in enumerate(files))]
  (folder / 'index.csv').write_text(''.join(f'{file},{group}\n' for file, group in index))
  config, groups = config_of(folder), dict(index)
  config.data.few_shot = 6
  plain = open_material(config)
  drawn = plain.validation.files + plain.real.files
  held = {groups[file] for file in plain.validation.files if 'dent' in file}
  mate = next(file for file in files if groups[file] in held and file not in drawn)
  digest = hashlib.sha256((folder / mate).read_bytes()).hexdigest()
  for told in ({'source': mate}, {'source': 'elsewhere.png', 'source_sha256': digest}):
    config.made.update(sets=(str(made(**told)), str(made())), ratio=0.5)
    found = open_material(config)
    assert len(found.made) and any('photos that early stopping looks at' in note for note in found.lines)


@pytest.mark.parametrize('measured, part', [('dev', 'dev'), ('dev', 'final'), ('final', 'dev')])
def test_made_images_of_a_photo_of_another_part_are_refused_under_any_name(dents, made, measured, part):
  config = config_of(dents)
  config.measure.part = part
  file = open_material(config).test.files[0]
  digest = hashlib.sha256((dents / file).read_bytes()).hexdigest()
  config.measure.part = measured
  config.made.update(sets=(str(made(source='elsewhere.png', source_sha256=digest)),), ratio=0.5)
  reason = rf'\(of {re.escape(file)}\).* were made from photos that are held out of training'
  with pytest.raises(UserError, match=reason):
    open_material(config)


@pytest.mark.parametrize('part', ['dev', 'final'])
def test_a_copy_of_a_photo_of_another_part_is_not_trained_on(dents, tmp_path, part):
  config = config_of(dents)
  before = open_material(config)
  folder = tmp_path / 'photos'
  tested = next(file for file in sorted(str(path.relative_to(dents)) for path in (dents / 'ok').iterdir())
                if parts.part_of(file) == part)
  shutil.copytree(dents, folder)
  name = next(name for number in range(99) if parts.part_of(name := f'ok/copy{number}.png') == 'pool')
  shutil.copyfile(folder / tested, folder / name)
  config.data.path = str(folder)
  found = open_material(config)
  assert found.lines == ['1 photos of the pool are of dev or final too, under another name, so are not trained on; '
                         f'such as {name}, which is {tested}']
  assert name not in found.real.files + found.validation.files
  assert sorted(found.real.files + found.validation.files) == sorted(before.real.files + before.validation.files)


def test_photos_that_are_there_twice_count_once(dents, tmp_path):
  config = config_of(dents)
  before = open_material(config)
  config.data.more = (str(dents),)  # all of them
  found = open_material(config)
  for name in ('real', 'validation', 'test'):
    assert getattr(found, name).files == getattr(before, name).files
    np.testing.assert_array_equal(getattr(found, name).labels, getattr(before, name).labels)
  assert len(found.lines) == 2
  assert f'{len(before.test)} photos of the part dev are in it twice and count once' in found.lines[0]
  shutil.copytree(dents, tmp_path / 'photos')
  file, twin = before.real.files[0], next(name for number in range(99)
                                          if parts.part_of(name := f'ok/twin{number}.png') == 'pool')
  shutil.copyfile(dents / file, tmp_path / 'photos' / twin)
  found = open_material(config_of(tmp_path / 'photos'))
  assert len({*found.real.sha256, *found.validation.sha256}) == len(found.real) + len(found.validation)
  assert len(found.real) + len(found.validation) == len(before.real) + len(before.validation)
  assert '1 photos of the part pool are in it twice' in found.lines[0] and twin in found.lines[0]


def test_classes_of_few_workpieces_are_told_of():
  groups = ['a'] * 4 + list('bcdef') + ['g', 'g', 'h']
  lot = InMemory(np.zeros((12, 2, 2, 1)), np.array([0] * 9 + [1] * 2 + [2]), list('abcdefghijkl'), groups, [''] * 12)
  assert list(splits.few_workpieces(lot, ['good', 'crack', 'dent'])) == [
      'the tested photos of crack show 1 workpiece: intervals are too narrow',
      'the tested photos of dent show 1 workpiece: intervals are too narrow']


def test_made_images_that_the_filter_did_not_pass_are_left_out(dents, made):
  config = config_of(dents)
  failed, passed = made(filter={'passed': 0}), made(filter={'passed': 2})
  config.made.update(sets=(str(failed), str(passed)), ratio=0.5)
  found = open_material(config)
  assert {file.rpartition('/images')[0] for file in found.made.files} == {str(passed)}
  assert found.lines == [f'{failed}: 12 of 12 images did not pass the filter of inpainting, so are not trained on']
