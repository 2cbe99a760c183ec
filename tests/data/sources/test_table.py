import pytest
from made_photos import touch

from defect_jax.data.sources import table
from defect_jax.errors import UserError


def write(root, text):
  (root / 'photos.csv').write_text(text, encoding='utf-8-sig')
  return root


def test_a_table_gives_class_mask_and_group(tmp_path):
  touch(tmp_path, 'a/1.png', 'a/2.png', 'a/3.png', 'marks/2.png')
  write(tmp_path, 'path;label;mask;group\na/1.png;OK;;part 1\na\\2.png;scratch;marks/2.png;part 1\n'
                  '"a/3.png";scratch;;\n')
  found = table.list(tmp_path)
  assert [(one.file, one.label, one.group) for one in found] == [
      ('a/1.png', 'good', 'part 1'), ('a/2.png', 'scratch', 'part 1'), ('a/3.png', 'scratch', 'a/3.png')]
  assert [one.annotation and one.annotation.path for one in found] == [None, tmp_path / 'marks/2.png', None]
  assert table.list(tmp_path / 'photos.csv') == found


def test_rows_that_cannot_be_used_are_told(tmp_path):
  touch(tmp_path, 'set/1.png', 'set/2.png', 'set/3.png', 'outside.png')
  write(tmp_path / 'set', 'path,label,mask\n1.png,good,\n1.png,ng,\ngone.png,ng,\n../outside.png,ng,\n2.png,,\n'
                          '3.png,ng,m.png\n')
  found = table.list(tmp_path / 'set')
  assert [(one.file, one.label) for one in found] == [('1.png', 'good'), ('3.png', 'ng')]
  assert [(problem.kind, str(problem)) for problem in found.problems] == [
      ('twice', '1.png: is named a second time, as ng where it was good; line 2 counts (line 3)'),
      ('missing', 'gone.png: is not there (line 4)'),
      ('outside', '../outside.png: lies outside the folder of the table and is left out (line 5)'),
      ('no_class', '2.png: has no label and is left out (line 6)'),
      ('no_mask', '3.png: its mask m.png is not there (line 7)')]


def test_only_the_path_is_needed(tmp_path):
  touch(tmp_path, '1.png', '2.png', 'm.png')
  (tmp_path / 'a.csv').write_text('path\n1.png\n2.png\n')
  assert {one.label for one in table.list(tmp_path / 'a.csv')} == {'good'}
  (tmp_path / 'a.csv').write_text('Path,Mask\n1.png,\n2.png,m.png\n')
  assert [one.label for one in table.list(tmp_path / 'a.csv')] == ['good', 'defect']


@pytest.mark.parametrize(('text', 'reason'), [
    ('name,label\n1.png,ok\n', 'needs rows with the column path'), ('path,label\n', 'needs rows'),
    ('path,label\nx.png,ok\n', 'none of the 1 photos can be used; such as x.png: is not there'),
    ('path,label\n1.png,0\n2.png,1\n', 'has the classes 0 and 1, which may mean either')])
def test_refusals(tmp_path, text, reason):
  touch(tmp_path, '1.png', '2.png')
  with pytest.raises(UserError, match=f'photos.csv.*{reason}'):
    table.list(write(tmp_path, text) / 'photos.csv')
