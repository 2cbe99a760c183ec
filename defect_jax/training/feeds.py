"""Brings batches to the training step: from a set that stays on the devices, or streamed. Both give the same run."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from defect_jax import parallel
from defect_jax.data import batches
from defect_jax.data.dataset import Dataset
from defect_jax.training.loop import Rows
from defect_jax.training.trainer import Trainer, TrainState

Images = Dataset | Mapping[str, np.ndarray]
Gather = Callable[[Any, Int[Array, 'b'], Float[Array, 'b']], Mapping[str, Array]]
Draw = Callable[[Key[Array, ''], Int[Array, ''], int], tuple[Int[Array, 'b'], Float[Array, 'b']]]
_FUSED = 10  # steps per call on accelerators


def _padded(batch, indices, weights):
  """What was drawn, padded with weight 0 to a multiple of the device count."""
  missing = parallel.padded(batch) - batch
  return jnp.pad(indices, (0, missing)), jnp.pad(weights, (0, missing))


class _Compiled:
  """A pmapped function that is compiled at its first call; `seconds` is how long that took."""

  def __init__(self, function: Callable[..., Any], donate: tuple[int, ...]):
    self._function, self.seconds = parallel.pmap(function, donate=donate), 0.
    self._compiled: Any = None

  def __call__(self, *arguments: Any) -> Any:
    if self._compiled is None:
      began = time.monotonic()
      self._compiled = parallel.compiled(self._function.lower(*arguments))
      self.seconds = time.monotonic() - began
    return self._compiled(*arguments)


class Feed(Protocol):
  """Makes steps: brings batches to a Trainer."""
  images: int  # that a step trains on

  @property
  def compile_seconds(self) -> float: ...

  def advance(self, state: TrainState, steps: int) -> tuple[TrainState, Rows]:
    """`steps` steps from a replicated state, and the metrics of each."""

  def close(self) -> None:
    """Ends the reading threads, where there are any."""


def open_feed(trainer: Trainer, images: Images, batch: int, key: Key[Array, ''], first_step: int,
              gather: Gather = batches.gather, draw: Draw | None = None, resident_mb: float = np.inf) -> Feed:
  """A ResidentFeed of arrays; of a Dataset too, unless as float32 it is larger than `resident_mb`: then streamed."""
  if isinstance(images, Mapping):
    return ResidentFeed(trainer, images, batch, key, _fused(), gather, draw)
  size = 2 * images.nbytes / 2**20
  if size > resident_mb:
    print(f'{size:.0f} MB of photos are streamed (data.resident_mb = {resident_mb:g})', flush=True)
    return StreamedFeed(trainer, images, batch, key, first_step)
  return ResidentFeed(trainer, images.images(), batch, key, _fused(), gather, draw)


def _fused():
  return 1 if jax.default_backend() == 'cpu' else _FUSED


class ResidentFeed:
  """Steps over images float32 `[N, S, S, C]` that stay on every device; or over a dict of arrays `[N, ...]`."""

  def __init__(self, trainer: Trainer, images: Float[np.ndarray, 'n s s c'] | Mapping[str, np.ndarray], batch: int,
               key: Key[Array, ''], fused: int, gather: Gather = batches.gather, draw: Draw | None = None):
    """batch: slots per step. key: of their order. fused: steps per call. gather: (images, indices `[b]`, weights `[b]`)
    to a batch. draw: (key, step, batch) to indices and weights `[batch]`, by default batches.slots.

    `fused` above 1 saves calls on accelerators. On the CPU weight gradients of convolutions inside a loop are many
    times slower, so there it has to be 1.
    """
    self._images = parallel.replicate(jax.tree.map(jnp.asarray, images))
    self._fused = fused
    count = len(jax.tree.leaves(images)[0])
    self.images = batch if draw else min(batch, count)

    def one(state, images):
      slots = parallel.own_slots(batch)
      drawn = draw(key, state.step, batch) if draw else batches.slots(key, state.step, batch, count)
      indices, weights = _padded(batch, *drawn)
      return trainer.step(state, gather(images, indices[slots], weights[slots]), slots)

    def many(state, images):
      return jax.lax.scan(lambda state, _: one(state, images), state, length=fused)

    self._one, self._many = _Compiled(one, (0,)), _Compiled(many, (0,))

  @property
  def compile_seconds(self) -> float:
    return self._one.seconds + self._many.seconds

  def advance(self, state: TrainState, steps: int) -> tuple[TrainState, Rows]:
    """See Feed."""
    rows = []
    while steps:
      if 1 < self._fused <= steps:
        state, metrics = self._many(state, self._images)
        rows.append(metrics)
        steps -= self._fused
      else:
        state, metrics = self._one(state, self._images)
        rows.append({name: value[:, None] for name, value in metrics.items()})
        steps -= 1
    return state, _joined(rows)

  def close(self) -> None:
    """Nothing to end."""


class StreamedFeed:
  """Steps over a photo set that is read from its cache while the devices work."""

  def __init__(self, trainer: Trainer, photo_set: Dataset, batch: int, key: Key[Array, ''], first_step: int):
    self.images = min(batch, len(photo_set))
    self._batches = batches.Streamed(photo_set, key, batch, first_step)
    self._missing = parallel.padded(batch) - batch

    def one(state, piece):
      return trainer.step(state, piece, parallel.own_slots(batch))

    self._one = _Compiled(one, (0,))

  @property
  def compile_seconds(self) -> float:
    return self._one.seconds

  def advance(self, state: TrainState, steps: int) -> tuple[TrainState, Rows]:
    """See Feed."""
    rows = []
    for _ in range(steps):
      batch = next(self._batches)
      batch = {name: np.pad(array, [(0, self._missing)] + [(0, 0)] * (array.ndim - 1)) for name, array in batch.items()}
      state, metrics = self._one(state, parallel.shard(batch))
      rows.append({name: value[:, None] for name, value in metrics.items()})
    return state, _joined(rows)

  def close(self) -> None:
    """Ends the reading threads."""
    self._batches.close()


def _joined(rows):
  """Metrics of several calls, each {name: `[devices, n]`}, as {name: NumPy `[steps]`} of the first device."""
  rows = jax.device_get([parallel.first(row) for row in rows])
  return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
