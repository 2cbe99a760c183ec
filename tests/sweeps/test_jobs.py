"""Jobs of studies: what is finished is not started again."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from defect_jax.config import UserError
from defect_jax.sweeps import jobs


def test_a_finished_job_starts_no_process(photo_sets, tmp_path, monkeypatch):
  folder = photo_sets / 'magnetic_tile' / 'magnetic_tile'
  settings = {'data.source': 'folder', 'data.path': folder, 'data.defects': 'crack', 'data.few_shot': 8}

  def run(**more):
    return jobs.run('configs/vae_split.py:tiny', tmp_path / 'run', settings | more)

  assert run(**{'steps.total': 1})['steps'] == 1
  told = run(**{'steps.total': 2})
  assert told['steps'] == 2
  monkeypatch.setattr(subprocess, 'Popen', lambda *_, **__: pytest.fail('a process was started'))
  assert run(**{'steps.total': 2}) == told
  with pytest.raises(UserError, match='seed differ'):
    run(**{'steps.total': 2, 'seed': 1})


def test_a_job_that_fails_ends_the_study_with_its_status(tmp_path, capfd):
  with pytest.raises(SystemExit) as caught:
    jobs.run('configs/anomaly.py', tmp_path / 'run', {'no_such_key': 1})
  assert caught.value.code == 2
  assert 'no_such_key' in capfd.readouterr().err


@pytest.mark.skipif(len(jobs.cpus()) < 2, reason='takes two CPUs')
def test_jobs_side_by_side_have_cpus_of_their_own(capfd):
  before, both = os.sched_getaffinity(0), threading.Barrier(2)
  see = 'import os; print(sorted(os.sched_getaffinity(0)))'

  def look(name):
    both.wait(60)  # passes only where both are at work at once
    seen = subprocess.run([sys.executable, '-c', see], capture_output=True, text=True, check=True).stdout
    assert os.sched_getaffinity(0) == {*map(int, seen.strip('[]\n').split(','))}  # of the thread: of its jobs too
    return name, os.sched_getaffinity(0)

  (one, ours), (other, theirs) = jobs.each(look, 'ab', 2)
  assert (one, other) == ('a', 'b') and not ours & theirs and ours | theirs == before == os.sched_getaffinity(0)


@pytest.mark.parametrize('at_once', [1, 2])
def test_a_job_that_fails_among_others_ends_the_study_with_its_status(tmp_path, capfd, at_once):
  if at_once > len(jobs.cpus()):
    pytest.skip('takes two CPUs')
  started = []

  def job(number):
    started.append(number)
    if number == 1:
      return jobs.run('configs/anomaly.py', tmp_path / '1', {'no_such_key': 1})
    return time.sleep(0 if at_once == 1 else 1) or number

  with pytest.raises(SystemExit) as caught:
    jobs.each(job, range(40), at_once)
  told = ''.join(capfd.readouterr())
  assert caught.value.code == 2 and 'no_such_key' in told and len(started) < 40
  assert (f'{tmp_path / "1"}: error: ' in told) == (at_once == 2)
  assert at_once == 2 or started == [0, 1]


@pytest.mark.skipif(len(jobs.cpus()) < 2, reason='takes two CPUs')
def test_ctrl_c_begins_no_further_jobs(tmp_path):
  script = f"""
import pathlib, signal, time
from experiments import jobs

signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the tests were started by

def job(number):
  pathlib.Path({str(tmp_path)!r}, str(number)).touch()
  time.sleep(3)

jobs.each(job, range(6), 2)
"""
  with subprocess.Popen([sys.executable, '-c', script], stderr=subprocess.PIPE) as study:
    while not {'0', '1'} <= set(os.listdir(tmp_path)):
      assert study.poll() is None
      time.sleep(0.05)
    study.send_signal(signal.SIGINT)
    assert b'KeyboardInterrupt' in study.stderr.read()
  assert sorted(os.listdir(tmp_path)) == ['0', '1']


def test_more_jobs_at_once_than_cpus_are_refused():
  with pytest.raises(UserError, match=r'--at_once=9999: jobs can be bound to \d+ CPUs here'):
    jobs.each(abs, [1], 9999)
