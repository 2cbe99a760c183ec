"""The state of a training run and the pure step from one to the next, for every kind of model."""

import collections
import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import flax.serialization
import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from defect_jax import parallel
from defect_jax.losses import Loss, Outputs
from defect_jax.models.normalization import Normalizer
from defect_jax.training import routing
from defect_jax.training.control import CONSTANT, Control
from defect_jax.training.routing import Batch, Params, Streams, StreamTree

Metrics = dict[str, Float[Array, '']]


class TrainState(flax.struct.PyTreeNode):
  """All that a run needs to go on.

  Attributes:
    step: steps done. params: {network: tree}, what is moved. average: their running mean; empty where none is kept.
    opt_state: of multi_transform. control: of the controller, with the targets; empty where there are none.
    normalizer: of the training photos; empty where the model has none of its own.
    frozen: what the model needs and nothing moves; not kept in checkpoints.
  """
  step: Int[Array, '']
  params: Params
  average: Params
  opt_state: Any
  control: dict[str, Any]
  normalizer: Any = ()
  frozen: Mapping[str, Any] = flax.struct.field(default_factory=dict)

  @property
  def result(self) -> Params:
    """The parameters that the run is for."""
    return self.average or self.params

  def state_dict(self) -> dict[str, Any]:
    """The dict that a checkpoint holds, of a state without a device axis."""
    kept = parallel.to_host(self.replace(frozen={}))
    return {name: value for name, value in kept.items() if name != 'frozen'}

  def restore(self, kept: Mapping[str, Any]) -> 'TrainState':
    """This state, with what `state_dict` gave."""
    return flax.serialization.from_state_dict(self, {**kept, 'frozen': flax.serialization.to_state_dict(self.frozen)})


class Model(Protocol):
  """What is trained, as pure functions."""

  def inputs(self, batch: Batch, keys: Key[Array, 'b'], slots: Int[Array, 'b']) -> Batch:
    """A batch as the model takes it: augmented, with its noise. `keys` belong to (seed, step, slot)."""

  def outputs(self, params: Params, state: TrainState, batch: Batch) -> Outputs:
    """What the losses need, of these parameters and what is constant in the state."""


@dataclasses.dataclass(frozen=True)
class Trainer:
  """One step of training; everything static about it.

  Attributes:
    losses: those that streams name and those that are only reported.
    key: of all noise and augmentation.
    decay: of the running mean of the parameters (Polyak and Juditsky 1992), which begins at the first ones; 0 keeps
      none. warm: whether it looks back on fewer steps in the beginning.
    microbatches: parts of a device's share of the batch that go through the model one by one, which takes less memory.
    unroll: whether these are written out: on the CPU weight gradients of convolutions inside a loop are many times
      slower.
  """
  model: Model
  losses: Mapping[str, Loss]
  streams: Streams
  key: Key[Array, '']
  control: Control = CONSTANT
  decay: float = 0.
  warm: bool = False
  microbatches: int = 1
  unroll: bool = True

  def init(self, params: Params, *, normalizer: Normalizer | tuple[()] = (), frozen: Mapping[str, Any] | None = None,
           targets: Mapping[str, float] | None = None) -> TrainState:
    """TrainState before the first step."""
    transform = routing.make_transform(self.streams)
    return TrainState(jnp.int32(0), params, params if self.decay or self.warm else {},
                      transform.init(routing.select(self.streams, params)), self.control.init(targets or {}),
                      normalizer, frozen or {})

  def step(self, state: TrainState, batch: Batch, slots: Int[Array, 'b']) -> tuple[TrainState, Metrics]:
    """One step on this device's part of the batch, the same on all devices; runs inside pmap.

    batch: with weight `[b]`, 1 or 0 for padding. slots: global ones: noise belongs to a slot, not to a device.
    """
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(self.key, state.step), slots)
    share = batch['weight'] / parallel.sum_over_devices(jnp.sum(batch['weight']))
    sums, grads = parallel.sum_over_devices(self._in_microbatches(state, (batch, share, keys, slots)))
    values = {name: value[0] / jnp.maximum(value[1], 1e-20) if isinstance(value, tuple) else value
              for name, value in sums.items()}
    return self.update(state, values, grads)

  def _in_microbatches(self, state, whole):
    def gradients(part):
      batch, share, keys, slots = part
      batch = {**self.model.inputs(batch, keys, slots), 'beta': state.control.get('beta')}
      return routing.gradients(lambda params: self.model.outputs(params, state, batch), self.losses, self.streams,
                               state.params, batch, share)

    if self.microbatches == 1:
      return gradients(whole)
    cut = jax.tree.map(lambda leaf: leaf.reshape(self.microbatches, -1, *leaf.shape[1:]), whole)
    first, rest = gradients(jax.tree.map(lambda leaf: leaf[0], cut)), jax.tree.map(lambda leaf: leaf[1:], cut)
    return jax.lax.scan(lambda total, part: (jax.tree.map(jnp.add, total, gradients(part)), None), first, rest,
                        unroll=self.microbatches - 1 if self.unroll else 1)[0]

  def update(self, state: TrainState, values: Mapping[str, Float[Array, '']], grads: StreamTree
             ) -> tuple[TrainState, Metrics]:
    """Moves the parameters by the streams' gradients: controller, multi_transform, sum of updates."""
    control, weights, gains = self.control(self.streams, state.control, values)
    directions, opt_state = routing.make_transform(self.streams).update(
        routing.weighted(self.streams, grads, weights), state.opt_state, routing.select(self.streams, state.params))
    updates = routing.combine(self.streams, directions, weights, gains)
    metrics = {f'train/{name}': value for name, value in values.items()}
    metrics |= {f'norm/{name}': optax.global_norm(tree) for name, tree in grads.items()}
    if state.control:
      metrics |= self._of_control(state.control['targets'], updates, weights, gains)
    if {'E1', 'E2'} <= self.streams.keys():
      metrics |= {f'cosine/{name}': value for name, value in cosines(grads['E1'], grads['E2']).items()}
    params = routing.apply(state.params, updates)
    return state.replace(step=state.step + 1, params=params, opt_state=opt_state, control=control,
                         average=self._averaged(state, params)), metrics

  def _averaged(self, state, params):
    if not (self.decay or self.warm):
      return {}
    count = state.step + 1
    decay = jnp.minimum(self.decay, count / (count + 9.)) if self.warm else self.decay
    return jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, state.average, params)

  def _of_control(self, targets, updates, weights, gains):
    """Metrics of what the controller does."""
    metrics = {f'target/{name}': target for name, target in targets.items()}
    for name, stream in self.streams.items():
      weight = ('kld', 'beta') if self.losses[stream.loss].is_sum else (stream.loss, stream.loss)
      metrics |= {f'gain/{name}': gains[name], f'update/{name}': optax.global_norm(updates[name]),
                  f'weight/{weight[0]}': weights[weight[1]]}
    return metrics

  def recorded(self, state: TrainState) -> list[str]:
    """Names of the metrics whose value of every step is kept: losses with their targets, or what moves something."""
    if state.control:
      return [f'{kind}/{name}' for kind in ('train', 'target') for name in state.control['targets']]
    return [f'train/{name}' for name in sorted({stream.loss for stream in self.streams.values()})]


def cosines(a: Mapping[str, Array], b: Mapping[str, Array]) -> Metrics:
  """Cosines of the angle of two trees {path: array}: `E1_E2` over all paths they share, and by layer.

  A layer is a path without its last part, the kernel or bias. 0 where the trees share no path.
  """
  parts = collections.defaultdict(lambda: jnp.zeros(3))  # layer: product, square of a, square of b
  for path in sorted(a.keys() & b.keys()):
    layer = path.rpartition('/')[0]
    parts[layer] += jnp.stack([jnp.vdot(a[path], b[path]), jnp.vdot(a[path], a[path]), jnp.vdot(b[path], b[path])])
  parts['E1_E2'] = sum(parts.values(), jnp.zeros(3))
  return {name: product / jnp.maximum(jnp.sqrt(of_a) * jnp.sqrt(of_b), 1e-20)
          for name, (product, of_a, of_b) in parts.items()}
