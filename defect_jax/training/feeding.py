"""Brings batches to the training step: from a set that stays on the devices, or streamed. Both give the same run."""

import time

import jax
import jax.numpy as jnp
import numpy as np

from defect_jax import parallel
from defect_jax.data import batches


def _padded(batch, indices, weights):
  """What was drawn, padded with weight 0 to a multiple of the device count."""
  missing = parallel.padded(batch) - batch
  return jnp.pad(indices, (0, missing)), jnp.pad(weights, (0, missing))


class _Compiled:
  """A pmapped function that is compiled at its first call; `seconds` is how long that took."""

  def __init__(self, function, donate):
    self._function, self._compiled, self.seconds = parallel.pmap(function, donate=donate), None, 0.

  def __call__(self, *arguments):
    if self._compiled is None:
      began = time.monotonic()
      self._compiled = parallel.compiled(self._function.lower(*arguments))
      self.seconds = time.monotonic() - began
    return self._compiled(*arguments)


class ResidentFeed:
  """Steps over images float32 `[N, S, S, C]` that stay on every device; or over a dict of arrays `[N, ...]`."""

  def __init__(self, trainer, images, batch, key, fused, gather=batches.gather, draw=None):
    """Takes a Trainer, the images, the slots a step, the key of their order, how many steps one call makes, what makes
    a batch: (images, indices `[b]`, weights `[b]`) -> dict, and what draws it: (key, step, batch) -> (indices
    `[batch]`, weights `[batch]`), by default batches.slots.

    `fused` above 1 saves calls on accelerators. On the CPU weight gradients of convolutions inside a loop are many
    times slower, so there it has to be 1.
    """
    self._images = parallel.replicate(jax.tree.map(jnp.asarray, images))
    self._fused = fused
    count = len(jax.tree.leaves(images)[0])

    def one(state, images):
      slots = parallel.own_slots(batch)
      drawn = draw(key, state.step, batch) if draw else batches.slots(key, state.step, batch, count)
      indices, weights = _padded(batch, *drawn)
      return trainer.step(state, gather(images, indices[slots], weights[slots]), slots)

    def many(state, images):
      return jax.lax.scan(lambda state, _: one(state, images), state, length=fused)

    self._one, self._many = _Compiled(one, (0,)), _Compiled(many, (0,))

  @property
  def compile_seconds(self):
    return self._one.seconds + self._many.seconds

  def advance(self, state, steps):
    """`steps` steps from a replicated state; returns (state, metrics {name: NumPy `[steps]`})."""
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

  def close(self):
    """Nothing to end."""


class StreamedFeed:
  """Steps over a photo set that is read from its cache while the devices work."""

  def __init__(self, trainer, photo_set, batch, key, first_step):
    self._batches = batches.Streamed(photo_set, key, batch, first_step)
    self._missing = parallel.padded(batch) - batch

    def one(state, piece):
      return trainer.step(state, piece, parallel.own_slots(batch))

    self._one = _Compiled(one, (0,))

  @property
  def compile_seconds(self):
    return self._one.seconds

  def advance(self, state, steps):
    """As ResidentFeed.advance."""
    rows = []
    for _ in range(steps):
      batch = next(self._batches)
      batch = {name: np.pad(array, [(0, self._missing)] + [(0, 0)] * (array.ndim - 1)) for name, array in batch.items()}
      state, metrics = self._one(state, parallel.shard(batch))
      rows.append({name: value[:, None] for name, value in metrics.items()})
    return state, _joined(rows)

  def close(self):
    """Ends the reading threads."""
    self._batches.close()


def _joined(rows):
  """Metrics of several calls, each {name: `[devices, n]`}, as {name: NumPy `[steps]`} of the first device."""
  rows = jax.device_get([parallel.first(row) for row in rows])
  return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
