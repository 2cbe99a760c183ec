"""Descent of one loss by one optimizer, with running means of the parameters: what knows no streams and no targets."""

import dataclasses
from collections.abc import Callable

import flax.serialization
import flax.struct
import jax
import jax.numpy as jnp
import optax

from defect_jax import parallel


class DescentState(flax.struct.PyTreeNode):
  """All that a run needs to go on.

  Attributes:
    step: int32 `[]`, steps done. params: {network: tree}, what is moved. average: the running mean of it.
    opt_state: of the optimizer. frozen: tree that the loss needs and nothing moves; not kept in checkpoints.
  """
  step: jax.Array
  params: dict
  average: dict
  opt_state: tuple
  frozen: dict

  def kept(self):
    """The dict that a checkpoint holds, of a state without a device axis."""
    return flax.serialization.to_state_dict(jax.device_get(self.replace(frozen={})))

  def restored(self, kept):
    """This state, with what `kept` holds."""
    return flax.serialization.from_state_dict(self.replace(frozen={}), kept).replace(frozen=self.frozen)


@dataclasses.dataclass(frozen=True)
class Descent:
  """One step of training; everything static about it.

  Attributes:
    loss: (params, frozen, batch, keys `[b]`, slots `[b]`) -> (values `[b]`, {name: (values `[b]`, weights `[b]`)} of
      what is only to be seen). Its mean over the batch is what descends.
    optimizer: optax transform. key: PRNG key of all noise.
    decay: of the running means, so that 1 / (1 - decay) steps are looked back on; fewer in the beginning.
    pieces: parts of a device's share of the batch that go through the model one after the other, their gradients
      added up, which takes less memory.
    unrolled: whether the pieces are written out instead of looped over: on the CPU weight gradients of convolutions
      inside a loop are many times slower.
  """
  loss: Callable
  optimizer: optax.GradientTransformation
  key: jax.Array
  decay: float
  pieces: int = 1
  unrolled: bool = True

  def init(self, params, frozen):
    """DescentState before the first step."""
    return DescentState(jnp.int32(0), params, params, self.optimizer.init(params), frozen)

  def step(self, state, batch, slots):
    """One step on this device's part of the batch; runs inside pmap.

    Args:
      state: DescentState, the same on all devices. batch: dict of `[b, ...]`; weight `[b]`, 1 or 0 for padding.
      slots: `[b]`, the global batch slots of these examples: noise belongs to a slot, not to a device.

    Returns (state, metrics {name: []}), the same on all devices: loss, norm of the gradient by network, and what the
    loss shows.
    """
    at_step = jax.random.fold_in(self.key, state.step)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(at_step, slots)
    share = batch['weight'] / parallel.sum_over_devices(jnp.sum(batch['weight']))
    (value, seen), grads = parallel.sum_over_devices(self._in_pieces(state, (batch, share, keys, slots)))
    updates, opt_state = self.optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    count = state.step + 1
    decay = jnp.minimum(self.decay, count / (count + 9.))
    average = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, state.average, params)
    metrics = {'train/loss': value} | {f'train/{name}': total / jnp.maximum(weight, 1e-20)
                                       for name, (total, weight) in seen.items()}
    metrics |= {f'norm/{network}': optax.global_norm(tree) for network, tree in grads.items()}
    return state.replace(step=count, params=params, average=average, opt_state=opt_state), metrics

  def _in_pieces(self, state, whole):
    def of(piece):
      batch, share, keys, slots = piece

      def total(params):
        values, seen = self.loss(params, state.frozen, batch, keys, slots)
        sums = {name: (jnp.sum(share * of * weight), jnp.sum(share * weight)) for name, (of, weight) in seen.items()}
        return jnp.sum(share * values), sums

      return jax.value_and_grad(total, has_aux=True)(state.params)

    if self.pieces == 1:
      return of(whole)
    cut = jax.tree.map(lambda leaf: leaf.reshape(self.pieces, -1, *leaf.shape[1:]), whole)
    first = of(jax.tree.map(lambda leaf: leaf[0], cut))
    rest = jax.tree.map(lambda leaf: leaf[1:], cut)
    return jax.lax.scan(lambda total, piece: (jax.tree.map(jnp.add, total, of(piece)), None), first, rest,
                        unroll=self.pieces - 1 if self.unrolled else 1)[0]


def as_tree(params):
  """Parameters as plain dicts of NumPy arrays."""
  return flax.serialization.to_state_dict(jax.device_get(params))
