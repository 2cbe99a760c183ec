"""Small jobs of the command: photos of a folder, settings that train in a second, processes that are quick to start."""

import signal

import anomaly_jobs
import pytest
from absl import flags
from workdirs import SMALL

from defect_jax import main
from defect_jax.runs.folder import Workdir


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
def parts_photos(tmp_path_factory):
  """Good photos and dents with masks, over all parts."""
  root = tmp_path_factory.mktemp('anomaly') / 'photos'
  anomaly_jobs.write_photos(root)
  return root


@pytest.fixture
def command(photos, monkeypatch, tmp_path):
  """Runs main in this process, in an empty folder: for what ends before a training begins."""
  monkeypatch.chdir(tmp_path)
  handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

  def call(*arguments, config='configs/vae_split.py:tiny', path=photos):
    flags.FLAGS.unparse_flags()
    flags.FLAGS['workdir'].value = None
    data = ['--config.data.source=folder', f'--config.data.path={path}', '--config.data.defects=dent',
            '--config.data.split=hash']
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
