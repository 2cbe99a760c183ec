"""Photos of one part are found by their likeness, those of one product are not."""

import collections
import os
import shutil

import made_photos
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from defect_jax.data import likeness, parts, photos, thumbnails
from defect_jax.errors import UserError


def texture(seed, side=160):
  """A part's surface: grey 128 with marks of some 5 px."""
  return 128 + 150 * ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), 2)


def shot(surface, rng, shift=2):
  """A photo of it: shifted, 3 % brighter or darker, in light that falls from one side, noise of 2 grey levels."""
  moved = np.roll(surface, rng.integers(-shift, shift + 1, 2), (0, 1)) * rng.uniform(0.97, 1.03)
  moved *= 1 + rng.uniform(-0.4, 0.4) * np.linspace(-1, 1, surface.shape[1])
  return np.uint8((moved + rng.normal(0, 2, surface.shape)).clip(0, 255))


def written(root, images, label):
  """Records of images written below root/label, in order."""
  files = [f'{label}/IMG_{number:04}.png' for number in range(len(images))]
  for file, image in zip(files, images, strict=True):
    made_photos.write(root / file, image)
  return [parts.Record(file, label, file, root / file) for file in files]


@pytest.fixture(scope='module')
def bursts(tmp_path_factory):
  """40 photos of ng, five of each of eight parts, and 40 good ones, each of another part."""
  root, rng = tmp_path_factory.mktemp('bursts'), np.random.default_rng(0)
  defective = [shot(texture(part), rng) for part in range(8) for _ in range(5)]
  return [*written(root, [shot(texture(100 + part), rng) for part in range(40)], 'good'),
          *written(root, defective, 'ng')]


def test_five_shots_of_each_of_eight_parts_are_eight_groups(bursts):
  grouped, notes = likeness.groups(bursts)
  assert [record.group for record in grouped[:40]] == [record.file for record in bursts[:40]]
  assert [record.group for record in grouped[40:]] == [f'ng/IMG_{5 * (n // 5):04}.png' for n in range(40)]
  assert [note.partition(';')[0] for note in notes] == [
      '40 photos of ng show 8 different parts, by their likeness: ng/IMG_0000.png to IMG_0004.png (5)']
  assert likeness.clusters(grouped)[1] == tuple(f'ng/IMG_{n:04}.png' for n in range(5, 10))


def test_photos_of_one_scene_that_differ_by_noise_alone_are_not_one_group(tmp_path):
  rng, scene = np.random.default_rng(1), texture(0)
  grouped, notes = likeness.groups(written(tmp_path, [shot(scene, rng, shift=0) for _ in range(30)], 'good'))
  assert len({record.group for record in grouped}) == 30
  assert notes == []


def test_a_chain_of_photos_that_change_slowly_is_not_one_group(tmp_path):
  # Each photo agrees with the next one; those 5 apart have nothing in common.
  marks = np.stack([texture(seed) - 128 for seed in range(24)])
  images = [np.uint8((128 + marks[n:n + 5].sum(0) / 2).clip(0, 255)) for n in range(20)]
  grouped, _ = likeness.groups(written(tmp_path, images, 'good'))
  assert max(collections.Counter(record.group for record in grouped).values()) <= 7


def test_files_that_differ_though_their_pixels_do_not_are_one_group(tmp_path):
  records = written(tmp_path, [texture(number % 6).astype(np.uint8) for number in range(30)], 'ng')
  for number, record in enumerate(records):
    record.photo.write_bytes(record.photo.read_bytes() + bytes([number]))
  grouped, _ = likeness.groups(records)
  assert [record.group for record in grouped] == [f'ng/IMG_{number % 6:04}.png' for number in range(30)]


def test_the_same_file_twice_is_one_group_however_few_photos_there_are(tmp_path):
  records = written(tmp_path, [texture(0).astype(np.uint8), texture(1).astype(np.uint8), texture(0).astype(np.uint8)],
                    'ng')
  grouped, notes = likeness.groups(records)
  assert [record.group for record in grouped] == ['ng/IMG_0000.png', 'ng/IMG_0001.png', 'ng/IMG_0000.png']
  assert '3 photos of ng show 2 different parts' in notes[0]


def test_a_photo_cannot_be_good_and_defective(tmp_path):
  good = written(tmp_path, [texture(0).astype(np.uint8), texture(1).astype(np.uint8)], 'good')
  defective = written(tmp_path, [texture(1).astype(np.uint8)], 'ng')
  with pytest.raises(UserError, match=r'good/IMG_0001.png \(good\) and ng/IMG_0000.png \(ng\) are the same .* remove'):
    likeness.groups(good + defective)


def test_what_cannot_be_read_is_a_group_of_its_own(bursts, tmp_path):
  (tmp_path / 'broken.png').write_bytes(b'no photo')
  odd = [parts.Record(name, 'ng', name, tmp_path / name) for name in ('broken.png', 'absent.png')]
  grouped, _ = likeness.groups([*bursts, *odd])
  assert [record.group for record in grouped[80:]] == ['broken.png', 'absent.png']
  assert len({record.group for record in grouped}) == 50


def test_a_part_that_is_shown_in_two_classes_is_one_group(tmp_path):
  rng = np.random.default_rng(2)
  good = written(tmp_path, [shot(texture(part), rng) for part in range(12)], 'good')
  defective = written(tmp_path, [shot(texture(part), rng) for part in [50, 3, *range(51, 61)]], 'ng')
  assert likeness.alike(good + defective) == [[good[3], defective[1]]]


def test_stripes_that_are_shifted_differ(tmp_path):
  # A pattern that repeats agrees with itself wherever it begins.
  rng, along = np.random.default_rng(3), np.arange(160)
  images = [np.uint8(128 + 20 * np.sin(along / 3 + number)[None] + rng.normal(0, 4, (160, 160)))
            for number in range(24)]
  assert likeness.alike(written(tmp_path, images, 'good')) == []


def test_two_kinds_of_products_are_not_two_parts(tmp_path):
  # Photos of a kind share its outline; the surfaces are their own.
  rng, kinds = np.random.default_rng(4), np.zeros((2, 160, 160))
  kinds[0, 40:120, 40:120] = kinds[1, 20:140, 60:100] = 60
  images = [shot(texture(number) + kinds[number % 2], rng) for number in range(40)]
  assert likeness.alike(written(tmp_path, images, 'good')) == []


def test_what_was_found_is_kept_until_a_photo_changes(tmp_path, monkeypatch):
  monkeypatch.setenv('DEFECT_JAX_CACHE', str(tmp_path / 'cache'))
  rng = np.random.default_rng(5)
  records = written(tmp_path, [shot(texture(part // 2), rng) for part in range(16)], 'ng')
  found = likeness.alike(records)
  assert found == [records[n:n + 2] for n in range(0, 16, 2)]
  with monkeypatch.context() as patch:
    patch.setattr(thumbnails, 'load', None)
    assert likeness.alike(records) == found
  made_photos.write(records[0].photo, shot(texture(99), rng))
  assert likeness.alike(records) == found[1:]
  for kept in (tmp_path / 'cache/likeness').iterdir():
    kept.write_text('damaged')
  assert likeness.alike(records) == found[1:]


def test_a_thumbnail_is_decoded_once_and_again_when_its_file_changes(tmp_path, monkeypatch):
  record = written(tmp_path, [np.full((128, 192), 51, np.uint8)], 'good')[0]
  [thumbnail] = thumbnails.load([record])
  assert thumbnail.shape == (128, 128)
  np.testing.assert_allclose(thumbnail, 0.2, atol=1e-4)
  with monkeypatch.context() as patch:
    patch.setattr(photos, 'decode', None)
    np.testing.assert_array_equal(thumbnails.load([record])[0], thumbnail)
  Image.fromarray(np.full((128, 192), 102, np.uint8)).save(record.photo)
  os.utime(record.photo, (1, 1))
  np.testing.assert_allclose(thumbnails.load([record])[0], 0.4, atol=2e-4)


def test_a_damaged_thumbnail_is_made_anew(tmp_path, monkeypatch):
  monkeypatch.setenv('DEFECT_JAX_CACHE', str(tmp_path / 'cache'))
  record = written(tmp_path, [np.full((128, 192), 51, np.uint8)], 'good')[0]
  thumbnails.load([record])
  [kept] = (tmp_path / 'cache').rglob('*.npy')
  kept.write_bytes(kept.read_bytes()[:1000])
  np.testing.assert_allclose(thumbnails.load([record])[0], 0.2, atol=1e-4)


def test_real_shots_of_eight_tiles_are_eight_groups(photo_sets, tmp_path):
  rng, tiles = np.random.default_rng(0), photo_sets / 'magnetic_tile/magnetic_tile'
  cracked = [np.asarray(Image.open(path).convert('L')).astype(float)
             for path in sorted((tiles / 'test/crack').iterdir())[:8]]
  defective = written(tmp_path, [shot(photo, rng) for photo in cracked for _ in range(5)], 'ng')
  good = []
  for path in sorted((tiles / 'train/good').iterdir())[:40]:
    shutil.copy(path, tmp_path)
    good.append(parts.Record(path.name, 'good', path.name, tmp_path / path.name))
  grouped, _ = likeness.groups(good + defective)
  assert len({record.group for record in grouped[40:]}) == 8
  assert len({record.group for record in grouped[:40]}) == 40


def test_real_positions_on_one_ball_screw_are_not_one_group(photo_sets):
  paths = sorted((photo_sets / 'bsdata/ball_screw/train/good').iterdir())[::4]
  grouped, _ = likeness.groups([parts.Record(path.name, 'good', path.name, path) for path in paths])
  sizes = collections.Counter(record.group for record in grouped)
  assert len(sizes) >= 10  # positions in this set, each photographed for days
  assert max(sizes.values()) <= len(paths) / 5
