import os

import pytest
from made_photos import touch

from defect_jax.data.sources import classes, photos
from defect_jax.errors import UserError


def listed(root):
  return {record.file: record.label for record in classes.list(root)}


def test_good_and_defective_folders_in_any_language(tmp_path):
  touch(tmp_path, '良品/1.png', '良品/2.png', '不良品/1.png')
  assert listed(tmp_path) == {'良品/1.png': 'good', '良品/2.png': 'good', '不良品/1.png': '不良品'}
  assert classes.list(tmp_path).taken == 'good: 良品/ (2 photos), 不良品: 不良品/ (1)'


def test_classes_below_defective_photos_and_beside_good_ones(tmp_path):
  touch(tmp_path, 'OK/1.png', 'NG/1.png', 'NG/scratch/1.png', 'NG/scratch/left/2.png', 'hole/1.png', 'masks/hole/1.png')
  assert listed(tmp_path) == {'OK/1.png': 'good', 'NG/1.png': 'NG', 'NG/scratch/1.png': 'scratch',
                              'NG/scratch/left/2.png': 'scratch', 'hole/1.png': 'hole'}


def test_without_good_photos_all_are_defects(tmp_path):
  touch(tmp_path, 'crack/1.png', 'hole/1.png')
  assert listed(tmp_path) == {'crack/1.png': 'crack', 'hole/1.png': 'hole'}


@pytest.mark.parametrize('names', [
    ('train', 'val', 'test'), ('Training', 'validation', 'Testing'), ('train', 'valid', 'test')])
def test_parts_are_folders_and_no_classes(tmp_path, names):
  for name in names:
    touch(tmp_path, f'{name}/good/1.png', f'{name}/crack/1.png')
  assert {record.file: (record.label, record.folder) for record in classes.list(tmp_path)} == {
      f'{name}/{kind}/1.png': (kind, folder) for name, folder in zip(names, ('train', 'val', 'test'), strict=True)
      for kind in ('good', 'crack')}


@pytest.mark.parametrize('form', ['{kind}/{day}', '{day}/{kind}'])
def test_days_are_groups_of_good_and_defective_photos(tmp_path, form):
  files = {f'{form}/{number}.png'.format(kind=kind, day=day): (label, day) for number in range(2)
           for day in ('2026-11-02', '2026-11-03') for kind, label in (('ok', 'good'), ('ng', 'ng'))}
  touch(tmp_path, *files)
  assert {record.file: (record.label, record.group) for record in classes.list(tmp_path)} == files
  assert '2 groups, such as 2026-11-02' in classes.list(tmp_path).taken


def test_a_folder_of_good_and_of_defective_photos_is_a_group_whatever_its_name(tmp_path):
  touch(tmp_path, 'ok/housing/1.png', 'ok/lid/1.png', 'ng/housing/1.png', 'ng/lid/1.png', 'ng/dent/1.png')
  assert {record.file: (record.label, record.group) for record in classes.list(tmp_path)} == {
      'ok/housing/1.png': ('good', 'housing'), 'ok/lid/1.png': ('good', 'lid'), 'ng/housing/1.png': ('ng', 'housing'),
      'ng/lid/1.png': ('ng', 'lid'), 'ng/dent/1.png': ('dent', 'ng/dent/1.png')}


def test_groups_that_would_hold_a_whole_class_are_none(tmp_path):
  touch(tmp_path, 'ok/day1/1.png', 'ok/day1/2.png', 'ng/day2/1.png', 'ng/day3/2.png')
  assert all(record.group == record.file for record in classes.list(tmp_path))


def test_an_index_overrules_folders(tmp_path):
  touch(tmp_path, 'ok/day1/1.png', 'ok/day2/1.png')
  (tmp_path / 'index.csv').write_text('path;group\nok/day1/1.png;a\nok/day2/1.png;a\n')
  assert [record.group for record in classes.list(tmp_path)] == ['a', 'a']


def test_photos_of_no_class_are_told(tmp_path):
  touch(tmp_path, 'good/1.png', 'crack/1.png', '7.png', '8.png', 'line 2/1.png')
  assert [str(problem) for problem in classes.list(tmp_path).problems] == [
      './: 2 photos lie in no class folder and are left out; move them into one, or take data.source=photos',
      'line 2/: 1 photos lie in no class folder and are left out; move them into one, or take data.source=photos']


def test_what_is_ambiguous_is_asked_for(tmp_path):
  touch(tmp_path, 'both/train/good/1.png', 'both/ok/1.png', 'either/Positive/1.png', 'either/Negative/1.png',
        'flat/1.png')
  for name, reason in (('both', 'has both train/good/ and ok/; keep one layout'), ('either', 'may mean either'),
                       ('flat', 'has no folders named for their class')):
    with pytest.raises(UserError, match=f'data.path: .*{name} {reason}' if name != 'either' else reason):
      classes.list(tmp_path / name)


def test_a_folder_of_photos_alone_is_one_class(tmp_path):
  touch(tmp_path, 'set/2.png', 'set/1.jpg', 'ng/1.png')
  assert [(one.file, one.label) for one in photos.list(tmp_path / 'set')] == [('1.jpg', 'good'), ('2.png', 'good')]
  assert {record.label for record in photos.list(tmp_path / 'set', defects=('crack',))} == {'crack'}
  assert photos.list(tmp_path / 'ng')[0].label == 'ng'
  assert photos.list(tmp_path / 'set').taken == 'good: this folder (2 photos)'


def test_a_home_folder_is_found(tmp_path, monkeypatch):
  touch(tmp_path, 'photos/ok/1.png')
  monkeypatch.setenv('HOME', str(tmp_path))
  assert [record.photo for record in classes.list('~/photos')] == [tmp_path / 'photos/ok/1.png']


def test_ten_thousand_photos_are_listed_without_opening_them(tmp_path):
  for kind in ('ok', 'ng'):
    (tmp_path / kind).mkdir()
    for number in range(5000):
      os.close(os.open(tmp_path / kind / f'{number}.png', os.O_CREAT))
  assert len(classes.list(tmp_path)) == 10000


def test_thumbnails_and_hidden_folders_hold_no_photos(tmp_path):
  touch(tmp_path, 'ok/1.png', 'ok/.ipynb_checkpoints/1.png', 'ok/@eaDir/1.png/thumb.jpg', '.trash/crack/1.png')
  assert listed(tmp_path) == {'ok/1.png': 'good'}
