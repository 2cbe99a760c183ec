"""What stands out in a set of photos, each planted here by hand."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from made_photos import bumps, write
from PIL import Image

from defect_jax.data import inspection, listing, parts
from defect_jax.data.annotations import MaskFile


def looked_at(root, source='classes'):
  """(looks, {file: kinds of what is wrong}) of a folder."""
  looks, problems = [], {}
  for look, wrong in inspection.look_at_all(listing.list_photos(source, root)):
    looks += [look] if look else []
    problems |= {problem.file: problem.kind for problem in wrong}
  return looks, problems


def concluded(root, source='classes'):
  listed = listing.list_photos(source, root)
  seen = [*inspection.look_at_all(listed)]
  return inspection.conclude(source, 'photos', listed, [look for look, _ in seen if look],
                             [problem for _, wrong in seen for problem in wrong])


def test_what_a_photo_is(tmp_path):
  write(tmp_path / 'ok/grey.png', bumps(0)[:, :20])
  write(tmp_path / 'ok/deep.png', np.uint16(257) * bumps(1))
  write(tmp_path / 'ng/colour.png', np.stack([bumps(2)] * 3, -1))
  mask = np.zeros((32, 32), np.uint8)
  mask[4:12, 4:8] = 255
  write(tmp_path / 'ground_truth/ng/colour_mask.png', mask)
  (colour, deep, grey), problems = looked_at(tmp_path)
  assert problems == {}
  assert (grey.size, grey.bits, grey.channels, grey.marked) == ((20, 32), 8, 1, None)
  assert (deep.size, deep.bits, deep.channels) == ((32, 32), 16, 1)
  assert (colour.bits, colour.channels, colour.marked) == (8, 3, 32 / 1024)
  assert deep.high == pytest.approx(np.percentile(bumps(1), 99) / 255, abs=1e-3)


def test_a_camera_of_fewer_bits_and_photos_that_lie_on_their_side(tmp_path):
  exif = Image.Exif()
  exif[0x0112] = 6
  for number in range(2):
    deep = Image.fromarray(np.uint16(np.linspace(0, 4095, 20 * 30).reshape(20, 30)))
    (tmp_path / 'ok').mkdir(exist_ok=True)
    deep.save(tmp_path / f'ok/{number}.png', exif=exif)
  listed = listing.list_photos('photos', tmp_path)
  records = [dataclasses.replace(record, bits=12) for record in listed]
  looks = [look for look, _ in inspection.look_at_all(records)]
  assert [(look.size, look.turned, look.depth) for look in looks] == [((20, 30), 6, '12 of 16')] * 2
  assert looks[0].high == pytest.approx(0.99, abs=0.01)  # of what the camera can measure


def test_what_is_wrong_with_photos_and_masks(tmp_path):
  for name, photo in {'black': np.full((32, 32), 3), 'white': np.full((32, 32), 252), 'flat': np.full((32, 32), 99),
                      'fine': bumps(0)}.items():
    write(tmp_path / f'good/{name}.png', np.uint8(photo))
  (tmp_path / 'good/cut.png').write_bytes((tmp_path / 'good/fine.png').read_bytes()[:200])
  marks = {'inverted': np.full((32, 32), 255), 'empty': np.zeros((32, 32)), 'other': np.ones((16, 32))}
  for number, (name, mask) in enumerate(marks.items()):
    write(tmp_path / f'hole/{name}.png', bumps(number + 1))
    write(tmp_path / f'ground_truth/hole/{name}_mask.png', np.uint8(mask))
  looks, problems = looked_at(tmp_path)
  assert problems == {
      'good/black.png': 'black', 'good/white.png': 'saturated', 'good/flat.png': 'uniform', 'good/cut.png': 'broken',
      'hole/inverted.png': 'mask_inverted', 'hole/empty.png': 'mask_empty', 'hole/other.png': 'mask_unusable'}
  assert len(looks) == 7  # all but the one that is cut


def test_a_mark_in_a_good_photo(tmp_path):
  write(tmp_path / 'photo.png', bumps(0))
  write(tmp_path / 'mask.png', np.eye(32, dtype=np.uint8))
  record = parts.Record('photo.png', 'good', 'photo.png', tmp_path / 'photo.png', MaskFile(tmp_path / 'mask.png', 'p'))
  ((_, (problem,)),) = inspection.look_at_all([record])
  assert problem.kind == 'good_marked'


def test_copies_are_told_by_what_they_spoil(tmp_path):
  for number, file in enumerate(('train/good/a', 'train/good/b', 'train/hole/c', 'test/good/d', 'test/hole/e')):
    write(tmp_path / f'{file}.png', bumps(number))
  for file, source in {'train/good/z': 'train/good/a', 'test/good/y': 'train/good/b', 'test/good/x': 'train/hole/c'
                       }.items():
    (tmp_path / f'{file}.png').write_bytes((tmp_path / f'{source}.png').read_bytes())
  by_file = sorted(concluded(tmp_path).problems, key=lambda problem: problem.file)
  assert [(problem.file, problem.kind) for problem in by_file] == [
      ('train/good/b.png', 'copy_in_another_part'), ('train/good/z.png', 'copy'),
      ('train/hole/c.png', 'copy_in_another_class')]
  assert 'is the same file as test/good/x.png, so it is both good and hole' in str(by_file[2])


@pytest.mark.parametrize(('others', 'words'), [
    ((60, 30), '3 of 12 photos of good are 60 x 30 px, the others 40 x 20 px'),  # another camera
    ((20, 40), '3 of 12 photos of good are 20 x 40 px, the others 40 x 20 px'),  # turned
    ((44, 22), None)])
def test_two_kinds_of_photos_in_a_class_are_told_apart(tmp_path, others, words):
  for number in range(12):
    width, height = (40, 20) if number < 9 else others
    write(tmp_path / f'ok/{number:02d}.png', np.random.default_rng(number).integers(0, 255, (height, width), np.uint8))
  found = concluded(tmp_path)
  assert [problem.message for problem in found.problems] == ([words] if words else [])
  for pair in found.kinds:
    assert [look.record.file for look in pair.sides[1][1]] == ['ok/09.png', 'ok/10.png', 'ok/11.png']


def test_grey_photos_among_colour_ones_and_cut_outs_of_any_size(tmp_path):
  rng = np.random.default_rng(0)
  for number in range(12):
    write(tmp_path / f'ok/{number:02d}.png', rng.integers(0, 255, (30, 30, 3) if number < 8 else (30, 30), np.uint8))
    write(tmp_path / f'ng/{number:02d}.png', rng.integers(0, 255, (20 + 5 * number, 80 - 5 * number), np.uint8))
  (pair,) = concluded(tmp_path).kinds
  assert pair.problem().message == '4 of 12 photos of good are grey, the others in colour'


def test_groups_are_guessed_from_names_that_repeat_in_each_group():
  two_lights = [f'good/{number:03d}_{light}.png' for number in range(4) for light in ('regular', 'overexposed')]
  groups = inspection.groups_by_name(two_lights)
  assert groups['good/002_regular.png'] == groups['good/002_overexposed.png'] == 'good/002'
  assert len({*groups.values()}) == 4
  shots = inspection.groups_by_name(f'part{part} - {shot}.jpg' for part in range(5) for shot in range(3))
  assert len({*shots.values()}) == 5
  assert inspection.groups_by_name(f'IMG_{number:04d}.png' for number in range(20)) == {}
  assert inspection.groups_by_name(f'exp{number % 3}_num_{1000 + number}.png' for number in range(20)) == {}
  assert inspection.groups_by_name(f'{number:03d}.png' for number in range(20)) == {}


def test_a_real_set_is_what_its_folders_say(photo_sets):
  root = photo_sets / 'bsdata/ball_screw'
  listed = listing.list_photos('classes', root)
  some = dataclasses.replace(listed, records=listed[::8])
  seen = [*inspection.look_at_all(some)]
  assert [wrong for _, wrong in seen] == [[]] * len(some)
  found = inspection.conclude('classes', 'photos', some, [look for look, _ in seen], [])
  files = {look.record.file: look for look in found.looks}
  assert found.classes['pitting']['masks'] == len([file for file in files if file.startswith('test/pitting/')])
  for file, look in files.items():
    with Image.open(root / file) as image:
      assert look.size == image.size
    mask = root / f'ground_truth/pitting/{Path(file).stem}_mask.png'
    assert look.marked == (np.mean(np.asarray(Image.open(mask)) > 0) if mask.is_file() else None)
