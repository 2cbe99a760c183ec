"""Workdirs: refused starts change nothing, writes are whole, the lock excludes, requests are read safely."""

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

from defect_jax.config import UserError
from defect_jax.runs import atomic
from defect_jax.runs.atomic import DiskFull, plain, write_atomic
from defect_jax.runs.folder import Workdir

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


def fail_writes(monkeypatch, name, code=errno.ENOSPC):
  def fail(*_):
    raise OSError(code, os.strerror(code))
  monkeypatch.setattr(atomic.os, name, fail)


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
  fail_writes(monkeypatch, 'replace', errno.EROFS)
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


@pytest.mark.parametrize('step', ['replace', 'fsync'])
def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, step):
  path = tmp_path / 'state.json'
  write_atomic(path, 'old')
  fail_writes(monkeypatch, step)
  with pytest.raises(DiskFull, match=r'^disk full while writing .*state\.json; free space'):
    write_atomic(path, b'new')
  assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {'state.json': 'old'}


def test_a_really_full_disk():
  # /dev/full refuses every byte; a folder of it would be needed for write_atomic, so the descriptor is used here.
  if not os.path.exists('/dev/full'):
    pytest.skip('no /dev/full here')
  with pytest.raises(DiskFull, match='disk full'), atomic.disk_full_named('x'), open('/dev/full', 'wb', 0) as file:
    file.write(b'x')


def test_metrics_on_a_full_disk_keep_whole_lines(tmp_path, monkeypatch):
  workdir = finished_run(tmp_path / 'a')
  before = workdir.metrics_jsonl.read_bytes()

  class HalfFull:
    """A file that takes 5 bytes and no more."""

    def __init__(self, path, *arguments, **keywords):
      self.file = real(path, *arguments, **keywords)

    def __enter__(self):
      return self

    def __exit__(self, *_):
      self.file.close()

    def __getattr__(self, name):
      return getattr(self.file, name)

    def write(self, data):
      return self.file.write(data[:5])

  real = open
  monkeypatch.setattr('builtins.open', HalfFull)
  with pytest.raises(DiskFull, match=r'metrics\.jsonl'):
    workdir.append_metrics({'step': 15})
  monkeypatch.undo()
  assert workdir.metrics_jsonl.read_bytes() == before


def test_metrics_are_cut_back_to_a_step(tmp_path):
  workdir = finished_run(tmp_path / 'a')
  whole = workdir.metrics_jsonl.read_bytes()
  workdir.append_metrics({'step': 15, 'request': {'id': 1}})
  with open(workdir.metrics_jsonl, 'ab') as file:
    file.write(b'{"step": 20, "train/kl')
  assert [row['step'] for row in workdir.read_metrics()] == [5, 10, 15]
  workdir.cut_back(10)
  assert workdir.metrics_jsonl.read_bytes() == whole
  stamp = workdir.metrics_jsonl.stat().st_mtime_ns
  workdir.cut_back(10)
  assert workdir.metrics_jsonl.stat().st_mtime_ns == stamp
  workdir.cut_back(0)
  assert workdir.metrics_jsonl.read_bytes() == b''


def test_metrics_hold_only_json(tmp_path):
  np = pytest.importorskip('numpy')
  workdir = opened(tmp_path / 'a')
  workdir.append_metrics({'step': np.int64(1), 'a': np.float32(0.5), 'b': float('nan'), 'c': np.array([1, 2])})
  workdir.close('finished')
  assert workdir.metrics_jsonl.read_text() == '{"step": 1, "a": 0.5, "b": null, "c": [1, 2]}\n'
  assert plain({'x': (np.float32(np.inf), 1)}) == {'x': [None, 1]}


def test_requests_apply_once(tmp_path):
  workdir = Workdir(tmp_path)
  assert workdir.read_request() is None
  workdir.requests_json.write_text('{"id": 2, "targets": {"kld": 21}}')
  assert workdir.read_request(1) == {'id': 2, 'pause': False, 'stop': False, 'targets': {'kld': 21}}
  assert workdir.read_request(2) is None
  workdir.requests_json.write_text('{"id": 3, "pause": true, "stop": true, "targets": {}}')
  assert workdir.read_request(2) == {'id': 3, 'pause': True, 'stop': True, 'targets': {}}


@pytest.mark.parametrize('text', [
  '{"id": 2147483648}', '{"id": -1}', '{"id": 3, "targets": {"kld": 1e31}}',
  '{"id": 3, "targets": {"mse": 1' + '0' * 400 + '}}',
  '', '{"id": 3', '[]', '{"pause": true}', '{"id": "3"}', '{"id": true}', '{"id": 3, "stop": 1}', '\xff',
  '{"id": 3, "targets": {"kld": NaN}}', '{"id": 3, "targets": {"kld": 0}}', '{"id": 3, "targets": {"mse": "1"}}',
  '{"id": 3, "targets": {"ssim": 1}}', '{"id": 3, "targets": null}', '{"id": 3, "stopp": true}', '[' * 100000,
])
def test_malformed_requests_are_ignored_with_one_warning(tmp_path, monkeypatch, text):
  warnings = []
  monkeypatch.setattr('defect_jax.runs.requests.logging.warning', lambda *a: warnings.append(a[0] % a[1:]))
  workdir = Workdir(tmp_path)
  workdir.requests_json.write_text(text, encoding='latin-1')
  assert workdir.read_request() is None
  assert workdir.read_request() is None
  assert len(warnings) == 1
  assert 'requests.json is ignored' in warnings[0]
  workdir.requests_json.write_text('{"id": 3}')
  assert workdir.read_request()['id'] == 3


def test_a_folder_under_the_name_of_requests_is_ignored(tmp_path):
  workdir = Workdir(tmp_path)
  workdir.requests_json.mkdir()
  assert workdir.read_request() is None


def test_names():
  workdir = Workdir('runs/a')
  assert workdir.checkpoint(300).as_posix() == 'runs/a/checkpoints/300'
  assert workdir.sample(300, 'recon').as_posix() == 'runs/a/samples/300_recon.png'


def test_seconds_of_all_sessions(tmp_path):
  assert Workdir(tmp_path / 'none').seconds_spent() == 0
  workdir = opened(tmp_path / 'run')
  for row in ({'step': 10, 'seconds': 1.5}, {'step': 20, 'seconds': 2.75}, {'step': 20, 'request': {'id': 1}}):
    workdir.append_metrics(row)
  assert workdir.seconds_spent() == 2.75
