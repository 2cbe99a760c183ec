"""Runs a descent from its beginning or its newest checkpoint to its end."""

import hashlib
import time

import jax
import numpy as np
from absl import logging

from defect_jax import parallel
from defect_jax.config import UserError
from defect_jax.data import batches
from defect_jax.runs.progress import ProgressBar
from defect_jax.training import checkpoint, events, feeding, loop

_FUSED = 10  # steps a call on accelerators
HISTORY = ('train/loss',)


class Callback:
  """Looks at a training from time to time, and may end it. This one keeps nothing and never does."""

  def __init__(self, evaluate):
    """evaluate: (state without a device axis, step) -> row of metrics."""
    self._evaluate = evaluate

  def __call__(self, state, step):
    """A row of metrics at a state without a device axis."""
    return self._evaluate(state, step)

  def kept(self):
    """Tree of arrays that a checkpoint holds beside the state; always of the same shapes."""
    return {}

  def restore(self, kept):
    """Goes on from what `kept` gave."""

  def enough(self):
    """Whether to end before the last step."""
    return False


def digest(*arrays):
  """SHA-256 of some arrays, uint8 `[32]`."""
  found = hashlib.sha256()
  for array in arrays:
    found.update(np.ascontiguousarray(array))
  return np.frombuffer(found.digest(), np.uint8)


def check_finished(workdir, seen):
  """UserError where a finished run would go on with others than it has `seen`, see `fit`: asked before the workdir is
  opened, so that nothing of it is lost by the refusal."""
  if workdir.read_summary() is not None and (found := checkpoint.read(workdir)):
    _check_seen(found[1]['state'].get('seen', seen), seen)  # another version's has none; restoring it says so


def _check_seen(before, seen):
  if not np.array_equal(before, seen):
    raise UserError('data: the photos, made images or weights are others than those that the run began with; put them '
                    'back, or begin another run by another --workdir')


def fit(workdir, steps, descent, state, data, seen, batch, key, watch, gather=batches.gather, draw=None):
  """Trains; a run that was finished before gives its last state at once.

  Args:
    workdir: Workdir. steps: dict of loop.Schedule. descent: Descent. state: DescentState before the first step.
    data: dict of arrays `[N, ...]`. seen: `digest` of what these and `watch` come from. batch: slots.
    key: of their order. watch: Callback. gather, draw: as of feeding.ResidentFeed.

  Returns (state, History, {'steps', 'compile_seconds', 'images_per_second'} of this session). Raises UserError where a
  run would go on with others than it has seen, Stopped, Diverged or DiskFull.
  """
  schedule = loop.Schedule(**steps)
  fresh = {'descent': state.kept(), 'watch': watch.kept(), 'seen': seen}
  kept, first, history, request = loop.resume(workdir, fresh, HISTORY)
  _check_seen(kept['seen'], seen)
  watch.restore(kept['watch'])
  fused = 1 if jax.default_backend() == 'cpu' else _FUSED
  feed = feeding.ResidentFeed(descent, data, batch, key, fused, gather, draw)
  board, bar = events.Events(workdir.root), ProgressBar(workdir, 'step')

  def on_log(row, rate):
    board.add(row)
    bar.show(row['step'], schedule.total, f'loss {row["train/loss"]:.4f}', rate)

  runner = loop.Loop(
      workdir=workdir, schedule=schedule, advance=feed.advance, on_log=on_log,
      evaluate=lambda state, step: watch(parallel.first(state), step),
      to_host=lambda state: {'descent': parallel.first(state).kept(), 'watch': watch.kept(), 'seen': seen},
      set_targets=_no_targets, enough=watch.enough)
  began = time.monotonic()
  try:
    state, history = runner.run(parallel.replicate(state.restored(kept['descent'])), first, history, request)
  finally:
    feed.close()
    board.close()
  seconds = max(time.monotonic() - began - feed.compile_seconds, 1e-9)
  state = parallel.first(state)
  return state, history, {'steps': int(state.step), 'compile_seconds': feed.compile_seconds,
                          'images_per_second': batch * (int(state.step) - first) / seconds}


def last_tenth(history):
  """Mean of the loss over the last 10 % of the steps."""
  values = history.values['train/loss']
  return float(np.mean(values[-max(1, len(values) // 10):], dtype=np.float64))


def _no_targets(state, targets):
  logging.warning('a request asks for targets %s, which this training has not', targets)
  return state
