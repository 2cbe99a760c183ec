"""Folders that hold something else are refused untouched; a full disk and a faulty `make` are told."""

import os

import numpy as np
import pytest
from made_images import CHUNK, COUNT, HASH, failing, make, stamps, tree, unused

from defect_jax.augmentation.production import produce
from defect_jax.config import UserError
from defect_jax.runs import atomic


def foreign_photo(root):
  (root / 'images').mkdir()
  (root / 'images/photo.png').write_bytes(b'x')


def foreign_number(root):
  (root / 'images').mkdir()
  (root / 'images/000001.png').write_bytes(b'x')


def beside_finished(root):
  produce(root, COUNT, CHUNK, make, HASH)
  (root / 'images/000023.png').write_bytes(b'x')


def beside_begun(root):
  with pytest.raises(RuntimeError):
    produce(root, COUNT, CHUNK, failing(2), HASH)
  (root / 'images/notes.txt').write_bytes(b'x')


def other_finished(root):
  produce(root, COUNT, CHUNK, make, 'dead')


def other_begun(root):
  with pytest.raises(RuntimeError):
    produce(root, COUNT, CHUNK, failing(0), 'dead')


def damaged(root):
  produce(root, COUNT, CHUNK, make, HASH)
  with open(root / 'manifest.jsonl', 'ab') as file:
    file.write(b'{"file": ')


def no_folder(root):
  (root / 'images').write_bytes(b'x')


@pytest.mark.parametrize(('prepare', 'part'), [
  (foreign_photo, r'images/photo\.png is not an image made here'), (foreign_number, r'images/000001\.png is not'),
  (beside_finished, r'images/000023\.png is not'), (beside_begun, r'images/notes\.txt is not'),
  (other_finished, r'holds images/000000\.png of another config'), (other_begun, r'holds manifest\.dead\.0\.jsonl of'),
  (damaged, r'manifest\.jsonl:24: not the line of a made image'), (no_folder, 'images: cannot be read'),
])
def test_folders_with_something_else_are_refused_and_left_as_they_are(tmp_path, prepare, part):
  prepare(tmp_path)
  before = stamps(tmp_path)
  with pytest.raises(UserError, match=part) as error:
    produce(tmp_path, COUNT, CHUNK, unused, HASH)
  assert '\n' not in str(error.value)
  assert stamps(tmp_path) == before


def test_other_files_of_a_workdir_are_left_alone(tmp_path, whole):
  others = {'config.json': b'{}', 'lock': b'', 'samples/1_prior.png': b'x'}
  (tmp_path / 'samples').mkdir()
  for name, data in others.items():
    (tmp_path / name).write_bytes(data)
  produce(tmp_path, COUNT, CHUNK, make, HASH)
  assert tree(tmp_path) == whole | others


def test_a_full_disk_is_named_and_made_good(tmp_path, whole, monkeypatch):
  real, written = os.replace, []

  def fail(source, target):
    written.append(target)
    if len(written) > 10:
      raise OSError(28, 'No space left on device')
    real(source, target)

  monkeypatch.setattr(atomic.os, 'replace', fail)
  with pytest.raises(atomic.DiskFull, match=r'disk full while writing .*/images/0000\d\d\.png'):
    produce(tmp_path, COUNT, CHUNK, make, HASH)
  monkeypatch.undo()
  assert produce(tmp_path, COUNT, CHUNK, make, HASH).done == COUNT
  assert tree(tmp_path) == whole


@pytest.mark.parametrize(('broken', 'part'), [
  (lambda images, lineage: (images[:3], lineage), 'make returned 3 images and 4 lineages for 4 indices'),
  (lambda images, lineage: (images, lineage[:2]), 'make returned 4 images and 2 lineages'),
  (lambda images, lineage: (images * np.nan, lineage), r'image \d: the image holds nan'),
  (lambda images, lineage: (images, [{'method': 'vae'}] * 4), 'seed|class'),
])
def test_what_make_may_not_return(tmp_path, broken, part):
  with pytest.raises(ValueError, match=part):
    produce(tmp_path, COUNT, CHUNK, lambda indices: broken(*make(indices)), HASH)
  assert not list((tmp_path / 'images').iterdir())
