import laid_out
import numpy as np
import pytest

from defect_jax.data import layouts, photos
from defect_jax.data.sources import kolektor2, mvtec_ad2, severstal
from defect_jax.errors import UserError
from defect_jax.registry import SOURCES


@pytest.mark.parametrize('name', laid_out.LAYOUTS)
def test_published_layouts_are_recognised_and_read(tmp_path, photo_sets, name):
  root, right = laid_out.make(name, tmp_path, photo_sets)
  source = layouts.recognise(root, 'data.path')
  assert source == name.split()[0]
  found = SOURCES[source].list(root)
  assert {one.file: (one.label, one.group, one.folder) for one in found} == {
      file: (label, group or file, folder) for file, (label, group, folder, _) in right.items()}
  for one in found:
    mask = right[one.file][3]
    assert (one.annotation is None) == (mask is None)
    if mask is not None:
      np.testing.assert_array_equal(one.annotation.read(mask.shape), mask)


@pytest.mark.parametrize('name', ['mvtec_ad', 'visa', 'dagm'])
def test_a_folder_of_sets_names_them(tmp_path, photo_sets, name):
  root, _ = laid_out.make(name, tmp_path / 'all', photo_sets)
  laid_out.make(name, tmp_path / 'all/more', photo_sets)
  holds = f'holds 2 sets in the layout of {SOURCES[name].TITLE}.*; name one, such as {root}$'
  with pytest.raises(UserError, match=holds):
    layouts.recognise(tmp_path / 'all', 'data.path')


def test_masks_beside_photos_of_one_folder_tell_the_class(tmp_path, photo_sets):
  root, right = laid_out.make('kolektor2', tmp_path, photo_sets)
  assert layouts.recognise(root / 'test', 'data.path') == 'kolektor2'
  assert {one.file: one.label for one in kolektor2.list(root / 'test')} == {
      file.removeprefix('test/'): label for file, (label, _, folder, _) in right.items() if folder == 'test'}


def test_photos_whose_mask_is_not_there_are_not_good(tmp_path, photo_sets):
  root, right = laid_out.make('kolektor2', tmp_path, photo_sets)
  (root / 'train/10000_GT.png').unlink()
  (root / 'test/10001_GT.png').write_bytes(b'')
  found = kolektor2.list(root)
  assert {one.file for one in found} == right.keys() - {'train/10000.png', 'test/10001.png'}
  assert [str(problem) for problem in found.problems] == [
      'train/10000.png: has no mask 10000_GT beside it and is left out',
      'test/10001.png: is left out, since its mask is empty (0 bytes)']


def test_what_ad2_leaves_out_is_told(tmp_path, photo_sets):
  root, _ = laid_out.make('mvtec_ad2', tmp_path, photo_sets)
  assert [str(problem) for problem in mvtec_ad2.list(root).problems] == [
      'test_private/: 1 photos of no known class are left out']


def steel(root, text):
  (root / 'train_images').mkdir()
  for name in ('a.jpg', 'b.jpg', 'c.jpg'):
    (root / f'train_images/{name}').touch()
  (root / 'train.csv').write_text(text)
  return severstal.list(root)


def test_a_steel_photo_of_several_classes_is_of_the_largest_and_its_mask_has_all(tmp_path):
  found = steel(tmp_path, 'ImageId,ClassId,EncodedPixels\na.jpg,1,1 2\na.jpg,3,5 3 9 1\nb.jpg,2,1 1\n')
  assert [one.label for one in found] == ['defect_3', 'defect_2', 'good']
  assert '1 photos of several classes are of the one that covers most' in found.taken
  # Of 3 rows and 4 columns, counted down the columns: 1, 2; 5, 6, 7; 9.
  assert found[0].annotation.read((3, 4)).tolist() == [
      [True, False, True, False], [True, True, False, False], [False, True, True, False]]


def test_steel_rows_of_the_first_form(tmp_path):
  found = steel(tmp_path, 'ImageId_ClassId,EncodedPixels\na.jpg_1,\na.jpg_4,1 2\nb.jpg_1,\n')
  assert [one.label for one in found] == ['defect_4', 'good', 'good']


def test_steel_annotations_that_do_not_fit_are_told_by_file(tmp_path):
  found = steel(tmp_path, 'ImageId,ClassId,EncodedPixels\na.jpg,1,12 2\nb.jpg,1,1 x\nc.jpg,1,1 1\nc.jpg,1,3 1\n'
                          'z.jpg,1,1 1\n')
  assert [one.file for one in found] == ['train_images/a.jpg', 'train_images/c.jpg']  # b is no good photo
  assert [str(problem) for problem in found.problems] == [
      'train_images/b.jpg: is left out: line 3 of train.csv is not pairs of numbers',
      'train_images/c.jpg: has class 1 a second time (train.csv, line 5)',
      'train_images/z.jpg: is not there, but annotated (train.csv, line 6)']
  with pytest.raises(photos.PhotoError, match=r'a\.jpg: is 4 x 3 px, its mask is not: it has 2 px from the 12th on'):
    found[0].annotation.read((3, 4))
