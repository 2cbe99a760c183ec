"""Devices and batches: one program on every local device by pmap, or on arrays in equal chunks."""

import operator
import re
import resource
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

Tree = Any  # of arrays
AXIS = 'devices'
_STATUS = Path('/proc/self/status')
# XLA's own kernels for all but sums: on 2 cores a tenth faster than jaxlib 0.10's default.
_OPTIONS = {'cpu': {'xla_cpu_experimental_ynn_fusion_type': 'LIBRARY_FUSION_TYPE_REDUCE'}}


def devices() -> int:
  """How many local devices take part."""
  return jax.local_device_count()


def pmap(function: Callable[..., Any], *, donate: Sequence[int] = ()) -> Any:
  """`function` on every device: arguments, of which those of `donate` may be overwritten, and results by device."""
  # None are on the CPU, where XLA first copies what is read once more: a tenth of a training step of a UNet.
  return jax.pmap(function, axis_name=AXIS, donate_argnums=() if jax.default_backend() == 'cpu' else donate)


def compiled(lowered: jax.stages.Lowered) -> jax.stages.Compiled:
  """The program of what jax.pmap or jax.jit lowered, by the fastest kernels known."""
  return lowered.compile(_OPTIONS.get(jax.default_backend()))


def sum_over_devices(tree: Tree) -> Tree:
  """Inside pmap: the sum of every leaf over all devices."""
  return jax.lax.psum(tree, AXIS)


def replicate(tree: Tree) -> Tree:
  """A copy of every leaf on every device, with a leading device axis."""
  mesh = jax.sharding.Mesh(np.array(jax.local_devices()), (AXIS,))
  by_device = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(AXIS))
  return jax.tree.map(lambda leaf: jax.device_put(np.broadcast_to(leaf, (devices(), *np.shape(leaf))), by_device), tree)


def first(tree: Tree) -> Tree:
  """The first device's copy of a replicated tree."""
  # From that device alone: an index over the device axis would be a program of all of them with a sum between them, and
  # several of those under way at once can wait for each other on CPUs for ever.
  return jax.tree.map(lambda leaf: leaf.addressable_data(0)[0], tree)


def to_host(tree: Tree) -> Tree:
  """A tree as plain dicts of NumPy arrays."""
  return flax.serialization.to_state_dict(jax.device_get(tree))


def padded(batch: int) -> int:
  """`batch` rounded up to a multiple of the device count."""
  return -(-batch // devices()) * devices()


def own_slots(batch: int) -> Int[Array, 'b']:
  """Inside pmap: the global slots of this device, padded(batch) / devices of them."""
  share = padded(batch) // devices()
  return jax.lax.axis_index(AXIS) * share + jnp.arange(share)


def shard(tree: Tree) -> Tree:
  """Cuts the leading axis of every leaf, a multiple of the device count, into one piece a device."""
  return jax.tree.map(lambda leaf: leaf.reshape(devices(), -1, *leaf.shape[1:]), tree)


def chunks(function: Callable[[Tree], Tree], arrays: Tree, size: int) -> Iterator[Tree]:
  """NumPy results of `function` for `size` rows of `arrays` after another, so that memory stays bounded.

  The last rows are padded with zeros, so that the program is compiled once; results of the padding are left out.
  `function` is to have a network's parameters as arguments of the program that it calls (functools.partial): as
  constants they would be compiled into a program of their own.
  """
  count = len(jax.tree.leaves(arrays)[0])
  for start in range(0, count, size):
    rows = min(size, count - start)
    chunk = jax.tree.map(
        lambda leaf, lo=start, n=rows: np.pad(leaf[lo:lo + n], [(0, size - n)] + [(0, 0)] * (leaf.ndim - 1)), arrays)
    yield jax.tree.map(operator.itemgetter(slice(rows)), jax.device_get(function(chunk)))


def in_chunks(function: Callable[[Tree], Tree], arrays: Tree, size: int) -> Tree:
  """The results of `chunks` joined: a tree of `[n, ...]`; n is at least 1."""
  return jax.tree.map(lambda *leaves: np.concatenate(leaves), *chunks(function, arrays, size))


def keep_compiled(folder: str | Path) -> None:
  """Has programs that took a second or more to compile kept in `folder`, unless JAX is set to another."""
  if jax.config.jax_compilation_cache_dir is None:
    jax.config.update('jax_compilation_cache_dir', str(folder))


def machine() -> dict[str, Any]:
  """What a summary says of this process: devices, platform, peak_memory_mb."""
  # The kernel's high-water mark where there is one: getrusage's is inherited from a larger process that started this.
  high_water = re.search(r'VmHWM:\s+(\d+) kB', _STATUS.read_text()) if _STATUS.exists() else None
  peak = int(high_water[1]) if high_water else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return {'devices': devices(), 'platform': jax.default_backend(), 'peak_memory_mb': peak / 1024}
