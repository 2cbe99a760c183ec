"""Batches for training: the same indices, weights and values from a set on the device or streamed from the cache.

A batch is {'image': float32 [B, S, S, C] in [0, 1], 'weight': float32 [B] (0 for padding), 'index': int32 [B]}.
"""

import contextlib
import functools
from collections.abc import Iterator, Mapping

import grain
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, Shaped

from defect_jax.data import dataset

_LAST_STEP = 2**31 - 1
Step = int | Int[Array, '']


def slots(key: Key[Array, ''], step: Step, batch: int, count: int) -> tuple[Int[Array, 'b'], Float[Array, 'b']]:
  """Which photo each slot of a step's batch takes.

  Position p = step * batch + slot walks through one permutation of the photos an epoch, keyed by (key, epoch), so
  every epoch takes each photo once and a batch may straddle two epochs. A batch larger than the set takes every photo
  once each step; its other slots are padding, of index 0 and weight 0. step is below 2**31; step * batch / count and
  batch * count must stay below 2**32. batch and count (of photos) are static. Returns indices and weights.
  """
  slot = jnp.arange(batch, dtype=jnp.uint32)
  if batch > count:
    real = slot < count
    return jnp.where(real, slot, 0).astype(jnp.int32), real.astype(jnp.float32)
  # step * batch would overflow; whole rounds of `count` steps are `batch` epochs each, only the rest is multiplied.
  step = jnp.asarray(step).astype(jnp.uint32)
  position = (step % count) * batch
  epoch = (step // count) * batch + position // count
  offset = position % count + slot
  shuffles = jax.vmap(lambda e: jax.random.permutation(jax.random.fold_in(key, e), count))(
      epoch + jnp.arange(2, dtype=jnp.uint32))  # [2, count]: this epoch's and the next one's, where the batch straddles
  return shuffles[offset // count, offset % count].astype(jnp.int32), jnp.ones(batch, jnp.float32)


def balanced(key: Key[Array, ''], step: Step, batch: int, members: Int[Array, 'k m'], counts: Int[Array, 'k'],
             ) -> tuple[Int[Array, 'b'], Float[Array, 'b']]:
  """Which photo each slot takes where every class shall come as often: classes in turn, then any photo of the class.

  members: the photos of class k in the first `counts[k]` places, of which there is at least one. Returns indices and
  weights, all 1. A slot's photo depends on key, step and slot.
  """
  slot = jnp.arange(batch, dtype=jnp.uint32)
  step, classes = jnp.asarray(step).astype(jnp.uint32), len(members)
  which = (slot + step % classes * (batch % classes)) % classes  # so that no class is the one too few at every step
  keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(key, step), slot)
  place = jax.vmap(lambda key, count: jax.random.randint(key, (), 0, count))(keys, counts[which])
  return members[which, place], jnp.ones(batch, jnp.float32)


def members_of(labels: Int[np.ndarray, 'n']) -> tuple[Int[Array, 'k m'], Int[Array, 'k']]:
  """Members and counts of `balanced`, by class."""
  by_class = [np.flatnonzero(labels == label) for label in range(int(labels.max()) + 1)]
  members = np.zeros((len(by_class), max(map(len, by_class))), np.int32)
  for label, own in enumerate(by_class):
    members[label, :len(own)] = own
  return jnp.asarray(members), jnp.asarray([len(own) for own in by_class], jnp.int32)


def gather(images: Shaped[Array, 'n s s c'], indices: Int[Array, 'b'], weights: Float[Array, 'b']) -> dict[str, Array]:
  """The batch of some photos of a resident set, float32 in [0, 1] or uint16; runs inside jit.

  uint16 halves the memory. Its conversion gives the same bits by itself, but a compiler may fuse it into what follows
  with other rounding: keep float32 where a streamed run must be matched bit for bit.
  """
  image = images[indices]
  image = image if image.dtype == jnp.float32 else dataset.as_float(image)
  return {'image': image, 'weight': weights, 'index': indices}


def gather_columns(data: Mapping[str, Array], indices: Int[Array, 'b'], weights: Float[Array, 'b']) -> dict[str, Array]:
  """The batch of some rows of arrays with a row per example, as they are."""
  return {name: column[indices] for name, column in data.items()} | {'weight': weights}


class Streamed:
  """Batches of a set that doesn't fit on the device, without an end, read ahead in threads, which `close` ends."""

  def __init__(self, photos: dataset.Dataset, key: Key[Array, ''], batch: int, start_step: int = 0, threads: int = 2,
               ahead: int = 4):
    self._photos = photos
    self._slots = jax.jit(functools.partial(slots, batch=batch, count=len(photos)))
    self._key, self._impl = jax.device_get(jax.random.key_data(key)), jax.random.key_impl(key)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=ahead)
    self._batches = iter(grain.MapDataset.range(start_step, _LAST_STEP).map(self._read).to_iter_dataset(options))

  def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
    return self

  def __next__(self) -> dict[str, np.ndarray]:
    return next(self._batches)

  def close(self) -> None:
    self._batches.close()

  def _read(self, step):
    with _on_host():
      key = jax.random.wrap_key_data(self._key, impl=self._impl)
      indices, weights = jax.device_get(self._slots(key, np.uint32(step)))
    image = np.stack([dataset.as_float(self._photos[index]) for index in indices.tolist()])
    return {'image': image, 'weight': weights, 'index': indices}


def _on_host():
  """Computes on the CPU where there is one: reading ahead mustn't queue behind the accelerator's training steps."""
  try:
    return jax.default_device(jax.local_devices(backend='cpu')[0])
  except RuntimeError:
    return contextlib.nullcontext()
