"""Brings batches to the training step: from a set that stays on the devices, or streamed. Both give the same run."""

import time
from collections.abc import Callable, Mapping
from typing import Any

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
Draw = Callable[[Any, Key[Array, ''], Int[Array, ''], int], tuple[Int[Array, 'b'], Float[Array, 'b']]]
_FUSED = 10  # steps per call on accelerators


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


class Feed:
  """Makes steps: brings batches to a Trainer."""
  images: int  # that a step trains on
  _programs: tuple[_Compiled, ...]

  @property
  def compile_seconds(self) -> float:
    return sum(program.seconds for program in self._programs)

  def advance(self, state: TrainState, steps: int) -> tuple[TrainState, Rows]:
    """`steps` steps from a replicated state, and the metrics of each, of the first device."""
    rows = []
    while steps:
      done, state, metrics = self._call(state, steps)
      rows.append(metrics if done > 1 else {name: value[:, None] for name, value in metrics.items()})
      steps -= done
    rows = jax.device_get([parallel.first(row) for row in rows])
    return state, {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

  def close(self) -> None:
    """Ends the reading threads, where there are any."""

  def _call(self, state: TrainState, steps: int) -> tuple[int, TrainState, Mapping[str, Array]]:
    """Runs one program, of at most `steps` steps: their number, the state, and metrics `[devices]` or of each step."""
    raise NotImplementedError


def open_feed(trainer: Trainer, images: Images, batch: int, key: Key[Array, ''], first_step: int,
              gather: Gather = batches.gather, draw: Draw | None = None, resident_mb: float = np.inf) -> Feed:
  """A ResidentFeed of arrays; of a Dataset too, unless as float32 it is larger than `resident_mb`: then streamed."""
  if not isinstance(images, Mapping) and (size := 2 * images.nbytes / 2**20) > resident_mb:
    print(f'{size:.0f} MB of photos are streamed (data.resident_mb = {resident_mb:g})', flush=True)
    return StreamedFeed(trainer, images, batch, key, first_step)
  arrays = images if isinstance(images, Mapping) else images.images()
  return ResidentFeed(trainer, arrays, batch, key, 1 if jax.default_backend() == 'cpu' else _FUSED, gather, draw)


class ResidentFeed(Feed):
  """Steps over images float32 `[N, S, S, C]` that stay on every device; or over a dict of arrays `[N, ...]`."""

  def __init__(self, trainer: Trainer, images: Float[np.ndarray, 'n s s c'] | Mapping[str, np.ndarray], batch: int,
               key: Key[Array, ''], fused: int, gather: Gather = batches.gather, draw: Draw | None = None):
    """batch: slots per step. key: of their order. fused: steps per call. gather: (images, indices `[b]`, weights `[b]`)
    to a batch. draw: (images, key, step, batch) to indices and weights `[batch]`, by default batches.slots.

    `fused` above 1 saves calls on accelerators. On the CPU weight gradients of convolutions inside a loop are many
    times slower, so there it has to be 1.
    """
    self._images = parallel.replicate(jax.tree.map(jnp.asarray, images))
    self._fused = fused
    count = len(jax.tree.leaves(images)[0])
    self.images = batch if draw else min(batch, count)
    missing = parallel.padded(batch) - batch

    def one(state, images):
      slots = parallel.own_slots(batch)
      drawn = draw(images, key, state.step, batch) if draw else batches.slots(key, state.step, batch, count)
      indices, weights = (jnp.pad(array, (0, missing)) for array in drawn)
      return trainer.step(state, gather(images, indices[slots], weights[slots]), slots)

    def many(state, images):
      return jax.lax.scan(lambda state, _: one(state, images), state, length=fused)

    self._programs = _Compiled(one, (0,)), _Compiled(many, (0,))

  def _call(self, state, steps):
    fused = 1 < self._fused <= steps
    return self._fused if fused else 1, *self._programs[fused](state, self._images)


class StreamedFeed(Feed):
  """Steps over a photo set that is read from its cache while the devices work."""

  def __init__(self, trainer: Trainer, photo_set: Dataset, batch: int, key: Key[Array, ''], first_step: int):
    self.images = min(batch, len(photo_set))
    self._batches = batches.Streamed(photo_set, key, batch, first_step)
    self._missing = parallel.padded(batch) - batch
    self._programs = _Compiled(lambda state, part: trainer.step(state, part, parallel.own_slots(batch)), (0,)),

  def _call(self, state, steps):
    batch = {name: np.pad(array, [(0, self._missing)] + [(0, 0)] * (array.ndim - 1))
             for name, array in next(self._batches).items()}
    return 1, *self._programs[0](state, parallel.shard(batch))

  def close(self) -> None:
    self._batches.close()
