"""Checkpoints: whole or not there, damage noticed, the one before it used."""

import errno
import json
import os
import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from defect_jax.config import UserError
from defect_jax.runs.atomic import DiskFull
from defect_jax.runs.folder import Workdir
from defect_jax.training import checkpoint


def tree(step):
  """As the loop saves: nested, of several types, of sizes that depend on the step."""
  rng = np.random.default_rng(step)
  return {'state': {'step': np.array(step, np.int32), 'params': {'a': rng.normal(size=(3, 2)).astype(np.float32)},
                    'opt_state': {'0': {'mu': rng.normal(size=7).astype(np.float32)}, '1': {}},
                    'key': rng.integers(0, 2**32, 2, np.uint32)},
          'history': {'train/kld': rng.normal(size=step).astype(np.float32)}, 'request': np.array(5, np.int32)}


def template(step):
  return jax.tree.map(np.zeros_like, tree(step))


@pytest.fixture
def workdir(tmp_path):
  return Workdir(tmp_path / 'run')


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
  """A workdir with checkpoints 2 and 4; tests work on copies."""
  made = Workdir(tmp_path_factory.mktemp('saved') / 'run')
  for step in (2, 4):
    checkpoint.save(made, step, tree(step))
  return made


def copy(saved, tmp_path, name='copy'):
  shutil.copytree(saved.root, tmp_path / name)
  return Workdir(tmp_path / name)


def assert_restored(found, step):
  assert found[0] == step
  assert jax.tree.structure(found[1]) == jax.tree.structure(tree(step))
  for got, expected in zip(jax.tree.leaves(found[1]), jax.tree.leaves(tree(step)), strict=True):
    assert np.asarray(got).dtype == expected.dtype and np.shape(got) == np.shape(expected)
    np.testing.assert_array_equal(got, expected)


def test_restores_bit_for_bit_the_newest(saved, tmp_path):
  assert checkpoint.steps(saved) == [2, 4]
  assert_restored(checkpoint.restore(copy(saved, tmp_path), template), 4)


def test_nothing_to_restore(workdir):
  assert checkpoint.restore(workdir, template) is None
  assert checkpoint.steps(workdir) == []


def test_floats_keep_every_bit(workdir):
  odd = np.array([-0., 1e-45, np.finfo(np.float32).max, np.nan, np.inf], np.float32)
  checkpoint.save(workdir, 1, {'odd': odd})
  _, found = checkpoint.restore(workdir, lambda step: {'odd': np.zeros(5, np.float32)})
  assert found['odd'].tobytes() == odd.tobytes()


def flip(path):
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(data)


def test_a_flipped_bit_in_any_file_is_noticed(saved, tmp_path, caplog):
  files = [path.relative_to(saved.checkpoint(4)) for path in saved.checkpoint(4).rglob('*') if path.is_file()]
  assert len(files) > 5
  for number, file in enumerate(files):
    damaged = copy(saved, tmp_path, str(number))
    if not (damaged.checkpoint(4) / file).stat().st_size:
      continue
    flip(damaged.checkpoint(4) / file)
    caplog.clear()
    assert checkpoint.restore(damaged, template)[0] == 2, file
    assert 'checkpoint 4 is damaged' in caplog.text and 'the one before it is used' in caplog.text, file
    assert (damaged.checkpoints / 'damaged-4').is_dir() and checkpoint.steps(damaged) == [2]


@pytest.mark.parametrize(('harm', 'said'), [
  (lambda folder: os.truncate(max(folder.rglob('*'), key=lambda p: p.stat().st_size * p.is_file()), 10), 'has changed'),
  (lambda folder: (folder / 'digest.json').unlink(), 'digest.json'),
  (lambda folder: (folder / 'digest.json').write_text('{'), 'digest.json'),
  (lambda folder: shutil.rmtree(folder / 'state'), 'is missing'),
  (lambda folder: (folder / 'digest.json').write_text('{}'), 'is not listed'),
  (lambda folder: (folder / 'digest.json').write_text('[]'), 'not an object'),
])
def test_other_damage_is_noticed(saved, tmp_path, caplog, harm, said):
  damaged = copy(saved, tmp_path)
  harm(damaged.checkpoint(4))
  assert_restored(checkpoint.restore(damaged, template), 2)
  assert said in caplog.text and 'damaged' in caplog.text


def test_all_damaged_means_none(saved, tmp_path):
  damaged = copy(saved, tmp_path)
  for step in (2, 4):
    (damaged.checkpoint(step) / 'digest.json').unlink()
  assert checkpoint.restore(damaged, template) is None
  checkpoint.save(damaged, 4, tree(4))  # the run comes by again, and is damaged again
  (damaged.checkpoint(4) / 'digest.json').unlink()
  assert checkpoint.restore(damaged, template) is None


def test_half_written_ones_are_no_checkpoints(saved, tmp_path):
  killed = copy(saved, tmp_path)
  shutil.copytree(killed.checkpoint(4), killed.checkpoints / '.making-6')
  assert checkpoint.steps(killed) == [2, 4]
  assert_restored(checkpoint.restore(killed, template), 4)
  checkpoint.save(killed, 6, tree(6))  # over the leftovers
  assert_restored(checkpoint.restore(killed, template), 6)
  assert not (killed.checkpoints / '.making-6').exists()


def test_the_newest_three_are_kept_and_one_of_the_same_step_replaced(workdir):
  for step in (9, 10, 100, 101):
    checkpoint.save(workdir, step, {'x': np.float32([step])})
  assert checkpoint.steps(workdir) == [10, 100, 101]
  assert sorted(p.name for p in workdir.checkpoints.iterdir()) == ['10', '100', '101']
  checkpoint.save(workdir, 101, {'x': np.float32([7])})
  assert checkpoint.restore(workdir, lambda step: {'x': np.float32([0])})[1]['x'] == 7


def test_a_kill_while_old_ones_are_removed_leaves_no_trace(saved, tmp_path, monkeypatch):
  workdir = copy(saved, tmp_path)
  checkpoint.save(workdir, 6, tree(6))
  with monkeypatch.context() as patch:
    def killed(path, ignore_errors=False):
      if path.name in ('2', '.old-2'):
        (path / 'digest.json').unlink()
        raise KeyboardInterrupt
    patch.setattr(shutil, 'rmtree', killed)
    with pytest.raises(KeyboardInterrupt):
      checkpoint.save(workdir, 8, tree(8))
  assert checkpoint.steps(workdir) == [4, 6, 8]
  checkpoint.tidy(workdir)
  assert sorted(p.name for p in workdir.checkpoints.iterdir()) == ['4', '6', '8']
  shutil.copytree(workdir.checkpoint(8), workdir.checkpoint(10))  # killed before it came to removing
  shutil.copytree(workdir.checkpoint(8), workdir.checkpoints / '.making-12')
  checkpoint.tidy(workdir)
  assert sorted(p.name for p in workdir.checkpoints.iterdir()) == ['10', '6', '8']


def test_digests_name_every_file(saved):
  import hashlib
  folder = saved.checkpoint(4)
  listed = json.loads((folder / 'digest.json').read_text())
  files = {p.relative_to(folder).as_posix() for p in folder.rglob('*') if p.is_file()} - {'digest.json'}
  assert listed.keys() == files
  for name, digest in listed.items():
    assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


# What tensorstore really raises on a full file system.
TENSORSTORE = ('RESOURCE_EXHAUSTED: Error writing "a/0" in OCDBT database: Failed to write 39093 bytes to file 14: No '
               "space left on device [os_error_code='28']")


@pytest.mark.parametrize('error', [OSError(errno.ENOSPC, 'No space left on device'), ValueError(TENSORSTORE)])
def test_a_full_disk_leaves_the_last_good_checkpoint(saved, tmp_path, monkeypatch, error):
  workdir = copy(saved, tmp_path)

  def save(self, folder, tree):
    folder.mkdir()
    (folder / 'part').write_text('half')
    raise error

  monkeypatch.setattr(ocp.PyTreeCheckpointer, 'save', save)
  with pytest.raises(DiskFull, match=r'disk full while writing .*6; free space and give the same command again'):
    checkpoint.save(workdir, 6, tree(6))
  assert sorted(p.name for p in workdir.checkpoints.iterdir()) == ['2', '4']
  with pytest.raises(DiskFull):
    checkpoint.save(workdir, 4, tree(4))  # the same step: the old one stays
  monkeypatch.undo()
  assert_restored(checkpoint.restore(workdir, template), 4)


def test_other_errors_of_saving_stay_what_they_are(workdir, monkeypatch):
  def save(self, folder, tree):
    raise ValueError('not a tree')
  monkeypatch.setattr(ocp.PyTreeCheckpointer, 'save', save)
  with pytest.raises(ValueError, match='not a tree'):
    checkpoint.save(workdir, 1, {})
  assert checkpoint.steps(workdir) == []


@pytest.mark.parametrize('change', [
  lambda state: state['params'].pop('a'), lambda state: state['params'].update(b=np.zeros(2, np.float32)),
  lambda state: state['params'].update(a=np.zeros((2, 3), np.float32))])
def test_the_state_of_another_version_is_refused_and_left_alone(change, saved, tmp_path):
  def other(step):
    changed = template(step)
    change(changed['state'])
    return changed

  workdir = copy(saved, tmp_path)
  with pytest.raises(UserError, match=r'checkpoints/4: was saved by another version.*state/params/[ab]\)'):
    checkpoint.restore(workdir, other)
  assert checkpoint.steps(workdir) == [2, 4]
  assert_restored(checkpoint.restore(workdir, template), 4)
