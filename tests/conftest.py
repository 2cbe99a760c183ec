"""Fixtures of all tests: where real photos are, an own cache, the slow tier, eight virtual CPU devices."""

import os
import subprocess
import sys
from pathlib import Path

# Before JAX is imported by any test. Processes that tests start get `clean_env` instead, so one device.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
_XLA_FLAGS = os.environ.get('XLA_FLAGS')
os.environ['XLA_FLAGS'] = f'{_XLA_FLAGS or ""} --xla_force_host_platform_device_count=8'.strip()
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import made_sets  # noqa: E402
import pytest  # noqa: E402
from made_photos import make_dents, make_photos, make_set  # noqa: E402
from workdirs import SMALL  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]


def pytest_addoption(parser):
  parser.addoption('--slow', action='store_true', help='also run the tests that take minutes')


def pytest_collection_modifyitems(config, items):
  if not config.getoption('--slow'):
    for item in items:
      if 'slow' in item.keywords:
        item.add_marker(pytest.mark.skip(reason='slow: needs --slow'))


@pytest.fixture(scope='session', autouse=True)
def cache(tmp_path_factory):
  """The folder for prepared data: never the user's own."""
  folder = tmp_path_factory.mktemp('cache')
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('DEFECT_JAX_CACHE', str(folder))
    yield folder


@pytest.fixture(scope='session')
def photo_sets(tmp_path_factory):
  """The folder of real photo sets (magnetic_tile, bsdata), or of made ones in their layout where there are none."""
  folder = Path(os.environ.get('DEFECT_JAX_DATA') or ROOT.parent / 'shared' / 'data')
  return folder if folder.is_dir() else made_sets.make(tmp_path_factory.mktemp('sets'))


@pytest.fixture(scope='session')
def check_outputs():
  """Asserts that the contract's checker finds no fault in a workdir or image set, on machines that have it."""
  checker = ROOT.parent / 'shared' / 'check_outputs.py'

  def check(path, *arguments):
    if checker.is_file():
      done = subprocess.run([sys.executable, checker, *arguments, path], text=True, capture_output=True)
      assert (done.returncode, done.stdout) == (0, '0 faults\n')
  return check


@pytest.fixture
def clean_env(cache):
  """The environment for processes that a test starts: as the user's, with the cache and one CPU device."""
  env = os.environ | {'DEFECT_JAX_CACHE': str(cache)}
  env.pop('XLA_FLAGS')
  return env | ({'XLA_FLAGS': _XLA_FLAGS} if _XLA_FLAGS else {})


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
               '--config.data.source=folder', f'--config.data.path={photos}', '--config.data.defects=dent',
               '--config.data.split=hash', *SMALL,
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
