import os

import pytest
from made_photos import touch

from defect_jax.config import UserError
from defect_jax.data.sources import elpv, folder


def listed(root):
  return {record.file: (record.label, record.annotation and record.annotation.path.relative_to(root).as_posix())
          for record in folder.list(root)}


def test_mvtec_layout(tmp_path):
  touch(tmp_path, 'train/good/1.png', 'test/good/1.png', 'test/crack/2.JPG', 'test/crack/3.tif',
        'ground_truth/crack/2_mask.png')
  (tmp_path / 'test/crack/notes.txt').write_text('no photo')
  (tmp_path / 'test/crack/._2.JPG').write_bytes(b'left by macOS')
  assert listed(tmp_path) == {
      'test/crack/2.JPG': ('crack', 'ground_truth/crack/2_mask.png'), 'test/crack/3.tif': ('crack', None),
      'test/good/1.png': ('good', None), 'train/good/1.png': ('good', None)}


def test_ok_is_good_in_train_and_test_too(tmp_path):
  touch(tmp_path, 'train/ok/1.png', 'test/ko/1.png')
  assert listed(tmp_path) == {'train/ok/1.png': ('good', None), 'test/ko/1.png': ('ko', None)}


def test_ok_ng_layout(tmp_path):
  touch(tmp_path, 'ok/1.png', 'ok/line2/1.png', 'ng/1.bmp', 'ng/dent/1.png', 'ground_truth/ng/1_mask.png',
        'ground_truth/dent/1_mask.png')
  assert listed(tmp_path) == {
      'ok/1.png': ('good', None), 'ok/line2/1.png': ('good', None),
      'ng/1.bmp': ('ng', 'ground_truth/ng/1_mask.png'), 'ng/dent/1.png': ('dent', 'ground_truth/dent/1_mask.png')}


def test_linked_folders_are_walked_once(tmp_path):
  touch(tmp_path, 'store/3.png', 'photos/ok/1.png', 'photos/ok/2.png')
  (tmp_path / 'photos/ok/day').symlink_to(tmp_path / 'store')
  (tmp_path / 'photos/ok/twice').symlink_to(tmp_path / 'store')
  (tmp_path / 'photos/ok/back').symlink_to(tmp_path / 'photos/ok')
  assert listed(tmp_path / 'photos').keys() == {'ok/1.png', 'ok/2.png', 'ok/day/3.png'}


def test_a_name_that_is_not_utf8_is_left_out_and_told(tmp_path, caplog):
  touch(tmp_path, 'ok/1.png', 'ok/grün.png')
  (tmp_path / 'ok/1.png').rename(os.fsdecode(bytes(tmp_path / 'ok') + b'/gr\xfcn.png'))
  assert listed(tmp_path).keys() == {'ok/grün.png'}
  assert 'its name is not UTF-8; rename it' in caplog.text


def test_an_index_that_cannot_be_read_is_named(tmp_path):
  touch(tmp_path, 'ok/1.png')
  (tmp_path / 'index.csv').write_bytes('path,group\nok/grün.png,a\n'.encode('cp1252'))
  with pytest.raises(UserError, match=r'index\.csv: '):
    folder.list(tmp_path)


@pytest.mark.parametrize('line', ['images/1.png,1.0,mono', 'images/1.png 2.0 mono', 'images/1.png nan mono',
                                  'images/1.png inf mono'])
def test_labels_of_another_format_are_named(tmp_path, line):
  (tmp_path / 'labels.csv').write_text(f'images/0.png 0.0 mono\n{line}\n')
  with pytest.raises(UserError, match=r'labels\.csv: line 2 is not "file probability type"'):
    elpv.list(tmp_path)


def test_without_an_index_each_photo_is_its_own_group(tmp_path):
  touch(tmp_path, 'ok/1.png', 'ng/1.png')
  assert [record.group for record in folder.list(tmp_path)] == ['ng/1.png', 'ok/1.png']


@pytest.mark.parametrize('above', [False, True])
def test_index_gives_groups(tmp_path, above):
  root = tmp_path / 'set'
  touch(root, 'ok/1.png', 'ng/1.png')
  start = 'set/' if above else ''
  index = (tmp_path if above else root) / 'index.csv'
  index.write_text(f'path,group,more\n{start}ok/1.png,tile 7,x\n{start}ng/1.png,tile 7,\n')
  assert [record.group for record in folder.list(root)] == ['tile 7', 'tile 7']


def test_the_index_of_another_set_is_left_alone(tmp_path):
  touch(tmp_path / 'set', 'ok/1.png')
  (tmp_path / 'index.csv').write_text('path,group\nother/1.png,a\n')
  assert folder.list(tmp_path / 'set')[0].group == 'ok/1.png'


@pytest.mark.parametrize(('text', 'reason'), [
    ('path,group\nok/1.png,a\n', 'has no row for 1 of 2 photos, such as ok/2.png'),
    ('path,group\nok/1.png,a\nok/2.png,\n', 'line 3 has no path or no group'),
    ('path,group\nok/1.png,a\nok/2.png,b\nok/1.png,b\n', 'line 4 gives ok/1.png a second group'),
    ('file,group\nok/1.png,a\n', 'needs rows with the columns path and group')])
def test_an_index_that_could_leak_is_refused(tmp_path, text, reason):
  touch(tmp_path, 'ok/1.png', 'ok/2.png')
  (tmp_path / 'index.csv').write_text(text)
  with pytest.raises(UserError, match=f'index.csv: {reason}'):
    folder.list(tmp_path)


def test_refusals(tmp_path):
  touch(tmp_path, 'photo.png', 'both/ok/1.png', 'both/train/good/1.png', 'outer/inner/train/good/1.png')
  (tmp_path / 'empty/ok').mkdir(parents=True)
  (tmp_path / 'nothing').mkdir()
  for name, reason in (
      ('photo.png', 'is a file'), ('gone', 'does not exist'), ('nothing', 'has neither'),
      ('empty', 'holds no photos'), ('both', 'has both train/ and ok/'), ('outer', 'perhaps you mean .*inner')):
    with pytest.raises(UserError, match=f'data.path: .*{name}.* {reason}'):
      folder.list(tmp_path / name)
  with pytest.raises(UserError, match='is not set'):
    folder.list(None)


def test_elpv_counts():
  # labels.csv: `awk '{print $2, $3}' labels.csv | sort | uniq -c`
  mono = [record.label for record in elpv.list(cell_type='mono')]
  counts = {label: mono.count(label) for label in ('good', 'maybe_good', 'maybe_defective', 'defective')}
  assert counts == {'good': 588, 'maybe_good': 117, 'maybe_defective': 56, 'defective': 313}
  assert len(elpv.list(cell_type='poly')) == 920 + 178 + 50 + 402
  assert all(record.photo.is_file() for record in elpv.list(cell_type='mono')[::50])
  with pytest.raises(UserError, match='cell_type'):
    elpv.list(cell_type='Mono')
