"""Runs a descent from its beginning or its newest checkpoint to its last step."""

import time

import flax.serialization
import jax
import numpy as np
from absl import logging

from defect_jax import parallel
from defect_jax.tasks.progress import Training
from defect_jax.training import events, feeding, loop

_FUSED = 10  # steps a call on accelerators
HISTORY = ('train/loss',)


def fit(workdir, steps, descent, state, data, gather, batch, key, evaluate):
  """Trains; a run that was finished before gives its last state at once.

  Args:
    workdir: Workdir. steps: config of loop.Schedule. descent: Descent. state: DescentState before the first step.
    data: dict of arrays `[N, ...]`. gather: as of feeding.ResidentFeed. batch: slots. key: of their order.
    evaluate: (state without a device axis, step) -> row of metrics.

  Returns (state, History, {'compile_seconds', 'images_per_second'} of this session). Raises Stopped, Diverged or
  DiskFull.
  """
  schedule = loop.Schedule(**steps)
  kept, first, history, request = loop.resume(workdir, state.kept(), HISTORY)
  fused = 1 if jax.default_backend() == 'cpu' else _FUSED
  feed = feeding.ResidentFeed(descent, data, batch, key, fused, gather)
  board = events.Events(workdir.root)
  runner = loop.Loop(
      workdir=workdir, schedule=schedule, advance=feed.advance, on_log=Training(workdir, schedule.total, board.add),
      evaluate=lambda state, step: evaluate(parallel.first(state), step),
      to_host=lambda state: parallel.first(state).kept(), set_targets=_no_targets)
  began = time.monotonic()
  try:
    state, history = runner.run(parallel.replicate(state.restored(kept)), first, history, request)
  finally:
    feed.close()
    board.close()
  seconds = max(time.monotonic() - began - feed.compile_seconds, 1e-9)
  return parallel.first(state), history, {'compile_seconds': feed.compile_seconds,
                                          'images_per_second': batch * (schedule.total - first) / seconds}


def last_tenth(history):
  """Mean of the loss over the last 10 % of the steps."""
  values = history.values['train/loss']
  return float(np.mean(values[-max(1, len(values) // 10):], dtype=np.float64))


def _no_targets(state, targets):
  logging.warning('a request asks for targets %s, which this training has not', targets)
  return state


def as_tree(params):
  """Parameters as plain dicts of NumPy arrays."""
  return flax.serialization.to_state_dict(jax.device_get(params))
