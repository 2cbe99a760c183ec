"""Every annotation format in the form that tools publish: masks are those they were made from, to the pixel."""
import itertools

import annotated_sets
import numpy as np
import pytest
from PIL import Image

from defect_jax.data import annotations, layouts
from defect_jax.data.annotations.shapes import Shape, Shapes
from defect_jax.data.sources import annotated


@pytest.mark.parametrize('name', annotated_sets.FORMATS)
def test_every_format_is_recognised_and_read_to_the_pixel(tmp_path, photo_sets, name):
  made = annotated_sets.make(name, tmp_path, photo_sets)
  assert layouts.recognise(made.root, 'data.path') == 'annotated'
  listed = annotated.list(made.root)
  assert listed.problems == ()
  assert {one.file: (one.label, one.folder) for one in listed} == {
      file: (label, folder) for file, (label, folder, _) in made.right.items()}
  for record in listed:
    right = made.right[record.file][2]
    if right is None:
      assert record.annotation is None
    else:
      np.testing.assert_array_equal(record.annotation.read(right.shape), right)


def draw(kind, *points, size=(12, 20), **more):
  return Shapes('a', (Shape(kind, points),), size, **more).read(size)


def pixels(*runs):
  """A mask of 12 x 20 px from (row, first, last) of runs."""
  mask = np.zeros((12, 20), bool)
  for row, first, last in runs:
    mask[row, first:last + 1] = True
  return mask


def test_shapes_by_hand():
  np.testing.assert_array_equal(draw('polygon', (2, 1), (6, 1), (6, 3)), pixels((1, 2, 6), (2, 4, 6), (3, 6, 6)))
  np.testing.assert_array_equal(draw('box', (2, 1), (6, 3)), pixels((1, 2, 5), (2, 2, 5)))
  np.testing.assert_array_equal(draw('box', (2.4, 1), (6.4, 2)), pixels((1, 2, 6)))  # in part
  np.testing.assert_array_equal(draw('box', (-5, 10), (2, 40)), pixels((10, 0, 1), (11, 0, 1)))
  np.testing.assert_array_equal(draw('points', (4, 5)), pixels((5, 4, 4)))
  ring = draw('ellipse', (4, 2), (10, 8))
  assert ring[5, 4:11].all() and ring[2:9, 7].all() and ring.sum() == ring[::-1].sum() and not ring[2, 4]
  assert draw('line', (0, 6), (19, 6)).sum(0).tolist() == [10] * 20


def test_a_crack_narrower_than_a_pixel_is_marked_without_a_gap():
  crack = draw('polygon', (1.2, 2.3), (18.1, 9.2), (18.3, 9.3), (1.3, 2.5))
  columns = np.flatnonzero(crack.any(0))
  assert columns.tolist() == [*range(columns[0], columns[-1] + 1)] and len(columns) >= 17
  rows = [np.flatnonzero(column) for column in crack.T[columns]]
  assert all(min(abs(one - other).min() for other in after) <= 1 for one, after in itertools.pairwise(rows))


def test_digests_differ_where_masks_do():
  shapes = [Shapes('a', (Shape('box', ((1, 1), (right, 3))),), (12, 20), turn=turn)
            for right in (4, 5) for turn in (1, 3)]
  assert len({one.digest() for one in shapes}) == 4


@pytest.mark.parametrize('orientation', [3, 6])
@pytest.mark.parametrize('name', ['labelme rectangles', 'coco boxes', 'yolo boxes'])
def test_shapes_on_photos_that_exif_data_turn(tmp_path, photo_sets, name, orientation):
  made = annotated_sets.make(name, tmp_path, photo_sets)
  turned, exif = {3: lambda a: a[::-1, ::-1], 6: lambda a: np.rot90(a)}[orientation], Image.Exif()
  exif[0x0112] = orientation
  for file in made.right:  # shapes are drawn on the upright photo
    upright = np.asarray(Image.open(made.root / file))
    Image.fromarray(np.ascontiguousarray(turned(upright))).save(made.root / file, exif=exif)
  listed = annotated.list(made.root)
  for record in listed:
    right = made.right[record.file][2]
    assert (record.annotation is None) == (right is None)
    if right is not None:
      np.testing.assert_array_equal(record.annotation.read(right.shape), right)
  for record in annotations.read_as(listed, 'as_stored') if (name, orientation) == ('yolo boxes', 3) else ():
    if (right := made.right[record.file][2]) is not None:
      np.testing.assert_array_equal(record.annotation.read(right.shape), right[::-1, ::-1])
  # Of shares, and of a half turn, no size tells how they were drawn; LabelMe always draws upright.
  unclear = name == 'yolo boxes' or (name == 'coco boxes' and orientation == 3)
  assert [problem.kind for problem in listed.problems] == ['mask_not_turned'] * unclear


def test_coco_drawn_on_the_pixels_as_stored(tmp_path, photo_sets):
  made = annotated_sets.make('coco compressed', tmp_path, photo_sets)
  exif = Image.Exif()
  exif[0x0112] = 6
  for file in made.right:
    Image.open(made.root / file).save(made.root / file, exif=exif)
  listed = annotated.list(made.root)
  assert listed.problems == ()
  for record in listed:
    if (right := made.right[record.file][2]) is not None:
      np.testing.assert_array_equal(record.annotation.read(right.shape[::-1]), np.rot90(right, -1))


def test_photos_of_one_name_in_several_folders(tmp_path, photo_sets):
  made = annotated_sets.Set(tmp_path, photo_sets)
  for part in ('train', 'valid'):  # as Roboflow lays out COCO
    for number, (photo, _) in enumerate(made.bad):
      annotated_sets.write_image(tmp_path / part / f'{number}.png', photo)
    made.text(f'{part}/_annotations.coco.json', {
        'categories': [{'id': 1, 'name': part}],
        'images': [{'id': number, 'file_name': f'{number}.png'} for number in range(4)],
        'annotations': [{'id': 9, 'image_id': number, 'category_id': 1, 'bbox': [1, 1, 5, 5]} for number in range(4)]})
  assert {one.file: (one.label, one.folder) for one in annotated.list(tmp_path)} == {
      f'{part}/{number}.png': (part, folder) for part, folder in (('train', 'train'), ('valid', 'val'))
      for number in range(4)}
