"""Jobs on this machine: what is finished is not started again, what others need comes first."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from defect_jax.config import UserError
from defect_jax.runs.folder import Workdir
from defect_jax.sweeps import local
from defect_jax.sweeps.job import Job
from defect_jax.sweeps.study import Study

two_cpus = pytest.mark.skipif(len(local.cpus()) < 2, reason='takes two CPUs')


def finish(job):
  """Runs no task, but leaves its summary behind."""
  job.workdir.mkdir()
  Workdir(job.workdir).write_summary({'settings': dict(job.settings)})


def test_a_finished_job_starts_no_process(tmp_path, monkeypatch):
  def run(**more):
    settings = {'data.few_shot': 8} | more
    return local.run([Job('configs/vae_split.py:tiny', tmp_path / 'run', settings)])[tmp_path / 'run']

  assert run(**{'steps.total': 1})['steps'] == 1
  summary = run(**{'steps.total': 2})
  assert summary['steps'] == 2
  monkeypatch.setattr(subprocess, 'Popen', lambda *_, **__: pytest.fail('a process was started'))
  assert run(**{'steps.total': 2}) == summary
  with pytest.raises(UserError, match='seed differ'):
    run(**{'steps.total': 2, 'seed': 1})


def test_settings_are_written_as_main_reads_them(tmp_path):
  settings = {'tiles.on': True, 'data.defects': ('crack', 'hole'), 'data.path': tmp_path, 'a': 1.5}
  job = Job('configs/a.py', tmp_path, settings)
  assert job.arguments() == ['--config=configs/a.py', '--config.tiles.on=true', '--config.data.defects=crack,hole',
                             f'--config.data.path={tmp_path}', '--config.a=1.5']


@pytest.mark.parametrize('at_once', [1, pytest.param(2, marks=two_cpus)])
def test_jobs_run_once_after_those_they_need(tmp_path, at_once):
  vae = Job('c', tmp_path / 'vae', {'seed': 1})
  images = [Job('c', tmp_path / f'images_{number}', needs=(vae,)) for number in range(2)]
  classifier = Job('c', tmp_path / 'classifier', needs=(*images, vae))
  started = []

  def start(job):
    assert all((need.workdir / 'summary.json').is_file() for need in job.needs)
    started.append(job.workdir.name)
    finish(job)
  study = Study('name', [classifier, images[0]], lambda summaries: {path.name: of for path, of in summaries.items()})
  table = study.run(lambda jobs: local.run(jobs, at_once, start))
  assert started[0] == 'vae' and started[-1] == 'classifier' and sorted(started[1:3]) == ['images_0', 'images_1']
  assert len(started) == 4 == len(table) and table['vae'] == {'settings': {'seed': 1}}


def test_two_jobs_of_one_folder_are_refused(tmp_path):
  with pytest.raises(ValueError, match='two jobs of one study want this folder'):
    local.run([Job('c', tmp_path, {'seed': 0}), Job('c', tmp_path, {'seed': 1})])


def test_a_job_that_fails_ends_the_study_with_its_status(tmp_path, capfd):
  with pytest.raises(SystemExit) as caught:
    local.run([Job('configs/anomaly.py', tmp_path / 'run', {'no_such_key': 1})])
  assert caught.value.code == 2
  assert 'no_such_key' in capfd.readouterr().err


@two_cpus
def test_jobs_side_by_side_have_cpus_of_their_own(tmp_path):
  before, both, shares = os.sched_getaffinity(0), threading.Barrier(2), {}
  see = 'import os; print(sorted(os.sched_getaffinity(0)))'

  def start(job):
    both.wait(60)  # passes only where both are at work at once
    seen = subprocess.run([sys.executable, '-c', see], capture_output=True, text=True, check=True).stdout
    shares[job.workdir.name] = {*map(int, seen.strip('[]\n').split(','))}
    assert os.sched_getaffinity(0) == shares[job.workdir.name]  # of the thread: of its processes too
    finish(job)

  assert len(local.run([Job('c', tmp_path / name) for name in 'ab'], 2, start)) == 2
  assert not shares['a'] & shares['b'] and shares['a'] | shares['b'] == before == os.sched_getaffinity(0)


@pytest.mark.parametrize('at_once', [1, pytest.param(2, marks=two_cpus)])
def test_a_job_that_fails_among_others_ends_the_study_with_its_status(tmp_path, capfd, at_once):
  started = []

  def start(job):
    started.append(int(job.workdir.name))
    if started[-1] == 1:
      return local.process(Job('configs/anomaly.py', job.workdir, {'no_such_key': 1}))
    time.sleep(0 if at_once == 1 else 1)
    return finish(job)

  with pytest.raises(SystemExit) as caught:
    local.run([Job('c', tmp_path / str(number)) for number in range(40)], at_once, start)
  printed = ''.join(capfd.readouterr())
  assert caught.value.code == 2 and 'no_such_key' in printed and len(started) < 40
  assert (f'{tmp_path / "1"}: error: ' in printed) == (at_once == 2)
  assert at_once == 2 or started == [0, 1]


@two_cpus
def test_ctrl_c_begins_no_further_jobs(tmp_path):
  script = f"""
import pathlib, signal, time
from defect_jax.sweeps import local
from defect_jax.sweeps.job import Job

signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the tests were started by

def start(job):
  job.workdir.mkdir()
  time.sleep(3)

local.run([Job('c', pathlib.Path({str(tmp_path)!r}, str(number))) for number in range(6)], 2, start)
"""
  with subprocess.Popen([sys.executable, '-c', script], stderr=subprocess.PIPE) as study:
    while not {'0', '1'} <= set(os.listdir(tmp_path)):
      assert study.poll() is None
      time.sleep(0.05)
    study.send_signal(signal.SIGINT)
    assert b'KeyboardInterrupt' in study.stderr.read()
  assert sorted(os.listdir(tmp_path)) == ['0', '1']


def test_more_jobs_at_once_than_cpus_are_refused(tmp_path):
  with pytest.raises(UserError, match=r'--at_once=9999: jobs can be bound to \d+ CPUs here'):
    local.run([Job('c', tmp_path)], 9999)
