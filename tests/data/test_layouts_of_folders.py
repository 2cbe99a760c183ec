import pytest
from made_photos import touch

from defect_jax.data import layouts
from defect_jax.errors import UserError
from defect_jax.registry import SOURCES


def recognised(root):
  name = layouts.recognise(root, 'data.path')
  return name, SOURCES[name].list(root).taken


# The cases of own/folders_as_people_name_them.py.
@pytest.mark.parametrize(('good', 'defective'), [
    ('good', 'defective'), ('OK', 'NG'), ('ok', 'nok'), ('good', 'bad'), ('normal', 'abnormal'), ('pass', 'fail'),
    ('IO', 'NIO'), ('良品', '不良品'), ('no_defect', 'crack')])
def test_class_folders_as_people_name_them(tmp_path, good, defective):
  touch(tmp_path, f'{good}/1.png', f'{good}/2.png', f'{defective}/1.png')
  assert recognised(tmp_path) == ('classes', f'good: {good}/ (2 photos), {defective}: {defective}/ (1)')


def test_a_folder_of_photos_alone(tmp_path):
  touch(tmp_path, '1.png', '2.bmp')
  assert recognised(tmp_path) == ('photos', 'good: this folder (2 photos)')


def test_a_table(tmp_path):
  touch(tmp_path, 'x/1.png', 'x/2.png')
  (tmp_path / 'list.csv').write_text('path,label\nx/1.png,ok\nx/2.png,dent\n')
  assert recognised(tmp_path)[0] == layouts.recognise(tmp_path / 'list.csv', 'data.path') == 'table'


def test_solar_cells(tmp_path):
  (tmp_path / 'labels.csv').write_text('images/cell0001.png   1.0   mono\n')
  assert layouts.recognise(tmp_path, 'data.path') == 'elpv'


def test_what_is_not_known_is_told_with_what_it_lacks(tmp_path):
  (tmp_path / 'notes.txt').write_text('')
  with pytest.raises(UserError, match=r'data.path: .* of no known layout\. .*class folders: folders named'):
    layouts.recognise(tmp_path, 'data.path')
  (tmp_path / 'made').mkdir()
  (tmp_path / 'made/manifest.jsonl').touch()
  for name, reason in (('notes.txt', 'is a file'), ('gone', 'does not exist'), ('made', 'is a set of made images')):
    with pytest.raises(UserError, match=f'photos: .*{name} {reason}'):
      layouts.recognise(tmp_path / name, 'photos')
