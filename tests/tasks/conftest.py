"""Small jobs of the command: photos of a folder, settings that train in a second, processes that are quick to start."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags
from made_photos import make_dents, make_photos, make_set

from defect_jax import main
from defect_jax.runs.folder import Workdir

ROOT = Path(__file__).resolve().parents[2]
SMALL = ('--config.model.widths=4,8', '--config.model.latent=4', '--config.steps.total=40', '--config.steps.log=2',
         '--config.steps.eval=20', '--config.steps.checkpoint=8', '--config.targets.kld=16',
         '--config.targets.mse_of_variance=0.02')


@pytest.fixture(scope='session')
def photos(tmp_path_factory):
  root = tmp_path_factory.mktemp('photos')
  make_photos(root)
  return root


@pytest.fixture(scope='session')
def dents(tmp_path_factory):
  root = tmp_path_factory.mktemp('dents') / 'photos'
  make_dents(root)
  return root


@pytest.fixture(scope='session')
def made(tmp_path_factory):
  """make_set in a folder of its own."""
  return lambda *count, **changes: make_set(tmp_path_factory.mktemp('made') / 'set', *count, **changes)


@pytest.fixture
def stopped(job, monkeypatch):
  """Runs the job, one of this process, until it has told of its first photos."""
  append = Workdir.append_metrics

  def stopping(workdir, row):
    workdir.stop_requested = True
    append(workdir, row)

  def call(workdir, *arguments, **keywords):
    with monkeypatch.context() as patch:
      patch.setattr(Workdir, 'append_metrics', stopping)
      assert job(workdir, *arguments, **keywords) == 3
  return call


@pytest.fixture(scope='session')
def run_env(cache, tmp_path_factory):
  """clean_env for many starts of one job: they share what was compiled, in a second instead of ten."""
  env = {key: value for key, value in os.environ.items() if key != 'XLA_FLAGS'}
  return env | {'DEFECT_JAX_CACHE': str(cache), 'PYTHONPATH': str(ROOT), 'JAX_DISABLE_MOST_OPTIMIZATIONS': '1',
                'JAX_COMPILATION_CACHE_DIR': str(tmp_path_factory.mktemp('compiled')),
                'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0', 'JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES': '0'}


@pytest.fixture(scope='session')
def job(photos, run_env):
  """Starts the small job as a process: (workdir, further arguments) -> Popen with text pipes."""
  def start(workdir, *arguments, config='configs/vae_split.py:tiny'):
    command = [sys.executable, '-m', 'defect_jax.main', f'--config={config}', f'--workdir={workdir}',
               '--config.data.source=folder', f'--config.data.path={photos}', '--config.data.defects=dent', *SMALL,
               *arguments]
    return subprocess.Popen(command, cwd=workdir.parent, env=run_env, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)
  return start


@pytest.fixture(scope='session')
def finished(job, tmp_path_factory):
  """(workdir, stdout) of the small job, never interrupted. Copy it before you change it."""
  workdir = tmp_path_factory.mktemp('finished') / 'run'
  process = job(workdir)
  out, err = process.communicate(timeout=300)
  assert process.returncode == 0, err
  assert err == ''
  return workdir, out


@pytest.fixture
def command(photos, monkeypatch, tmp_path):
  """Runs main in this process, in an empty folder: for what ends before a training begins."""
  monkeypatch.chdir(tmp_path)
  handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

  def call(*arguments, config='configs/vae_split.py:tiny', path=photos):
    flags.FLAGS.unparse_flags()
    flags.FLAGS['workdir'].value = None
    data = ['--config.data.source=folder', f'--config.data.path={path}', '--config.data.defects=dent']
    return main.main([f'--config={config}', *data, *SMALL, *arguments])

  yield call
  for number, handler in handlers.items():
    signal.signal(number, handler)


@pytest.fixture
def assert_refused(capsys):
  """Asserts that a job ended by the user's mistake: one line on stderr that holds `reason`, and no workdir."""
  def check(status, workdir, reason):
    assert status == 2
    err = capsys.readouterr().err
    assert err.startswith('error: ') and reason in err and err.count('\n') == 1
    assert not workdir.exists()
  return check
