import csv
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from defect_jax.config import UserError
from defect_jax.data import dataset, parts, prepared, regions
from defect_jax.data.sources import folder

SMALL = {'size': 16, 'channels': 1}


def photo(seed):
  return np.random.default_rng(seed).integers(0, 256, (16, 16), np.uint8)


def make(root, count, label='dent'):
  """BMP photos in the pool, each its own group; values by number."""
  files, number = [], 0
  while len(files) < count:
    file = f'ng/{label}/{number:03d}.bmp'
    number += 1
    if parts.part_of(file) == 'pool':
      (root / file).parent.mkdir(parents=True, exist_ok=True)
      Image.fromarray(photo(number)).save(root / file)
      files.append(file)
  return files


def open_folder(root, tmp_path, **options):
  options = {'part': 'pool', **SMALL, 'cache': tmp_path / 'cache', **options}
  return dataset.load(source='folder', path=root, **options)


def test_images_are_the_files_pixels(tmp_path):
  root = tmp_path / 'set'
  files = make(root, 5)
  photo_set = open_folder(root, tmp_path)
  assert photo_set.files == files and photo_set.groups == files and photo_set.labels == ['dent'] * 5
  assert photo_set.notes == photo_set.skipped == ()
  assert photo_set.shape == (5, 16, 16, 1) and photo_set.nbytes == 5 * 16 * 16 * 2
  for i, file in enumerate(files):
    pixels = np.asarray(Image.open(root / file))
    np.testing.assert_array_equal(photo_set[i][..., 0], pixels.astype(np.uint16) * 257)  # 255 -> 65535
    np.testing.assert_array_equal(photo_set.images(np.uint16)[i], photo_set[i])
    np.testing.assert_allclose(photo_set.images()[i, ..., 0], pixels / 255, rtol=0, atol=1e-7)
    assert photo_set.sha256[i] == hashlib.sha256((root / file).read_bytes()).hexdigest()
  assert photo_set.boxes.tolist() == [[0, 0, 16, 16]] * 5


def test_all_uint16_values_survive_the_way_to_float_and_back():
  values = np.arange(65536, dtype=np.uint16)
  floats = dataset.as_float(values)
  assert floats.dtype == np.float32 and floats[0] == 0 and floats[-1] == 1
  np.testing.assert_array_equal(np.round(floats * 65535).astype(np.uint16), values)


def test_a_changed_photo_is_never_served_from_the_cache(tmp_path):
  root = tmp_path / 'set'
  files = make(root, 4)
  before = open_folder(root, tmp_path).images()
  path = root / files[2]
  stat = path.stat()
  Image.fromarray(photo(999)).save(path)
  os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
  assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
  after = open_folder(root, tmp_path).images()
  np.testing.assert_allclose(after[2, ..., 0], photo(999) / 255, atol=1e-7)
  np.testing.assert_array_equal(after[[0, 1, 3]], before[[0, 1, 3]])


def test_a_second_opening_reads_the_cache(tmp_path, monkeypatch):
  root = tmp_path / 'set'
  make(root, 4)
  first = open_folder(root, tmp_path).images(np.uint16)
  monkeypatch.setattr(prepared.regions, 'place', None)  # would fail if a photo were prepared again
  np.testing.assert_array_equal(open_folder(root, tmp_path).images(np.uint16), first)


@pytest.mark.parametrize('damage', ['flip', 'cut', 'lose'])
def test_a_damaged_cache_is_prepared_anew(tmp_path, damage):
  root = tmp_path / 'set'
  make(root, 4)
  first = open_folder(root, tmp_path).images(np.uint16)
  [records] = (tmp_path / 'cache').rglob('*.array_record*')
  info = records.parent / 'dataset_info.json'
  whole = records.read_bytes()
  middle = 1500  # inside the four records of about 780 bytes each
  if damage == 'flip':
    records.write_bytes(whole[:middle] + bytes([whole[middle] ^ 4]) + whole[middle + 1:])
  elif damage == 'cut':
    records.write_bytes(whole[:middle])
  else:
    info.unlink()
  damaged = records.read_bytes()
  np.testing.assert_array_equal(open_folder(root, tmp_path).images(np.uint16), first)
  assert info.is_file() and (damage == 'lose' or records.read_bytes() != damaged)


def test_an_interrupted_preparation_leaves_nothing_that_is_served(tmp_path, monkeypatch):
  root = tmp_path / 'set'
  make(root, 4)
  place, calls = regions.place, []

  def killed_at_the_third(*args):
    calls.append(args)
    if len(calls) == 3:
      raise KeyboardInterrupt
    return place(*args)

  with monkeypatch.context() as patch:
    patch.setattr(prepared.regions, 'place', killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
      open_folder(root, tmp_path)
  assert not list((tmp_path / 'cache').rglob('dataset_info.json'))
  [lock] = (tmp_path / 'cache').rglob('lock')
  (lock.parent / 'incomplete.ABCDEF_1.0.0').mkdir()  # what a SIGKILL leaves
  np.testing.assert_array_equal(open_folder(root, tmp_path).images(np.uint16)[..., 0], [
      np.asarray(Image.open(record.photo)).astype(int) * 257 for record in folder.list(root)])
  assert not list(lock.parent.glob('incomplete*'))


OPEN = """
import sys
from defect_jax.data import dataset
photos = dataset.load(source='elpv', part='pool', defects=('defective',), few_shot=25, size=64, channels=1,
                      cache=sys.argv[1])
assert 'tensorflow' not in sys.modules
assert photos.shape == (25, 64, 64, 1)
import hashlib
sys.stdout.write(hashlib.sha256(photos.images().tobytes()).hexdigest())
"""


def test_processes_at_once_agree_quietly_and_without_tensorflow(tmp_path):
  processes = [subprocess.Popen([sys.executable, '-c', OPEN, str(tmp_path)], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True) for _ in range(3)]
  answers = [process.communicate(timeout=120) for process in processes]
  assert [process.returncode for process in processes] == [0, 0, 0], answers
  assert len({out for out, _ in answers}) == 1 and len(answers[0][0]) == 64  # the digest and nothing else
  assert [err for _, err in answers] == ['', '', '']


def drawn(root, count, seed):
  return parts.choose_few([record for record in folder.list(root) if record.part == 'pool'], count, seed)


def test_a_draw_of_one_photo_is_refused_by_its_reason(tmp_path):
  root = tmp_path / 'set'
  make(root, 9)
  with pytest.raises(UserError, match='1 photo in part pool is asked for; at least 2 are needed'):
    open_folder(root, tmp_path, few_shot=1)


def test_few_shot_draw(tmp_path):
  root = tmp_path / 'set'
  files = make(root, 9)
  few = open_folder(root, tmp_path, few_shot=3, seed=1)
  assert few.files == drawn(root, 3, 1) and few.notes == ()
  all_of_them = open_folder(root, tmp_path, few_shot=25)
  assert all_of_them.files == files
  assert all_of_them.notes == ('data.few_shot asks for 25; part pool has 9, all are used',)


def test_only_the_chosen_photos_are_opened(tmp_path):
  root = tmp_path / 'set'
  files = make(root, 9)
  chosen = drawn(root, 3, 1)
  for file in set(files) - set(chosen):
    (root / file).write_bytes(b'')
  assert open_folder(root, tmp_path, few_shot=3, seed=1).files == chosen


def test_one_broken_photo_of_25_is_refused(tmp_path):
  root = tmp_path / 'set'
  files = make(root, 25)
  (root / files[3]).write_bytes(b'')
  with pytest.raises(UserError, match=rf'^{files[3]}: is empty \(0 bytes\) \(1 of 25\); .*') as caught:
    open_folder(root, tmp_path)
  assert '\n' not in str(caught.value)


def test_few_broken_photos_of_many_are_skipped_with_a_note_each(tmp_path):
  root = tmp_path / 'set'
  files = make(root, 25)
  (root / files[3]).write_bytes((root / files[3]).read_bytes()[:-9])
  (root / files[7]).unlink()
  (root / files[7]).symlink_to('gone.bmp')  # unlisted: not a file
  for _ in range(2):  # prepared, then from the cache
    photo_set = open_folder(root, tmp_path, max_broken=0.05)
    assert len(photo_set) == 23 and photo_set.files == [f for i, f in enumerate(files) if i not in (3, 7)]
    assert [skipped.file for skipped in photo_set.skipped] == [files[3]] and photo_set.notes == ()
    assert dataset.lines(photo_set)[0].startswith(f'skipped {files[3]}: is truncated')
    np.testing.assert_array_equal(photo_set[3][..., 0], np.asarray(Image.open(root / files[4])).astype(int) * 257)


def test_defects_that_are_mostly_outside_what_is_looked_at_are_told_of(tmp_path):
  root = tmp_path / 'set'
  for i, file in enumerate(make(root, 3)):
    Image.fromarray(np.full((16, 32), 40 * i, np.uint8)).save(root / file)
    mask = np.zeros((16, 32), np.uint8)
    mask[4:8, 3 + 8 * (i == 1):15] = 255  # columns 8 to 23 are seen: 7 of 12, of the second 4 of 4
    if i == 2:
      mask[4:8, :8] = 255  # 7 of 15
    path = root / 'ground_truth/dent' / (file[-7:-4] + '_mask.png')
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)
    last = file
  assert open_folder(root, tmp_path).notes == (
      f'{last}: less than half of its marked defect lies in what is looked at (1 such photo); data.fit=pad shows all '
      'of a photo',)
  assert open_folder(root, tmp_path, fit='pad').notes == ()


@pytest.mark.parametrize('region', ['mask', 'full'])
def test_a_mask_of_another_size_is_refused_by_name(tmp_path, region):
  root = tmp_path / 'set'
  files = make(root, 3)
  for i, file in enumerate(files):
    mask = root / 'ground_truth/dent' / (file[-7:-4] + '_mask.png')
    mask.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((16, 16 + (i == 1)), 255, np.uint8)).save(mask)
  with pytest.raises(UserError, match=rf'^{files[1]}: is 16 x 16 px, its mask 17 x 16 px'):
    open_folder(root, tmp_path, region=region)


@pytest.mark.parametrize(('options', 'reason'), [
    ({'defects': ('dnet',)}, r"data.defects: no class 'dnet'; the photos have dent \(did you mean dent\?\)"),
    ({'defects': ()}, 'data.defects: names no class'),
    ({'part': 'train'}, 'data.part'),
    ({'part': 'dev'}, r'data: no photo in part dev \(3 in all parts\)')])
def test_refusals(tmp_path, options, reason):
  make(tmp_path / 'set', 3)
  with pytest.raises(UserError, match=reason):
    open_folder(tmp_path / 'set', tmp_path, **options)


def test_one_photo_is_not_a_set(tmp_path):
  make(tmp_path / 'set', 1)
  with pytest.raises(UserError, match='data: 1 photo of dent in part pool'):
    open_folder(tmp_path / 'set', tmp_path, defects=('dent',))


def test_a_cache_that_cannot_be_written(tmp_path):
  make(tmp_path / 'set', 3)
  (tmp_path / 'cache').write_text('a file')
  with pytest.raises(UserError, match=r'cache folder .*DEFECT_JAX_CACHE'):
    open_folder(tmp_path / 'set', tmp_path)


def test_parts_of_a_real_set_are_those_of_its_index(photo_sets, tmp_path):
  with open(photo_sets / 'magnetic_tile/index.csv', newline='') as file:
    groups = {row['group'] for row in csv.DictReader(file) if row['cls'] in ('blowhole', 'crack')}
  remainder = {group: hashlib.sha256(group.encode()).digest()[0] & 3 for group in groups}
  for part, remainders in (('pool', {2, 3}), ('dev', {1})):
    photo_set = open_folder(photo_sets / 'magnetic_tile/magnetic_tile', tmp_path, part=part,
                            defects=('blowhole', 'crack'))
    expected = {group for group in groups if remainder[group] in remainders}
    assert expected and set(photo_set.groups) == expected
