"""The display of a job: status.json at each call, a line every two seconds, a stop where it is asked for."""

import json

import pytest
from ml_collections import ConfigDict

from defect_jax.runs import progress
from defect_jax.runs.folder import Stopped, Workdir
from defect_jax.runs.progress import ProgressBar


@pytest.fixture
def now(monkeypatch):
  """A list whose last number is the time."""
  times = [100.]
  monkeypatch.setattr(progress.time, 'monotonic', lambda: times[-1])
  return times


@pytest.fixture
def workdir(tmp_path):
  workdir = Workdir(tmp_path / 'run')
  workdir.check(ConfigDict({'seed': 0}))
  workdir.open()
  yield workdir
  workdir.close('finished')


def status(workdir):
  read = json.loads(workdir.status_json.read_text())
  return read['state'], read['step'], read['steps_total'], read['message']


def test_rate_and_time_left_are_of_what_comes_after_the_first_call(workdir, now, capsys):
  bar = ProgressBar(workdir, 'image')
  now.append(150.)  # compiled
  bar.record(4, 100)
  assert status(workdir) == ('running', 4, 100, 'image 4/100')
  now.append(151.)
  bar.record(8, 100)
  assert status(workdir)[3] == 'image 8/100  4.0 images/s  0:23 left'
  now.append(152.)
  bar.record(10, 100)
  now.append(153.)
  bar.record(100, 100)
  assert capsys.readouterr().out.splitlines() == [
    'image 4/100', 'image 10/100  3.0 images/s  0:30 left', 'image 100/100  32.0 images/s  0:00 left']
  assert workdir.read_metrics() == [{'step': step, 'seconds': seconds}
                                    for step, seconds in ((4, 50.), (8, 51.), (10, 52.), (100, 53.))]


def test_a_rate_and_a_text_of_the_callers(workdir, now, capsys):
  bar = ProgressBar(workdir, 'step')
  bar.show(10, 130, 'loss 0.5', float('nan'))
  bar.show(130, 130, 'loss 0.4', 2.)
  assert capsys.readouterr().out == 'step 10/130  loss 0.5\nstep 130/130  2.0 steps/s  0:00 left  loss 0.4\n'
  assert workdir.read_metrics() == []


def test_counting_goes_on_from_an_earlier_session_and_stops_when_asked(workdir, now):
  workdir.append_metrics({'step': 3, 'seconds': 7.})
  bar = ProgressBar(workdir, 'photo', done=3)
  now.append(101.)
  bar.count(6)
  assert (bar.done, workdir.read_metrics()[-1]) == (4, {'step': 4, 'seconds': 8.})
  bar.count(6)  # at the same moment: no row
  assert (bar.done, len(workdir.read_metrics())) == (5, 2)
  workdir.stop_requested = True
  bar.count(6)  # the last one: nothing is left to stop
  assert workdir.read_metrics()[-1]['step'] == 6
  with pytest.raises(Stopped, match='stopped at photo 7 of 9; the same command goes on'):
    bar.count(9)


def test_photos_that_come_all_at_once_have_no_rate(workdir, now, capsys):
  bar = ProgressBar(workdir, 'photo')
  for number in range(12):
    now.append(103. + 0.001 * number)
    bar.count(12)
  assert capsys.readouterr().out.splitlines() == ['photo 1/12', 'photo 12/12']


@pytest.mark.parametrize(('rate', 'words'), [(12.34, '12.3 photos/s'), (1.0, '1.0 photos/s'), (0.4, '2.5 s/photo'),
                                            (0.02, '50.0 s/photo')])
def test_below_one_per_second_seconds_are_said(rate, words):
  assert progress.speed(rate, 'photo') == words
