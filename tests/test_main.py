"""The command: exit statuses and its one line for whatever is wrong, before and after a task is at work."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import types

import pytest
from absl import flags
from ml_collections import ConfigDict

from defect_jax import __version__, main
from defect_jax.config import UserError, config_hash, load
from defect_jax.rules import Integer, Text
from defect_jax.runs.atomic import DiskFull
from defect_jax.runs.folder import Stopped, Workdir
from defect_jax.schema import Key, flatten

CONFIG = """
from ml_collections import ConfigDict

def get_config(arg=None):
  return ConfigDict({'task': 'count', 'seed': 0, 'steps': {'total': 3}})
"""

TABLE = {'task': Key('count', Text()), 'seed': Key(0, Integer(0)), 'steps': {'total': Key(3, Integer(1))}}


def use(monkeypatch, task, **keys):
  monkeypatch.setattr(main.start, 'TASKS', {'count': task})
  monkeypatch.setattr(main.start, 'KEYS', {'count': types.SimpleNamespace(table=lambda: TABLE, **keys)})


@pytest.fixture
def command(tmp_path, monkeypatch):
  """Runs main in this process on a config of the task `count`, which the test gives as a function."""
  (tmp_path / 'job.py').write_text(CONFIG)
  monkeypatch.chdir(tmp_path)
  handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

  def call(task, *arguments, config='job.py'):
    use(monkeypatch, task)
    flags.FLAGS.unparse_flags()
    flags.FLAGS['workdir'].value = None
    return main.main([f'--config={config}', *arguments])

  yield call
  for number, handler in handlers.items():
    signal.signal(number, handler)


def files(root):
  return {p: p.read_bytes() for p in root.rglob('*') if p.is_file()}


def count(config, workdir):
  workdir.open()
  workdir.append_metrics({'step': config.steps.total})
  return {'steps': config.steps.total, 'loss': float('inf')}


def test_a_job_writes_its_summary_and_is_then_finished(command, tmp_path, capsys):
  assert command(count) == 0
  root = tmp_path / 'runs' / 'job'
  summary = json.loads((root / 'summary.json').read_text())
  expected = ConfigDict({'task': 'count', 'seed': 0, 'steps': {'total': 3}})
  assert summary == {'task': 'count', 'steps': 3, 'loss': None, 'config_hash': config_hash(expected),
                     'version': __version__}
  assert json.loads((root / 'status.json').read_text())['state'] == 'finished'
  before = files(root)
  assert command(lambda config, workdir: pytest.fail('ran again')) == 0
  assert 'finished already' in capsys.readouterr().out
  assert files(root) == before
  assert command(count, '--config.steps.total=5') == 0
  assert json.loads((root / 'summary.json').read_text())['steps'] == 5


def test_workdir_flag_and_overrides(command, tmp_path):
  assert command(count, '--config.steps.total=7', '--workdir=here/run') == 0
  assert json.loads((tmp_path / 'here' / 'run' / 'config.json').read_text())['steps']['total'] == 7


@pytest.mark.parametrize(('arguments', 'part'), [
  (['--config.sead=1'], 'did you mean seed?'),
  (['--config.seed=-1'], 'seed = -1: must be a whole number at least 0'),
  (['--config.steps.total=0'], 'steps.total = 0'),
  (['stray'], 'stray: stray argument'),
  (['--', 'stray'], 'stray: stray argument'),
  (['--seed=3'], '--seed: write --config.seed='),
  (['--workdri=x'], "Unknown command line flag 'workdri'. Did you mean: workdir"),
  (['--workdir'], 'workdir'),
])
def test_mistakes_end_with_status_2_one_line_and_nothing_written(command, tmp_path, capsys, arguments, part):
  assert command(count, *arguments) == 2
  err = capsys.readouterr().err
  assert err.startswith('error: ')
  assert err.count('\n') == 1
  assert part in err
  assert [p.name for p in tmp_path.iterdir()] == ['job.py']


def test_a_changed_config_is_refused_and_the_run_kept(command, tmp_path, capsys):
  command(count)
  before = files(tmp_path / 'runs' / 'job')
  assert command(count, '--config.seed=1') == 2
  assert 'seed differ' in capsys.readouterr().err
  assert files(tmp_path / 'runs' / 'job') == before


def test_steps_are_fixed_where_a_schedule_depends_on_them(command, tmp_path, monkeypatch, capsys):
  command(count)
  use(monkeypatch, count, fixed_steps=lambda config: ('steps.total',))
  workdir = Workdir(tmp_path / 'runs' / 'job')
  with pytest.raises(UserError, match=r'steps\.total differ'):
    main.run(ConfigDict({'task': 'count', 'seed': 0, 'steps': {'total': 9}}), workdir, contextlib.ExitStack())


def test_fewer_steps_than_are_done_are_refused(command, tmp_path, monkeypatch):
  command(count)
  workdir = Workdir(tmp_path / 'runs' / 'job')
  (workdir.root / 'metrics.jsonl').write_text('{"step": 8, "seconds": 1.0}\n')
  before = files(workdir.root)
  use(monkeypatch, count)
  with pytest.raises(UserError, match=r'steps\.total = 7: .* has come to step 8'):
    main.run(ConfigDict({'task': 'count', 'seed': 0, 'steps': {'total': 7}}), workdir, contextlib.ExitStack())
  assert files(workdir.root) == before


@pytest.mark.parametrize(('error', 'status', 'state', 'line'), [
  (UserError('photos: no photo\nof the class'), 2, 'failed', 'error: photos: no photo of the class'),
  (Stopped('saved at step 2; the same command goes on'), 3, 'stopped', 'saved at step 2; the same command goes on'),
  (DiskFull(28, 'disk full while writing x'), 1, 'failed', 'error: disk full while writing x'),
  (OSError(28, 'No space left on device'), 1, 'failed', 'error: disk full while writing runs/job; free space and give '
   'the same command again'),
])
def test_how_tasks_end(command, tmp_path, capsys, error, status, state, line):
  def task(config, workdir):
    workdir.open()
    raise error
  assert command(task) == status
  assert capsys.readouterr().err == line + '\n'
  said = json.loads((tmp_path / 'runs' / 'job' / 'status.json').read_text())
  assert (said['state'], said['message']) == (state, line)


def test_other_errors_keep_their_traceback_and_give_the_lock_back(command, tmp_path):
  def task(config, workdir):
    workdir.open()
    raise ZeroDivisionError('in a step')
  for _ in range(2):
    with pytest.raises(ZeroDivisionError):
      command(task)
  status = json.loads((tmp_path / 'runs' / 'job' / 'status.json').read_text())
  assert (status['state'], status['message']) == ('failed', 'ZeroDivisionError: in a step')


def test_a_signal_asks_the_loop_to_stop(command):
  def task(config, workdir):
    workdir.open()
    assert not workdir.stop_requested
    os.kill(os.getpid(), signal.SIGTERM)
    assert workdir.stop_requested
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # so the next one kills
    raise Stopped('saved')
  assert command(task) == 3


def test_a_task_that_does_not_exist(tmp_path):
  with pytest.raises(UserError, match=r"task = 'vea': no such task \(did you mean vae\?\)"):
    main.start.finished(ConfigDict({'task': 'vea'}), Workdir(tmp_path))
  with pytest.raises(UserError, match='task = None'):
    main.start.finished(ConfigDict(), Workdir(tmp_path))


def run_command(arguments, folder, env):
  return subprocess.run([sys.executable, '-m', 'defect_jax.main', *arguments], cwd=folder, text=True,
                        capture_output=True, timeout=60, env=env | {'PYTHONPATH': str(main_root())})


def main_root():
  return os.path.dirname(os.path.dirname(main.__file__))


@pytest.mark.parametrize(('arguments', 'line'), [
  ([], 'error: --config: missing; name a config file, such as --config=configs/vae_split.py'),
  (['--config=none.py'], 'error: none.py: no such config file'),
  (['--config=job.py'], "error: task = 'count': no such task (known: vae, generate, anomaly, inpaint, inpaint_train, "
                        'classifier, predict, inspect)'),
  (['--config=job.py', '--config.seed=nan'], 'error: --config.seed=nan: must be a whole number'),
  (['--config=job.py', '5'], 'error: 5: stray argument; values are given as --config.key=value'),
])
def test_the_process_ends_with_status_2_and_one_line(tmp_path, clean_env, arguments, line):
  (tmp_path / 'job.py').write_text(CONFIG)
  done = run_command(arguments, tmp_path, clean_env)
  assert (done.returncode, done.stdout) == (2, '')
  assert done.stderr.startswith(line)
  assert done.stderr.count('\n') == 1
  assert {p.name for p in tmp_path.iterdir()} <= {'job.py', '__pycache__'}


def test_help(tmp_path, clean_env):
  done = run_command(['--help'], tmp_path, clean_env)
  assert done.returncode == 0
  assert '--workdir' in done.stdout
  assert '--config.targets.kld' in done.stdout


def test_help_on_a_config_lists_every_key(tmp_path, clean_env):
  done = run_command(['--config=configs/vae_joint.py:tiny', '--config.targets.kld=7', '--help'], tmp_path, clean_env)
  assert (done.returncode, done.stderr) == (0, '')
  lines = done.stdout.splitlines()
  keys = [line.split()[0] for line in lines[lines.index('Keys of vae_joint:') + 1:] if re.match('  [a-z]', line)]
  assert sorted(keys) == sorted(flatten(load('configs/vae_joint.py')))
  assert lines[lines.index('  targets.kld = 7.0 nats per image') + 1] == (
      '      a finite number above 0. Target of the KLD.')
  assert run_command(['--config=none.py', '--help'], tmp_path, clean_env).returncode == 2


def test_flags_are_checked_without_jax_and_tensorflow(tmp_path, clean_env):
  code = 'import sys, defect_jax.main; print([m for m in ("jax", "flax", "tensorflow") if m in sys.modules])'
  done = subprocess.run([sys.executable, '-c', code], cwd=main_root(), text=True, capture_output=True, env=clean_env)
  assert done.stdout == '[]\n'
