"""Trains from the beginning or the newest checkpoint to the end: the one driver of every training."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jaxtyping import Array, Key

from defect_jax import parallel
from defect_jax.data import batches, dataset
from defect_jax.runs.folder import Workdir
from defect_jax.runs.progress import ProgressBar
from defect_jax.training import checkpoint, events, feeds, layouts, loop
from defect_jax.training.callbacks import Callback
from defect_jax.training.trainer import Trainer, TrainState


@dataclasses.dataclass(frozen=True)
class Fit:
  """A training at its end."""
  state: TrainState  # on the host
  history: loop.History  # of the metrics that Trainer.recorded names
  speed: dict[str, float]  # steps, compile_seconds, images_per_second of this session

  def last_tenth(self, name: str = 'train/loss') -> float:
    """Mean of a metric over the last 10 % of the steps."""
    values = self.history[name]
    return float(np.mean(values[-max(1, len(values) // 10):], dtype=np.float64))


def check_finished(workdir: Workdir, data: str, state: TrainState | None = None) -> None:
  """Raises UserError if a finished run would go on with other data, see `fit`: before opening it can lose anything."""
  if workdir.read_summary() is not None and (newest := checkpoint.read(workdir)):
    _check_same(layouts.data_of(newest[1]), data, newest[1]['state'].get('normalizer'), state)


def _check_same(before, data, normalizer, state):
  if state is None or not normalizer:
    if before not in (None, data):  # None: a version that kept none
      raise dataset.others('photos, made images or weights')
  elif before != data and not dataset.is_close(normalizer['mean'], state.normalizer.mean):
    raise dataset.others('photos')


def fit(workdir: Workdir, schedule: loop.Schedule, trainer: Trainer, state: TrainState, images: feeds.Images,
        data: str, batch: int, key: Key[Array, ''], callbacks: Sequence[Callback] = (), *,
        gather: feeds.Gather = batches.gather, draw: feeds.Draw | None = None, resident_mb: float = np.inf) -> Fit:
  """Trains; a run that was finished before gives its last state at once.

  state: before the first step. images, gather, draw, resident_mb: see feeds.open_feed. data: digest of what the images
  and callbacks come from. batch: slots. key: of their order.

  Raises UserError where a run would go on with other data than it began with, Stopped, Diverged or DiskFull.
  """
  def to_host(state):
    kept = {name: array for callback in callbacks for name, array in callback.state_dict().items()}
    return {'state': state.state_dict(), 'callbacks': jax.device_get(kept),
            'data': np.frombuffer(bytes.fromhex(data), np.uint8)}

  kept, first, history, request = loop.resume(workdir, to_host(state), trainer.recorded(state))
  _check_same(layouts.data_of(kept), data, kept['state']['normalizer'], state)
  for callback in callbacks:
    callback.restore(kept['callbacks'])
  feed = feeds.open_feed(trainer, images, batch, key, first, gather, draw, resident_mb)
  board, bar = events.Events(workdir.root), ProgressBar(workdir, 'step')

  def on_log(row, rate):
    board.add(row)
    bar.show(row['step'], schedule.total, _losses(row), rate)

  def evaluate(state, step):
    state = parallel.first(state)
    return {name: value for callback in callbacks for name, value in callback.evaluate(state, step).items()}

  runner = loop.Loop(
      workdir, schedule, feed.advance, evaluate, lambda state: to_host(parallel.first(state)), _set_targets, on_log,
      done=lambda: any(callback.done() for callback in callbacks))
  began = time.monotonic()
  try:
    after, history = runner.run(parallel.replicate(state.restore(kept['state'])), first, history, request)
  finally:
    feed.close()
    board.close()
  seconds = max(time.monotonic() - began - feed.compile_seconds, 1e-9)
  after = parallel.first(after)
  return Fit(after, history, {'steps': int(after.step), 'compile_seconds': feed.compile_seconds,
                              'images_per_second': feed.images * (int(after.step) - first) / seconds})


def _losses(row: Mapping[str, Any]) -> str:
  """Every loss that has a target, with it; the one that there is where none has."""
  with_target = sorted(name.removeprefix('target/') for name in row if name.startswith('target/'))
  if not with_target:
    return f'loss {row["train/loss"]:.4f}'
  values = [(name.upper(), row[f'train/{name}'], row[f'target/{name}']) for name in with_target]
  return '  '.join(f'{name} {value:.2f} (target {target:.4g})' if target >= 1 else
                   f'{name} {value:.3e} (target {target:.3e})' for name, value, target in values)


def _set_targets(state: TrainState, targets: Mapping[str, float]) -> TrainState:
  """A replicated state with some new targets."""
  known = state.control.get('targets', {})
  if unknown := sorted(targets.keys() - known.keys()):
    logging.warning('a request asks for targets of %s, which this training has not', ', '.join(unknown))
  new = parallel.replicate({name: jnp.float32(target) for name, target in targets.items() if name in known})
  return state.replace(control=state.control | {'targets': known | new}) if new else state
