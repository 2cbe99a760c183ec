"""The loop with a model of one number: what it logs, saves and answers, and how it ends."""

import json
import threading
import time

import numpy as np
import pytest

from defect_jax.runs.folder import Diverged, Stopped, Workdir
from defect_jax.training import checkpoint, loop

CONFIG_KEYS = {'task': 'toy', 'steps': {'total': 20}}
HISTORY = ('train/kld', 'train/mse', 'target/kld', 'target/mse')
FRESH = {'x': np.zeros(1), 'kld': np.full(1, 10.), 'mse': np.full(1, 0.5)}


class Toy:
  """A Loop around x := x + 1, loss 1 / x, and what it was asked."""

  def __init__(self, root, total=20, log=2, evaluate=8, save=5):
    from ml_collections import ConfigDict
    self.workdir = Workdir(root)
    self.workdir.check(ConfigDict(CONFIG_KEYS))
    self.workdir.open()
    self.calls, self.bad, self.evaluated, self.logged = [], {}, [], []
    self.at = {}  # step: called once that step is logged
    self.loop = loop.Loop(self.workdir, loop.Schedule(total, log, evaluate, save), self.advance, self.evaluate,
                          lambda state: dict(state), self.set_targets, self.on_log)

  def advance(self, state, steps):
    first = int(state['x'][0])
    self.calls.append((first, steps))
    x = first + 1. + np.arange(steps)
    rows = {'train/kld': 1 / x, 'train/mse': 2 / x, 'target/kld': np.repeat(state['kld'], steps),
            'target/mse': np.repeat(state['mse'], steps), 'norm/E1': x, 'norm/D': x + 0.}
    for name, step in self.bad.items():
      rows[name][x == step] = np.nan
    return state | {'x': state['x'] + steps}, rows

  def evaluate(self, state, step):
    assert int(state['x'][0]) == step
    self.evaluated.append(step)
    return {'eval/kld': 7.}

  def set_targets(self, state, targets):
    return state | {name: np.full(1, target) for name, target in targets.items()}

  def on_log(self, row, rate):
    self.logged.append((row['step'], rate))
    if row['step'] in self.at:
      self.at.pop(row['step'])()

  def run(self):
    state, step, history, request = loop.resume(self.workdir, FRESH, HISTORY)
    with self.workdir.running():
      return self.loop.run(state, step, history, request)

  def ask(self, **request):
    self.workdir.requests_json.write_text(json.dumps(request))

  def rows(self):
    return self.workdir.read_metrics()


@pytest.fixture
def toy(tmp_path):
  return Toy(tmp_path / 'run')


def without_seconds(rows):
  return [{k: v for k, v in row.items() if k != 'seconds'} for row in rows]


def test_every_evaluation_has_its_row(tmp_path):
  toy = Toy(tmp_path / 'run', log=10, evaluate=4)
  toy.run()
  rows = {row['step']: row.get('eval/kld') for row in toy.rows()}
  assert rows == {4: 7., 8: 7., 10: None, 12: 7., 16: 7., 20: 7.}


def test_stops_only_where_there_is_something_to_do(toy):
  state, history = toy.run()
  assert [first for first, _ in toy.calls] == [0, 2, 4, 5, 6, 8, 10, 12, 14, 15, 16, 18]
  assert int(state['x'][0]) == 20
  assert toy.evaluated == [8, 16, 20] and checkpoint.steps(toy.workdir) == [10, 15, 20]
  np.testing.assert_allclose(history['train/kld'], 1 / np.arange(1, 21), rtol=1e-6)
  assert [row['step'] for row in toy.rows()] == list(range(2, 21, 2))
  assert [row['step'] for row in toy.rows() if 'eval/kld' in row] == [8, 16, 20]
  assert toy.rows()[1]['train/mse'] == pytest.approx(2 / 4 / 2 + 2 / 3 / 2)  # mean of steps 3 and 4


@pytest.mark.parametrize(('total', 'stops'), [(7, [2, 4, 5, 6, 7]), (1, [1]), (4, [2, 4])])
def test_the_last_step_is_logged_evaluated_and_saved_whatever_the_schedule(tmp_path, total, stops):
  toy = Toy(tmp_path / 'run', total=total)
  _, history = toy.run()
  assert [first + n for first, n in toy.calls] == stops
  assert len(history['train/kld']) == total == toy.rows()[-1]['step'] == checkpoint.steps(toy.workdir)[-1]
  assert toy.evaluated == [total]


def test_a_stopped_run_goes_on_and_ends_equal(toy, tmp_path, monkeypatch):
  whole = Toy(tmp_path / 'whole')
  expected = whole.run()
  toy.at[12] = lambda: setattr(toy.workdir, 'stop_requested', True)
  seen, save = [], checkpoint.save
  monkeypatch.setattr(checkpoint, 'save', lambda *arguments: (seen.append(state_of(toy.workdir)), save(*arguments)))
  with pytest.raises(Stopped, match='stopped at step 12 of 20, saved; the same command goes on'):
    toy.run()
  assert seen[-1] == 'stopping' and state_of(toy.workdir) == 'stopped'
  monkeypatch.undo()
  assert checkpoint.steps(toy.workdir)[-1] == 12
  again = Toy(tmp_path / 'run')
  state, history = again.run()
  assert again.calls[0][0] == 12
  assert state == expected[0]
  np.testing.assert_array_equal(history['train/kld'], expected[1]['train/kld'])
  assert without_seconds(again.rows()) == without_seconds(whole.rows())


def test_rows_after_the_checkpoint_are_written_again(toy, tmp_path):
  toy.at[8] = lambda: (_ for _ in ()).throw(KeyboardInterrupt)  # as if killed: nothing saved after step 5
  with pytest.raises(KeyboardInterrupt):
    toy.run()
  assert [row['step'] for row in toy.rows()] == [2, 4, 6, 8]
  again = Toy(tmp_path / 'run')
  again.run()
  assert again.calls[0] == (5, 1)
  assert [row['step'] for row in again.rows()] == list(range(2, 21, 2))


def test_a_run_without_checkpoint_begins_anew(toy, tmp_path):
  toy.at[4] = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
  with pytest.raises(KeyboardInterrupt):
    toy.run()
  again = Toy(tmp_path / 'run')
  again.run()
  assert again.calls[0] == (0, 2) and [row['step'] for row in again.rows()] == list(range(2, 21, 2))


@pytest.mark.parametrize(('bad', 'message'), [
  ({'norm/E1': 13}, 'step 13: stream E1 became nan or infinite; the checkpoint of step 10 is kept'),
  ({'norm/D': 13, 'norm/E1': 14}, 'step 13: stream D became nan'),
  ({'norm/D': 13, 'norm/E1': 13, 'train/kld': 13}, 'step 13: stream E1 and D became nan'),
  ({'train/mse': 13}, 'step 13: train/mse became nan'),
  ({'norm/E1': 3}, 'step 3: stream E1 became nan or infinite; no checkpoint was saved before it'),
])
def test_nan_stops_at_the_last_good_checkpoint_and_names_the_stream(toy, bad, message):
  toy.bad = bad
  with pytest.raises(Diverged) as raised:
    toy.run()
  assert message in str(raised.value)
  step = min(bad.values())
  assert checkpoint.steps(toy.workdir) == [s for s in (5, 10) if s < step]
  assert all(row['step'] < step for row in toy.rows())
  assert toy.rows() == [] or np.isfinite(toy.rows()[-1]['train/kld'])


# Requests


def test_targets_of_a_request(toy, tmp_path):
  toy.at[6] = lambda: toy.ask(id=3, targets={'kld': 4})
  toy.at[10] = lambda: toy.ask(id=2, targets={'kld': 99})  # not above the last id
  _, history = toy.run()
  assert history['target/kld'].tolist() == [10.] * 6 + [4.] * 14
  assert set(history['target/mse'].tolist()) == {0.5}
  request = {'id': 3, 'pause': False, 'stop': False, 'targets': {'kld': 4}}
  assert [row for row in toy.rows() if 'request' in row] == [{'step': 6, 'request': request}]
  # It is not applied twice by a run that goes on, and it outlives a kill right after it.
  longer = Toy(tmp_path / 'run', total=24)
  _, history = longer.run()
  assert history['target/kld'].tolist() == [10.] * 6 + [4.] * 18
  assert len([row for row in longer.rows() if 'request' in row]) == 1


def test_an_applied_request_is_saved_at_once(toy, tmp_path):
  toy.at[6] = lambda: toy.ask(id=1, targets={'mse': 0.25})
  toy.at[8] = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
  with pytest.raises(KeyboardInterrupt):
    toy.run()
  assert checkpoint.steps(toy.workdir) == [5, 6]
  again = Toy(tmp_path / 'run')
  _, history = again.run()
  assert history['target/mse'].tolist() == [0.5] * 6 + [0.25] * 14
  assert [row['step'] for row in again.rows() if 'request' in row] == [6]


def test_stop_by_request(toy, tmp_path):
  toy.at[6] = lambda: toy.ask(id=1, stop=True)
  with pytest.raises(Stopped, match='stopped at step 6 of 20'):
    toy.run()
  again = Toy(tmp_path / 'run')  # the same request lies there still
  assert int(again.run()[0]['x'][0]) == 20


def wait_for(condition):
  end = time.monotonic() + 20
  while not condition():
    assert time.monotonic() < end
    time.sleep(0.02)


def state_of(workdir):
  return json.loads(workdir.status_json.read_text())['state']


def test_pause_and_resume(toy):
  seen = []

  def outside():
    wait_for(lambda: state_of(toy.workdir) == 'paused')
    steps = len(toy.calls)
    toy.ask(id=2, pause=True, targets={'kld': 3})  # still paused
    wait_for(lambda: len([row for row in toy.rows() if 'request' in row]) == 2)
    seen.append((steps, len(toy.calls), state_of(toy.workdir)))
    toy.ask(id=3)

  person = threading.Thread(target=outside)
  toy.at[6] = lambda: (toy.ask(id=1, pause=True), person.start())
  toy.at[8] = lambda: seen.append(state_of(toy.workdir))
  _, history = toy.run()
  person.join()
  assert seen[0][0] == seen[0][1] and seen[0][2] == 'paused' and seen[1] == 'running'
  assert history['target/kld'].tolist() == [10.] * 6 + [3.] * 14


def test_a_paused_run_stops_on_a_signal(toy):
  def outside():
    wait_for(lambda: state_of(toy.workdir) == 'paused')
    toy.workdir.stop_requested = True

  person = threading.Thread(target=outside)
  toy.at[6] = lambda: (toy.ask(id=1, pause=True), person.start())
  with pytest.raises(Stopped, match='step 6'):
    toy.run()
  person.join()


@pytest.mark.parametrize('text', ['{', '[]', '{"id": 1, "halt": true}', '{"id": 1, "targets": {"kld": 0}}',
                                  '{"id": 1, "targets": {"kld": NaN}}', '{"id": "1"}', '{"id": 1, "stop": 1}'])
def test_malformed_requests_are_ignored(toy, text):
  toy.workdir.requests_json.write_text(text)
  _, history = toy.run()
  assert set(history['target/kld'].tolist()) == {10.}
  assert all('request' not in row for row in toy.rows())


def test_progress_knows_no_rate_before_the_first_stop_and_one_after_it(toy):
  toy.run()
  rates = [rate for _, rate in toy.logged]
  assert np.isnan(rates[0]) and all(rate > 0 for rate in rates[1:])


def test_a_training_that_has_had_enough_ends_after_an_evaluation_and_does_not_go_on(tmp_path):
  toy = Toy(tmp_path / 'run')
  toy.loop.done = lambda: len(toy.evaluated) >= 2
  state, history = toy.run()
  assert int(state['x'][0]) == 16 and toy.evaluated == [8, 16] and len(history['train/kld']) == 16
  assert checkpoint.steps(toy.workdir)[-1] == 16 and toy.rows()[-1]['step'] == 16
  again = Toy(tmp_path / 'run')
  again.loop.done = lambda: True
  assert int(again.run()[0]['x'][0]) == 16 and again.calls == []
