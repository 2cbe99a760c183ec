"""Masks are found where and as people keep them, and compared pixel by pixel with the real ones they were made from."""

import laid_out
import numpy as np
import pytest
from PIL import Image

from defect_jax.data import annotations, layouts, photos
from defect_jax.data.sources import kolektor2, mvtec_ad
from defect_jax.data.sources import photos as plain


@pytest.fixture
def bad(photo_sets):
  """Defective photos with their masks."""
  return laid_out.tiles(photo_sets)[1]


def save(path, image, **more):
  path.parent.mkdir(parents=True, exist_ok=True)
  (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **more)


def lay_out(root, bad, name, draw=lambda mask: np.uint8(mask) * 255):
  """Photos in test/bad/ and their masks, at `name` of each stem."""
  for number, (photo, mask) in enumerate(bad, 100):
    save(root / f'test/bad/{number}.png', photo)
    save(root / name.format(number), draw(mask))
  save(root / 'train/good/100.png', bad[0][0])  # of the same name


def found(root):
  paths = {path.relative_to(root).as_posix(): path for top in ('test', 'train') for path in root.glob(f'{top}/*/*')
           if not annotations.is_mask_of(path, {other.name for other in path.parent.iterdir()})}
  return annotations.find_masks(root, paths)


def check(root, bad, masks):
  assert masks.keys() == {f'test/bad/{number}.png' for number in range(100, 100 + len(bad))}
  for number, (_, right) in enumerate(bad, 100):
    np.testing.assert_array_equal(masks[f'test/bad/{number}.png'].read(right.shape), right)


@pytest.mark.parametrize('name', [
    'ground_truth/bad/{}_mask.png', 'ground_truth/bad/{}.png', 'ground_truth/bad/{}/000.png',
    'ground_truth/bad/{}_mask.bmp', 'ground_truth/bad/{}_mask.PNG', 'ground_truth/bad/{}.tiff',
    'ground_truth/{}_mask.png', 'ground_truth/{}.jpg', 'masks/{}.png', 'Masks/Bad/{}.png', 'masks/defect/{}.png',
    'masks/test/{}.bmp', 'test/ground_truth/bad/{}_mask.png', 'test/bad/masks/{}.png', 'test/bad/{}_GT.png',
    'test/bad/{}_label.bmp', 'test/bad/{}-mask.png', 'test/bad/{}_seg.png', 'GT/bad/{}_GT.png'])
def test_masks_are_found_under_the_names_people_give_them(tmp_path, bad, name):
  lay_out(tmp_path, bad, name)
  masks, problems = found(tmp_path)
  check(tmp_path, bad, masks)
  assert problems == []


def test_masks_of_parts_belong_to_photos_of_theirs(tmp_path, bad):
  for part, (photo, mask) in zip(('train', 'test'), bad, strict=False):
    save(tmp_path / f'images/{part}/7.png', photo)
    save(tmp_path / f'masks/{part}/7.png', mask)
  save(tmp_path / 'images/val/7.png', bad[0][0])
  of = {path.relative_to(tmp_path).as_posix(): path for path in tmp_path.glob('images/*/*')}
  masks, problems = annotations.find_masks(tmp_path, of)
  assert problems == [] and masks.keys() == {'images/train/7.png', 'images/test/7.png'}
  np.testing.assert_array_equal(masks['images/test/7.png'].read(bad[1][1].shape), bad[1][1])
  (tmp_path / 'masks/train/7.png').unlink()
  assert annotations.find_masks(tmp_path, of)[0].keys() == {'images/test/7.png'}
  of.pop('images/test/7.png')
  masks, (problem,) = annotations.find_masks(tmp_path, of)
  assert masks == {} and problem.kind == 'masks_without_photo'


def alpha(mask):
  white = Image.new('L', mask.shape[::-1], 255)
  return Image.merge('RGBA', (white, white, white, Image.fromarray(np.uint8(mask) * 255)))


def opaque(mask):
  level = Image.fromarray(np.uint8(mask) * 255)
  return Image.merge('RGBA', (level, level, level, Image.new('L', level.size, 255)))


def palette(*colours):
  def draw(mask):
    image = Image.fromarray(np.uint8(mask))
    image.putpalette(colours)
    return image
  return draw


@pytest.mark.parametrize('draw', [
    lambda mask: np.uint8(mask), lambda mask: np.uint8(mask) * 251, lambda mask: Image.fromarray(mask),
    lambda mask: np.stack([np.uint8(mask) * 9] + [np.zeros(mask.shape, np.uint8)] * 2, -1), alpha, opaque,
    palette(0, 0, 0, 128, 0, 0), palette(0, 128, 0, 128, 0, 0), lambda mask: np.uint16(mask) * 7],
    ids=['1', '251', 'binary', 'colour', 'alpha', 'opaque', 'black_palette', 'green_palette', '16_bits'])
def test_masks_are_read_however_they_are_coded(tmp_path, bad, draw):
  lay_out(tmp_path, bad, 'ground_truth/bad/{}.png', draw)
  masks, problems = found(tmp_path)
  check(tmp_path, bad, masks)
  assert problems == []


def test_what_jpeg_leaves_around_a_mark_is_not_marked(tmp_path):
  mask = np.zeros((64, 64), bool)
  mask[16:40, 20:44] = True
  save(tmp_path / 'mask.jpg', np.uint8(mask) * 255, quality=50)
  assert (np.asarray(Image.open(tmp_path / 'mask.jpg')) > 0).sum() > mask.sum() + 50
  np.testing.assert_array_equal(annotations.read_mask(tmp_path / 'mask.jpg', 'm'), mask)


def test_inverted_masks_are_reported_and_read_as_the_user_says(tmp_path, bad):
  lay_out(tmp_path, bad, 'ground_truth/bad/{}_mask.png', lambda mask: np.uint8(~mask) * 255)
  listed = mvtec_ad.list(tmp_path)
  problem, = listed.problems
  assert problem.kind == 'mask_inverted' and problem.file.startswith('test/bad/10')
  assert 'as 4 of 4 masks do; if the defect is what they leave out, set data.masks=inverted' in problem.message
  read = {record.file: record.annotation for record in annotations.read_as(listed, 'inverted') if record.annotation}
  check(tmp_path, bad, read)
  before = {record.file: record.annotation for record in listed if record.annotation}
  assert all(read[file].digest() != before[file].digest() for file in read)


@pytest.mark.parametrize('orientation', [3, 6])
def test_turned_photos_whose_masks_are_not(tmp_path, bad, orientation):
  exif, turned = Image.Exif(), {3: lambda a: a[::-1, ::-1], 6: lambda a: np.rot90(a)}[orientation]
  exif[0x0112] = orientation
  for number, (photo, mask) in enumerate(bad, 100):
    save(tmp_path / f'test/bad/{number}.png', np.ascontiguousarray(turned(photo)), exif=exif)
    save(tmp_path / f'ground_truth/bad/{number}.png', np.ascontiguousarray(turned(np.uint8(mask))))
  save(tmp_path / 'train/good/1.png', bad[0][0])
  listed = mvtec_ad.list(tmp_path)
  masks = {record.file: record.annotation for record in listed if record.annotation}
  if orientation == 6:  # the sizes say how the masks were drawn
    assert listed.problems == ()
  else:
    problem, = listed.problems
    assert problem.kind == 'mask_not_turned' and '4 photos' in problem.message
    assert 'taken as drawn on upright photos; ' in problem.message and 'data.masks=as_stored' in problem.message
    upright = masks['test/bad/100.png'].read(bad[0][1].shape)
    np.testing.assert_array_equal(upright, bad[0][1][::-1, ::-1])
    masks = {record.file: record.annotation for record in annotations.read_as(listed, 'as_stored') if record.annotation}
  check(tmp_path, bad, masks)


def test_masks_of_no_photo_are_told_with_what_was_looked_for(tmp_path, bad):
  lay_out(tmp_path, bad, 'ground_truth/bad/part{}x.png')
  masks, (problem,) = found(tmp_path)
  assert masks == {} and problem.file == 'ground_truth/'
  assert problem.message == (
      'holds 4 images that belong to no photo, such as ground_truth/bad/part100x.png; for test/bad/100.png looked in '
      'ground_truth/bad/ and ground_truth/ for 100.*, 100_mask.* and 100/000.*, and beside it for 100 with _mask, _GT, '
      '_label, _seg; nearest is ground_truth/bad/part100x.png')


def test_what_is_ambiguous_is_not_guessed(tmp_path, bad):
  lay_out(tmp_path, bad, 'ground_truth/bad/{}_mask.png')
  save(tmp_path / 'ground_truth/bad/100.png', bad[0][1])
  for label in ('dent', 'crack'):
    save(tmp_path / f'test/{label}/500.png', bad[0][0])
  save(tmp_path / 'ground_truth/500.png', bad[0][1])
  masks, (problem, *_) = found(tmp_path)
  assert problem.file == 'ground_truth/500.png' and 'test/crack/500.png' in problem.message
  assert not masks.keys() & {'test/crack/500.png', 'test/dent/500.png'}
  with pytest.raises(photos.PhotoError, match=r'^test/bad/100.png: has 2 masks, ground_truth.*'):
    masks['test/bad/100.png'].read(bad[0][1].shape)
  with pytest.raises(photos.PhotoError):
    masks['test/bad/100.png'].digest()


def test_masks_beside_photos_are_no_photos(tmp_path, bad):
  for number, (photo, mask) in enumerate(bad, 10000):
    save(tmp_path / f'{number}.png', photo)
    save(tmp_path / f'{number}_GT.png', np.uint8(mask))
  listed = plain.list(tmp_path)
  assert [record.file for record in listed] == [f'{number}.png' for number in range(10000, 10000 + len(bad))]
  assert all(record.annotation for record in listed)
  assert layouts.recognise(tmp_path, 'data.path') == 'kolektor2'  # so that empty masks tell good photos
  save(tmp_path / '10000_GT.png', np.zeros(bad[0][1].shape, np.uint8))
  assert [record.label for record in kolektor2.list(tmp_path)] == ['good'] + ['defect'] * (len(bad) - 1)
  problem, = listed.problems
  assert problem.file.endswith('_GT.png') and f'as {len(bad)} files are' in problem.message
