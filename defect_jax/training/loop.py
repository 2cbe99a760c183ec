"""The one training loop: counts steps, logs, answers requests, saves, stops. It knows no model and no loss."""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from defect_jax.runs.folder import Diverged, Stopped, Workdir
from defect_jax.training import checkpoint

State = Any  # of whatever is trained
History = dict[str, Float[np.ndarray, 'steps']]  # values of some metrics at every step so far, float32
Rows = Mapping[str, Float[np.ndarray, 'steps']]  # values of metrics, one per step
_POLL = 0.2  # seconds between looks at requests.json while paused


@dataclasses.dataclass(frozen=True)
class Schedule:
  """Steps in all, and every how many steps to log, evaluate and save."""
  total: int
  log: int
  eval: int
  checkpoint: int

  def next_stop(self, step: int) -> int:
    """The first step after `step` at which the loop has to look at something."""
    return min([self.total, *(step - step % every + every for every in (self.log, self.eval, self.checkpoint))])


def resume(workdir: Workdir, fresh: Mapping[str, Any], names: Sequence[str]
           ) -> tuple[Mapping[str, Any], int, History, int]:
  """Where to begin: the newest sound checkpoint, else the beginning. Cuts metrics.jsonl back to it.

  fresh: tree of arrays of a new run. names: of the metrics whose every value is kept. Returns (tree, steps done,
  History, id of the last request).
  """
  def template(step):
    return {**fresh, 'history': {name: np.full(step, np.nan, np.float32) for name in names}, 'request': np.int32(0)}

  checkpoint.tidy(workdir)
  restored = checkpoint.restore(workdir, template)
  if restored is None:
    workdir.cut_back(-1)
    return fresh, 0, template(0)['history'], 0
  step, tree = restored
  workdir.cut_back(step)
  print(f'going on from step {step}', flush=True)
  return {name: tree[name] for name in fresh}, step, tree['history'], int(tree['request'])


@dataclasses.dataclass
class Loop:
  """Runs `advance` from a state to the last step.

  Attributes:
    workdir: open.
    advance: makes so many steps; the metrics of the history are among its rows.
    evaluate: metrics of (state, step), at `schedule.eval` and at the end.
    to_host: the tree of NumPy arrays that a checkpoint holds.
    on_log: takes (row, rate), for the progress line and the like; rate in steps per second, nan at first.
    done: looked at after each evaluation and at the start: whether to end before the last step.
  """
  workdir: Workdir
  schedule: Schedule
  advance: Callable[[State, int], tuple[State, Rows]]
  evaluate: Callable[[State, int], dict[str, Any]]
  to_host: Callable[[State], dict[str, Any]]
  set_targets: Callable[[State, Mapping[str, float]], State]
  on_log: Callable[[Mapping[str, Any], float], None]
  done: Callable[[], bool] = lambda: False

  def run(self, state: State, step: int, history: History, request: int) -> tuple[State, History]:
    """Trains to the last step and returns (state, History). Raises Stopped or Diverged."""
    clock = _Clock(self.workdir.seconds_spent())
    saved = step if checkpoint.steps(self.workdir) else None
    while step < self.schedule.total and not self.done():
      state, rows = self.advance(state, self.schedule.next_stop(step) - step)
      self._check_finite(rows, step, saved)
      history = {name: np.concatenate([old, np.float32(rows[name])]) for name, old in history.items()}
      step += len(next(iter(rows.values())))
      last = step == self.schedule.total
      row = {}
      if step % self.schedule.eval == 0 or last:
        row = self.evaluate(state, step)
        last = last or self.done()
      if step % self.schedule.log == 0 or last or row:
        row = {'step': step, 'seconds': clock.seconds()} | {k: float(np.mean(v)) for k, v in rows.items()} | row
        self.workdir.append_metrics(row)
        self.on_log(row, clock.rate(step))
        before = request
        state, request, stop = self._answer(state, step, request)
        due = request != before
      else:
        due = stop = False
      stop = stop or self.workdir.stop_requested
      if stop:
        self.workdir.status.update(state='stopping', step=step)
      if due or stop or last or step % self.schedule.checkpoint == 0:
        checkpoint.save(self.workdir, step, self.to_host(state) | {'history': history, 'request': np.int32(request)})
        saved = step
      if stop and not last:
        raise Stopped(f'stopped at step {step} of {self.schedule.total}, saved; the same command goes on')
    return state, history

  def _check_finite(self, rows, step, saved):
    """Nothing after the last good checkpoint is kept where a step went wrong."""
    bad = {name: np.flatnonzero(~np.isfinite(values)) for name, values in rows.items()}
    bad = {name: where[0] for name, where in bad.items() if len(where)}
    if not bad:
      return
    first = min(bad.values())
    names = [name for name, where in bad.items() if where == first]
    streams = [name.partition('/')[2] for name in names if name.startswith(('norm/', 'update/'))]
    what = f'stream {" and ".join(dict.fromkeys(streams))}' if streams else ', '.join(names)
    kept = f'the checkpoint of step {saved} is kept' if saved is not None else 'no checkpoint was saved before it'
    raise Diverged(f'step {step + first + 1}: {what} became nan or infinite; {kept}; lower the lr of that stream in a '
                   'new --workdir')

  def _answer(self, state, step, last):
    """Applies a waiting request; returns (state, id of the last request, whether to stop)."""
    request = self.workdir.read_request(last)
    while request:
      self.workdir.append_metrics({'step': step, 'request': request})
      if request['targets']:
        state = self.set_targets(state, request['targets'])
      if request['stop'] or not request['pause']:
        self.workdir.status.update(state='running')
        return state, request['id'], request['stop']
      last, request = request['id'], None
      self.workdir.status.update(state='paused', step=step)
      while not request and not self.workdir.stop_requested:
        time.sleep(_POLL)
        request = self.workdir.read_request(last)
    return state, last, False


class _Clock:
  """Time spent on the run, and the rate since the loop's first stop: what is compiled before that would distort it."""

  def __init__(self, spent: float):
    self._began = time.monotonic() - spent
    self._first: tuple[int, float] | None = None

  def seconds(self) -> float:
    return time.monotonic() - self._began

  def rate(self, step: int) -> float:
    if self._first is None:
      self._first = step, time.monotonic()
      return math.nan
    return (step - self._first[0]) / (time.monotonic() - self._first[1])
