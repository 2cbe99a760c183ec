"""A finished set is the same, byte for byte, whatever interrupted it and however many processes made it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent import futures
from pathlib import Path

import numpy as np
import pytest
from made_images import CHUNK, COUNT, HASH, failing, image, make, stamps, tree, unused
from PIL import Image

from defect_jax.augmentation.production import ShareProgress, produce
from defect_jax.config import UserError
from defect_jax.imagesets import manifest

ROOT = Path(__file__).resolve().parents[2]
KILLED = """
import sys, time
sys.path.insert(0, sys.argv[2])
from defect_jax.augmentation.production import produce
from made_images import CHUNK, COUNT, HASH, make
def slow(indices):
  time.sleep(0.1)
  return make(indices)
produce(sys.argv[1], COUNT, CHUNK, slow, HASH, lambda done, total: print(done, flush=True))
"""


def test_the_set_holds_the_images_and_where_they_come_from(whole, tmp_path, check_outputs):
  progress = []
  produce(tmp_path, COUNT, CHUNK, make, HASH, lambda *values: progress.append(values))
  assert progress == [(4, 23), (8, 23), (12, 23), (16, 23), (20, 23), (23, 23)]
  assert tree(tmp_path) == whole
  assert sorted(whole) == [f'images/{i:06d}.png' for i in range(COUNT)] + ['manifest.jsonl']
  rows = manifest.read_manifest(tmp_path)
  assert [(row.index, row.file, row.label, row.strength, row.crop, row.config_hash) for row in rows] == [
    (i, f'images/{i:06d}.png', 'crack', 0.5, (i, 0, 8, 9), HASH) for i in range(COUNT)]
  for i in range(COUNT):
    with Image.open(tmp_path / f'images/{i:06d}.png') as png:
      np.testing.assert_array_equal(np.asarray(png), np.rint(image(i)[..., 0] * 255))
  check_outputs(tmp_path)


def test_a_finished_set_is_left_alone(tmp_path):
  produce(tmp_path, COUNT, CHUNK, make, HASH)
  before = stamps(tmp_path)
  assert produce(tmp_path, COUNT, CHUNK, unused, HASH) == ShareProgress(0, COUNT, COUNT, True)
  assert stamps(tmp_path) == before


@pytest.mark.parametrize('seed', range(5))
def test_a_production_that_breaks_down_goes_on(tmp_path, whole, seed):
  rng, given = np.random.default_rng(seed), 0
  while (chunks := int(rng.integers(3))) + given < 6:
    given += chunks
    with pytest.raises(RuntimeError, match='broke down'):
      produce(tmp_path, COUNT, CHUNK, failing(chunks), HASH)
    lines = [json.loads(line) for part in tmp_path.glob('manifest.*') for line in part.read_text().splitlines()]
    assert sorted(row['index'] for row in lines) == list(range(4 * given))  # the chunk being written was recorded
  again = produce(tmp_path, COUNT, CHUNK, failing(6 - given), HASH)
  assert again == ShareProgress(COUNT - 4 * given, COUNT, COUNT, True)
  assert tree(tmp_path) == whole


def test_a_killed_production_goes_on(tmp_path, whole, clean_env):
  with subprocess.Popen([sys.executable, '-c', KILLED, tmp_path, Path(__file__).parent], env=clean_env, cwd=ROOT,
                        stdout=subprocess.PIPE, text=True) as process:
    assert process.stdout.readline() == '4\n'
    process.send_signal(signal.SIGKILL)
  assert not (tmp_path / 'manifest.jsonl').exists()
  progress = produce(tmp_path, COUNT, CHUNK, make, HASH)
  assert 0 < progress.made < COUNT
  assert tree(tmp_path) == whole


@pytest.mark.parametrize('keep', ['torn line', 'torn image', 'no line', 'no end of line', 'zeros'])
def test_what_was_half_written_is_made_again(tmp_path, whole, keep):
  with pytest.raises(RuntimeError):
    produce(tmp_path, COUNT, CHUNK, failing(3), HASH)
  part, = tmp_path.glob('manifest.*.jsonl')
  lines, again = part.read_bytes().splitlines(keepends=True), 1
  if keep == 'torn line':  # of the third chunk two lines and a half
    part.write_bytes(b''.join(lines[:10]) + lines[10][:30])
  elif keep == 'torn image':  # a power cut: the line reached the disk, the image did not
    (tmp_path / 'images/000002.png').write_bytes(b'')
    (tmp_path / 'images/000006.png').unlink()
    again = 2
  elif keep == 'no line':  # killed between a chunk's images and its lines
    part.write_bytes(b''.join(lines[:8]))
    (tmp_path / 'images/.000011.png.1.tmp').write_bytes(b'\x89PNG')
  elif keep == 'no end of line':
    part.write_bytes(b''.join(lines)[:-1])
    again = 0
  else:
    part.write_bytes(b''.join(lines[:5]) + bytes(200) + b'\n' + b''.join(lines[6:]))
  made = []
  produce(tmp_path, COUNT, CHUNK, lambda indices: made.append(indices[0]) or make(indices), HASH)
  assert len(made) == 3 + again
  assert tree(tmp_path) == whole


def test_an_image_lost_from_a_finished_set_is_made_again(tmp_path, whole):
  produce(tmp_path, COUNT, CHUNK, make, HASH)
  (tmp_path / 'images/000022.png').unlink()
  assert produce(tmp_path, COUNT, CHUNK, make, HASH) == ShareProgress(3, COUNT, COUNT, True)
  assert tree(tmp_path) == whole


@pytest.mark.parametrize('order', [(0, 1, 2), (2, 0, 1)])
def test_three_processes_make_the_same_set(tmp_path, whole, order):
  results = [produce(tmp_path, COUNT, CHUNK, make, HASH, process=process, processes=3) for process in order]
  assert {p: r.total for p, r in zip(order, results, strict=True)} == {0: 8, 1: 8, 2: 7}
  assert [result.whole for result in results] == [False, False, True]
  assert tree(tmp_path) == whole


def test_processes_at_the_same_time(tmp_path, whole):
  for attempt in range(5):
    root, start = tmp_path / str(attempt), threading.Barrier(8)

    def one(process, root=root, start=start):
      start.wait()
      return produce(root, COUNT, CHUNK, make, HASH, process=process, processes=8)  # two have nothing to do

    with futures.ThreadPoolExecutor(8) as pool:
      results = list(pool.map(one, range(8)))
    assert sum(result.made for result in results) == COUNT
    assert any(result.whole for result in results)
    assert tree(root) == whole


def test_one_process_takes_over_from_three(tmp_path, whole):
  produce(tmp_path, COUNT, CHUNK, make, HASH, process=2, processes=3)
  with pytest.raises(RuntimeError):
    produce(tmp_path, COUNT, CHUNK, failing(1), HASH, process=1, processes=3)
  assert produce(tmp_path, COUNT, CHUNK, make, HASH).made == COUNT - 7 - 4
  assert tree(tmp_path) == whole


@pytest.mark.parametrize('call', ['replace', 'unlink'])
def test_a_merge_that_was_killed_is_done_again(tmp_path, whole, monkeypatch, call):
  produce(tmp_path, COUNT, CHUNK, make, HASH, process=1, processes=2)
  owner = os if call == 'replace' else Path
  real = getattr(owner, call)

  def fail(*arguments, **keywords):
    if str(arguments[-1]).endswith('manifest.jsonl' if call == 'replace' else '.jsonl'):
      raise KeyboardInterrupt
    return real(*arguments, **keywords)

  with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
    patch.setattr(owner, call, fail)
    produce(tmp_path, COUNT, CHUNK, make, HASH)
  assert list(tmp_path.glob('manifest.*.jsonl'))
  assert produce(tmp_path, COUNT, CHUNK, unused, HASH) == ShareProgress(0, COUNT, COUNT, True)
  assert tree(tmp_path) == whole


def test_the_longer_set_goes_on_from_the_shorter(tmp_path, whole):
  assert produce(tmp_path, 10, CHUNK, make, HASH) == ShareProgress(10, 10, 10, True)
  assert produce(tmp_path, COUNT, CHUNK, make, HASH) == ShareProgress(15, COUNT, COUNT, True)  # 8 and 9 too
  assert tree(tmp_path) == whole
  before = stamps(tmp_path)
  with pytest.raises(UserError, match='holds image 22, but only 10 are to be made'):
    produce(tmp_path, 10, CHUNK, make, HASH)
  assert stamps(tmp_path) == before


def test_stop_ends_after_the_chunk_at_work(tmp_path, whole):
  asked = []

  def stop():
    asked.append(None)
    return len(asked) > 2

  assert produce(tmp_path, COUNT, CHUNK, make, HASH, stop=stop) == ShareProgress(8, 8, COUNT, False)
  assert not (tmp_path / 'manifest.jsonl').exists()
  assert produce(tmp_path, COUNT, CHUNK, make, HASH) == ShareProgress(15, COUNT, COUNT, True)
  assert tree(tmp_path) == whole


def test_images_are_written_while_the_next_are_made(tmp_path):
  def waiting(indices):
    for _ in range(500):
      if indices[0] < 4 or (tmp_path / f'images/{indices[0] - 1:06d}.png').exists():
        return make(indices)
      time.sleep(0.01)
    raise AssertionError('the chunk before is not written meanwhile')

  assert produce(tmp_path, COUNT, CHUNK, waiting, HASH).whole


def test_padding_is_dropped(tmp_path):
  produce(tmp_path / 'short', 5, CHUNK, make, HASH)
  produce(tmp_path / 'long', 8, CHUNK, make, HASH)
  short, long = tree(tmp_path / 'short'), tree(tmp_path / 'long')
  assert {name: long[name] for name in short if name != 'manifest.jsonl'} == {
    name: data for name, data in short.items() if name != 'manifest.jsonl'}
  assert long['manifest.jsonl'].startswith(short['manifest.jsonl'])
