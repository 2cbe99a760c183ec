"""Workdirs: refused starts change nothing, the lock excludes, and a run says how it ended."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from ml_collections import ConfigDict

from defect_jax.config import load
from defect_jax.errors import UserError
from defect_jax.runs import atomic
from defect_jax.runs.artefacts import Artefact
from defect_jax.runs.atomic import DiskFull
from defect_jax.runs.folder import Diverged, Stopped, Workdir

HOLDER = """
import sys, time
from ml_collections import ConfigDict
from defect_jax.runs.folder import Workdir
workdir = Workdir(sys.argv[1])
workdir.check(ConfigDict({'seed': 0, 'steps': {'total': 10}}))
workdir.open()
print('open', flush=True)
time.sleep(60)
"""


def config(**values):
  made = ConfigDict({'seed': 0, 'steps': {'total': 10}})
  made.update_from_flattened_dict(values)
  return made


def opened(root, **values):
  workdir = Workdir(root)
  workdir.check(config(**values))
  workdir.open()
  return workdir


def finished_run(root):
  workdir = opened(root)
  for step in (5, 10):
    workdir.append_metrics({'step': step, 'train/kld': 1.5})
  workdir.write_summary({'steps': 10})
  workdir.close('finished')
  return workdir


def fingerprint(folder):
  return {p.relative_to(folder).as_posix(): (hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_mtime_ns)
          for p in folder.rglob('*') if p.is_file()}


def test_a_new_run_and_its_continuation(tmp_path):
  root = tmp_path / 'runs' / 'a'
  workdir = Workdir(root)
  workdir.check(config())
  assert not root.parent.exists()
  workdir.open()
  assert json.loads(workdir.config_json.read_text()) == {'seed': 0, 'steps': {'total': 10}}
  status = json.loads(workdir.status_json.read_text())
  assert (status['state'], status['pid'], status['step']) == ('starting', os.getpid(), 0)
  workdir.status.update(state='running', step=3, steps_total=10)
  assert json.loads(workdir.status_json.read_text())['step'] == 3
  workdir.close('stopped', 'saved')
  assert json.loads(workdir.status_json.read_text())['state'] == 'stopped'
  again = opened(root, **{'steps.total': 20})
  assert json.loads(again.config_json.read_text())['steps'] == {'total': 20}
  again.close('finished')


def test_status_is_written_while_the_run_is_busy(tmp_path):
  workdir = opened(tmp_path / 'a')
  workdir.status.update(state='running', step=7)
  first = json.loads(workdir.status_json.read_text())
  time.sleep(1.4)
  second = json.loads(workdir.status_json.read_text())
  with pytest.raises(ValueError):
    workdir.status.update(state='done')
  workdir.close('finished')
  assert 0.5 < second['updated'] - first['updated'] < 2
  assert second['step'] == 7
  assert time.time() - second['updated'] < 2


def test_refused_starts_leave_everything_as_it_was(tmp_path):
  other = finished_run(tmp_path / 'run').root
  foreign = tmp_path / 'photos'
  foreign.mkdir()
  (foreign / 'photo.png').write_bytes(b'x')
  damaged = tmp_path / 'damaged'
  damaged.mkdir()
  (damaged / 'config.json').write_text('{"seed": ')
  before = fingerprint(tmp_path)
  for root, part in ((other, r'run: the run has another config: seed differ'), (foreign, 'holds photo.png but no'),
                     (foreign / 'photo.png', 'not a folder'), (damaged, 'config.json: not readable'),
                     (foreign / 'photo.png' / 'run', r'photo\.png is not a folder')):
    with pytest.raises(UserError, match=part):
      Workdir(root).check(config(seed=1))
  assert fingerprint(tmp_path) == before


def test_a_workdir_that_cannot_be_written(tmp_path, monkeypatch):
  monkeypatch.setattr(os, 'access', lambda path, mode: False)
  with pytest.raises(UserError, match='cannot be written'):
    Workdir(tmp_path / 'a').check(config())
  monkeypatch.undo()
  workdir = Workdir(tmp_path / 'a')
  workdir.check(config())

  def fail(*_):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))

  monkeypatch.setattr(atomic.os, 'replace', fail)
  with pytest.raises(UserError, match='cannot be written'):
    workdir.open()
  assert list(tmp_path.iterdir()) == []


def test_finished_runs_are_told_from_runs_with_more_to_do(tmp_path):
  root = finished_run(tmp_path / 'a').root
  for values, summary in (({}, {'steps': 10}), ({'steps.log': 3}, {'steps': 10}), ({'steps.total': 20}, None)):
    workdir = Workdir(root)
    workdir.check(config(**values))
    assert workdir.finished() == summary
  more = opened(root, **{'steps.total': 20})
  more.close('stopped')
  assert not more.summary_json.exists()
  more.check(config(**{'steps.total': 20}))
  assert more.finished() is None


def test_the_lock_excludes_a_second_run_until_the_first_is_dead(tmp_path, clean_env):
  root = tmp_path / 'a'
  with subprocess.Popen([sys.executable, '-c', HOLDER, str(root)], stdout=subprocess.PIPE, text=True,
                        env=clean_env) as process:
    assert process.stdout.readline() == 'open\n'
    config_before = (root / 'config.json').read_bytes()
    with pytest.raises(UserError, match=f'another run is at work here .process {process.pid} on '):
      Workdir(root).check(config(**{'steps.total': 20}))
    process.send_signal(signal.SIGKILL)
  assert (root / 'config.json').read_bytes() == config_before
  assert json.loads((root / 'status.json').read_text())['pid'] == process.pid
  opened(root, **{'steps.total': 20}).close('finished')


def test_a_run_that_came_between_check_and_open_is_left_alone(tmp_path, clean_env):
  late = Workdir(tmp_path / 'a')
  late.check(config())
  with subprocess.Popen([sys.executable, '-c', HOLDER, str(late.root)], stdout=subprocess.PIPE, text=True,
                        env=clean_env) as process:
    assert process.stdout.readline() == 'open\n'
    with pytest.raises(UserError, match='another run'):
      late.open()
    assert late.config_json.exists()
    process.kill()


def test_a_start_killed_before_its_config_was_written_can_be_repeated(tmp_path):
  root = tmp_path / 'a'
  root.mkdir()
  (root / 'lock').touch()
  (root / '.config.json.123.tmp').write_text('{"se')
  opened(root).close('stopped')
  assert sorted(p.name for p in root.iterdir()) == ['checkpoints', 'config.json', 'lock', 'samples', 'status.json']


def test_names():
  workdir = Workdir('runs/a')
  assert workdir.checkpoint(300).as_posix() == 'runs/a/checkpoints/300'
  assert workdir.sample(300, 'recon').as_posix() == 'runs/a/samples/300_recon.png'


def test_where_an_artefact_is():
  assert Workdir('runs/a').path(Artefact('detector.json')).as_posix() == 'runs/a/detector.json'


@pytest.mark.parametrize(('error', 'state', 'message'), [
  (Stopped('saved; go\non'), 'stopped', 'saved; go on'), (UserError('data: none'), 'failed', 'error: data: none'),
  (DiskFull(28, 'disk full'), 'failed', 'error: disk full'), (Diverged('D: nan'), 'failed', 'error: D: nan'),
  (KeyError('x'), 'failed', "KeyError: 'x'"), (KeyboardInterrupt(), 'failed', 'KeyboardInterrupt: '),
])
def test_a_run_says_how_it_ended(tmp_path, error, state, message):
  workdir = opened(tmp_path / 'a')
  with pytest.raises(type(error)), workdir.running():
    raise error
  status = json.loads(workdir.status_json.read_text())
  assert (status['state'], status['message']) == (state, message)
  opened(tmp_path / 'a').close('finished')  # the lock was given back


def test_a_run_that_ends_by_itself_is_finished(tmp_path):
  workdir = opened(tmp_path / 'a')
  with workdir.running():
    pass
  assert json.loads(workdir.status_json.read_text())['state'] == 'finished'


def test_a_saved_config_of_an_earlier_version_is_read_with_the_keys_of_this_one(tmp_path):
  whole = load('configs/generate.py')
  saved = whole.to_dict()
  del saved['plugins'], saved['sampler']['candidates']
  (tmp_path / 'config.json').write_text(json.dumps(saved))
  config = Workdir(tmp_path).read_config()
  assert config.plugins == () and config.sampler.candidates == 1 and config.sampler.neighbours == 8


def test_a_key_of_a_later_version_may_come_at_its_default_only(tmp_path):
  config = load('configs/generate.py')
  saved = config.to_dict()
  del saved['plugins']
  (tmp_path / 'config.json').write_text(json.dumps(saved))
  Workdir(tmp_path).check(config)
  config.plugins = ('own.py',)
  with pytest.raises(UserError, match='plugins differ'):
    Workdir(tmp_path).check(config)
