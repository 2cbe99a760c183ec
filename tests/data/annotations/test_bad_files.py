"""Annotation files that do not fit: each is told by file, and no photo becomes good by them."""

import json

import annotated_sets
import numpy as np
import pytest
from PIL import Image

from defect_jax.data import layouts, photos
from defect_jax.data.sources import annotated, classes
from defect_jax.errors import UserError


@pytest.fixture
def made(tmp_path, photo_sets):
  return lambda name: annotated_sets.make(name, tmp_path, photo_sets)


def change(path, to):
  """Changes the content of a JSON file."""
  content = json.loads(path.read_text())
  to(content)
  path.write_text(json.dumps(content))


def listed(root, *left_out):
  """The problems, given that of the six photos only those are left out."""
  found = annotated.list(root)
  assert {one.file.rpartition('/')[2] for one in found} == {f'{number:03d}.png' for number in range(6)} - {*left_out}
  assert sum(one.label == 'good' for one in found) == 2
  return [(problem.file, problem.kind) for problem in found.problems]


def test_labelme(made):
  root = made('labelme polygons').root
  outside = [[-40, -40], [-20, -40], [-20, -20]]
  change(root / '002.json', lambda content: content['shapes'][0].update(points=outside))
  change(root / '003.json', lambda content: content.update(imageHeight=17))
  (root / '004.json').write_text('{"shapes": [')
  reaching = [[-9, 5], [4, 5], [4, 9]]
  change(root / '005.json', lambda content: content['shapes'][0].update(points=reaching))
  change(root / '001.json', lambda content: content['shapes'].append({'label': 'x', 'points': [[1, 1]],
                                                                      'shape_type': 'spline'}))
  (root / '777.json').write_text((root / '000.json').read_text().replace('000.png', '777.png'))
  found = annotated.list(root)
  assert {one.file for one in found} == {'000.png', '005.png'}
  assert {(problem.file, problem.kind) for problem in found.problems} == {
      ('001.json', 'broken_annotation'), ('002.png', 'outside_photo'), ('003.png', 'wrong_size'),
      ('004.json', 'broken_annotation'), ('005.png', 'outside_photo'), ('777.png', 'annotation_without_photo'),
      ('001.png', 'not_annotated')}


def test_coco(made):
  root = made('coco compressed').root

  def spoil(content):
    images, entries = content['images'], content['annotations']
    entries[0]['category_id'] = 99
    entries[1]['segmentation']['size'] = [9, 9]
    entries[2]['segmentation']['counts'] = [1, 2, 3]
    images.append({'id': 80, 'file_name': 'gone.png', 'height': 9, 'width': 9})
    entries.append(entries[0] | {'image_id': 81, 'id': 82})
    images.append(images[-2] | {'id': 83})
  change(root / 'annotations/instances_train2017.json', spoil)
  top = 'images/train2017'
  assert set(listed(root, '002.png', '003.png', '004.png', '005.png')) == {
      (f'{top}/002.png', 'unknown_class'), (f'{top}/003.png', 'wrong_size'), (f'{top}/004.png', 'wrong_size'),
      (f'{top}/005.png', 'two_annotations'), ('gone.png', 'annotation_without_photo'),
      ('image 81', 'annotation_without_photo')}


def left_out(root, file):
  """Asserts that a photo is not listed, which is told, or that its mask can't be read."""
  found = annotated.list(root)
  of_file = {one.file: one for one in found}
  if file in of_file:
    assert of_file[file].label == annotated_sets.LABEL
    with pytest.raises(photos.PhotoError, match='damaged'):
      of_file[file].annotation.read(of_file[file].decode().shape)
  else:
    assert file in [problem.file for problem in found.problems]


@pytest.mark.parametrize('counts', ['0', '', 'zzzzzzzzz', '\u00e9', 'P', '11111111111111'])
def test_damaged_run_lengths_are_told(made, counts):
  root = made('coco compressed').root
  change(root / 'annotations/instances_train2017.json',
         lambda content: content['annotations'][0]['segmentation'].update(counts=counts))
  left_out(root, 'images/train2017/002.png')


def test_yolo(made):
  root = made('yolo boxes').root
  (root / 'labels/val/004.txt').write_text('5 0.5 0.5 0.1 0.1\n')
  (root / 'labels/test/002.txt').write_text('1 0.5 0.5 0.1\n')
  (root / 'labels/train/003.txt').write_text('1 0.99 0.5 0.1 0.1\n')
  (root / 'labels/train/900.txt').write_text('1 0.5 0.5 0.1 0.1\n')
  (root / 'labels/test/005.txt').unlink()
  assert set(listed(root, '004.png', '002.png', '005.png')) == {
      ('images/val/004.png', 'unknown_class'), ('labels/test/002.txt', 'broken_annotation'),
      ('images/train/003.png', 'outside_photo'), ('900', 'annotation_without_photo'),
      ('images/test/002.png', 'not_annotated')}


def test_voc(made):
  root = made('voc').root
  bomb = '<!DOCTYPE a [<!ENTITY x "xx"><!ENTITY y "&x;&x;">]><annotation><filename>&y;</filename></annotation>'
  (root / 'Annotations/002.xml').write_text(bomb)
  (root / 'Annotations/003.xml').write_text('<annotation><object>')
  (root / 'Annotations/copy.xml').write_text((root / 'Annotations/004.xml').read_text())
  assert set(listed(root, '002.png', '003.png', '004.png')) == {
      ('Annotations/002.xml', 'broken_annotation'), ('Annotations/003.xml', 'broken_annotation'),
      ('JPEGImages/004.png', 'two_annotations'), ('JPEGImages/002.png', 'not_annotated')}


def test_cvat(made):
  root = made('cvat').root
  colours = np.asarray(Image.open(root / 'SegmentationClass/002.png')).copy()
  colours[0, 0] = 9, 9, 9
  annotated_sets.write_image(root / 'SegmentationClass/002.png', colours)
  (root / 'SegmentationClass/003.png').write_bytes(b'')
  (root / 'SegmentationClass/004.png').rename(root / 'SegmentationClass/904.png')
  found = annotated.list(root)
  # 004 is listed by ImageSets/, and its mask is not there.
  assert {(problem.file, problem.kind) for problem in found.problems} == {
      ('JPEGImages/002.png', 'unknown_class'), ('JPEGImages/003.png', 'broken_annotation'),
      ('SegmentationClass/904.png', 'annotation_without_photo')}


def test_label_studio(made):
  root = made('label studio brushes').root
  tasks = json.loads((root / 'project-1-at-2026-01-01.json').read_text())
  code = tasks[2]['annotations'][0]['result'][0]['value']['rle']

  def spoil(tasks):
    tasks[3]['annotations'][0]['result'][0]['original_width'] = 17
    tasks[4]['annotations'] *= 2
    tasks[5]['annotations'] = []
  change(root / 'project-1-at-2026-01-01.json', spoil)
  assert set(listed(root, '003.png', '004.png', '005.png')) == {
      ('003.png', 'broken_annotation'), ('004.png', 'two_annotations'),
      ('005.png', 'not_annotated')}
  for end in (3, 8, 40):
    change(root / 'project-1-at-2026-01-01.json',
           lambda tasks, end=end: tasks[2]['annotations'][0]['result'][0]['value'].update(rle=code[:end]))
    left_out(root, '002.png')


def test_a_folder_whose_only_annotation_is_broken_is_not_a_folder_of_good_photos(made):
  root = made('labelme polygons').root
  for path in root.glob('*.json'):
    path.write_text('{')
  assert layouts.recognise(root, 'data.path') == 'annotated'
  with pytest.raises(UserError, match=r'such as 000\.json: cannot be read as an'):
    annotated.list(root)


def test_class_folders_keep_their_classes_and_take_the_shapes(made):
  root = made('labelme polygons').root
  for path in [*root.iterdir()]:
    to = root / ('ok' if path.stem in ('000', '001') else 'ng') / path.name
    to.parent.mkdir(exist_ok=True)
    path.rename(to)
  assert layouts.recognise(root, 'data.path') == 'classes'
  assert {one.file: one.annotation is not None for one in classes.list(root)} == {
      f'{"ok" if number < 2 else "ng"}/{number:03d}.png': number > 1 for number in range(6)}


def test_the_class_that_covers_most_counts_and_is_told(made):
  root = made('labelme rectangles').root
  change(root / '002.json', lambda content: content['shapes'].append(
      {'label': 'stain', 'points': [[0, 0], [99, 99]], 'shape_type': 'rectangle'}))
  found = annotated.list(root)
  assert {one.file: one.label for one in found}['002.png'] == 'stain'
  assert '1 photos of several classes are of the one that covers most' in found.taken
