"""Which made images a classifier takes, and how many."""

import hashlib
import re
import shutil

import pytest
from classifier_photos import config_of, open_photos

from defect_jax.augmentation.made import made_counts
from defect_jax.errors import UserError


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


def test_made_images_of_held_out_training_photos_are_left_out(dents, made):
  config = config_of(dents)
  plain = open_photos(config)
  held = next(file for file in plain.validation.files if 'dent' in file)
  of_held, of_none = made(source=held), made()
  config.made.update(sets=(str(of_held), str(of_none)), ratio=0.5)
  both = open_photos(config)
  assert len(both.made) == 10 and {file.rpartition('/images')[0] for file in both.made.files} == {str(of_none)}
  assert both.lines == [f'{of_held}: 12 of 12 images were made of photos that early stopping looks at, so are not '
                        'trained on']
  assert both.validation.files == plain.validation.files and both.test.files == plain.test.files
  config.made.sets = (str(of_held),)
  with pytest.raises(UserError, match='has 0 usable ones'):
    open_photos(config)


def test_a_held_out_photo_is_known_under_another_name(dents, made):
  config = config_of(dents)
  held = next(file for file in open_photos(config).validation.files if 'dent' in file)
  digest = hashlib.sha256((dents / held).read_bytes()).hexdigest()
  config.made.update(sets=(str(made(source='elsewhere.png', source_sha256=digest)), str(made())), ratio=0.5)
  found = open_photos(config)
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
  plain = open_photos(config)
  drawn = plain.validation.files + plain.real.files
  held = {groups[file] for file in plain.validation.files if 'dent' in file}
  mate = next(file for file in files if groups[file] in held and file not in drawn)
  digest = hashlib.sha256((folder / mate).read_bytes()).hexdigest()
  for told in ({'source': mate}, {'source': 'elsewhere.png', 'source_sha256': digest}):
    config.made.update(sets=(str(made(**told)), str(made())), ratio=0.5)
    found = open_photos(config)
    assert len(found.made) and any('photos that early stopping looks at' in note for note in found.lines)


@pytest.mark.parametrize('measured, part', [('dev', 'dev'), ('dev', 'final'), ('final', 'dev')])
def test_made_images_of_a_photo_of_another_part_are_refused_under_any_name(dents, made, measured, part):
  config = config_of(dents)
  config.measure.part = part
  file = open_photos(config).test.files[0]
  digest = hashlib.sha256((dents / file).read_bytes()).hexdigest()
  config.measure.part = measured
  config.made.update(sets=(str(made(source='elsewhere.png', source_sha256=digest)),), ratio=0.5)
  reason = rf'\(of {re.escape(file)}\).* were made from photos that are held out of training'
  with pytest.raises(UserError, match=reason):
    open_photos(config)


def test_made_images_that_the_filter_did_not_pass_are_left_out(dents, made):
  config = config_of(dents)
  failed, passed = made(filter={'passed': 0}), made(filter={'passed': 2})
  config.made.update(sets=(str(failed), str(passed)), ratio=0.5)
  found = open_photos(config)
  assert {file.rpartition('/images')[0] for file in found.made.files} == {str(passed)}
  assert found.lines == [f'{failed}: 12 of 12 images did not pass the filter of inpainting, so are not trained on']
