"""The state of a training run and the pure step from one to the next."""

import collections
import dataclasses
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import optax

from defect_jax import parallel
from defect_jax.training import routing


class TrainState(flax.struct.PyTreeNode):
  """All that a run needs to go on.

  Attributes:
    step: int32 `[]`, steps done. params: {'encoder', 'decoder'}. standard: models.vae.Standard of the training photos.
    opt_state: of multi_transform. control: of the controller, with the targets.
    average: running mean of the parameters, shaped like params; empty where none is kept.
  """
  step: jax.Array
  params: dict
  standard: tuple
  opt_state: tuple
  control: dict
  average: dict

  @property
  def result(self):
    """The parameters that the run is for."""
    return self.average or self.params


@dataclasses.dataclass(frozen=True)
class Trainer:
  """One step of training; everything static about it.

  Attributes:
    vae: models.vae.Vae. streams: {name: routing.Stream}. control: control.Control.
    key: PRNG key of the run's noise and augmentation.
    augment: (images, keys `[B]`) -> images.
    lpips: (recon, image) -> `[B]`, needed where a stream has that loss.
    corrupt: the same, of what the encoder alone sees, so that it learns to leave out what is added; or None.
    average: decay a step of the running mean of the parameters (Polyak and Juditsky 1992), which begins at the first
      ones; 0 keeps none.
  """
  vae: object
  streams: dict
  control: Callable
  key: jax.Array
  augment: Callable
  lpips: Callable | None = None
  corrupt: Callable | None = None
  average: float = 0.

  def init(self, params, standard, targets):
    """TrainState before the first step."""
    transform = routing.make_transform(self.streams)
    return TrainState(jnp.int32(0), params, standard, transform.init(routing.select(self.streams, params)),
                      self.control.init(targets), params if self.average else {})

  def step(self, state, batch, slots):
    """One step on this device's part of the batch; runs inside pmap.

    Args:
      state: TrainState, the same on all devices.
      batch: image `[b, H, W, C]`, weight `[b]`, 1 or 0 for padding.
      slots: `[b]`, the global batch slots of these examples: noise belongs to a slot, not to a device.

    Returns (state, metrics {name: []}), the same on all devices.
    """
    at_step = jax.random.fold_in(self.key, state.step)
    by_slot = jax.vmap(jax.random.fold_in, (None, 0))(at_step, slots)
    for_noise, for_augment = jax.vmap(jax.random.split, out_axes=1)(by_slot)
    noise = jax.vmap(lambda key: jax.random.normal(key, (self.vae.latent,)))(for_noise)  # [b, Z]
    batch = {'image': self.augment(batch['image'], for_augment),
             'weight': batch['weight'] / parallel.sum_over_devices(jnp.sum(batch['weight']))}
    if self.corrupt:
      batch['input'] = self.corrupt(batch['image'], jax.vmap(jax.random.fold_in, (0, None))(for_augment, 1))
    values, grads = parallel.sum_over_devices(routing.gradients(
        self.vae, self.streams, state.params, state.standard, batch, noise, state.control['beta'], self.lpips))
    return self.update(state, values, grads)

  def update(self, state, values, grads):
    """Moves the parameters by the streams' gradients: controller, multi_transform, sum of updates."""
    control, weights, gains = self.control(self.streams, state.control, values)
    directions, opt_state = routing.make_transform(self.streams).update(
        routing.weighted(self.streams, grads, weights), state.opt_state, routing.select(self.streams, state.params))
    updates = routing.combine(self.streams, directions, weights, gains)
    metrics = self._metrics(values, state.control['targets'], grads, updates, weights, gains)
    params = routing.apply(state.params, updates)
    average = optax.incremental_update(params, state.average, 1 - self.average) if self.average else {}
    return state.replace(step=state.step + 1, params=params, opt_state=opt_state, control=control,
                         average=average), metrics

  def _metrics(self, values, targets, grads, updates, weights, gains):
    metrics = {f'train/{name}': value for name, value in values.items()}
    metrics |= {f'target/{name}': target for name, target in targets.items()}
    for name, stream in self.streams.items():
      metrics[f'gain/{name}'] = gains[name]
      metrics[f'norm/{name}'] = optax.global_norm(grads[name])
      metrics[f'update/{name}'] = optax.global_norm(updates[name])
      if stream.loss in values:
        metrics[f'weight/{stream.loss}'] = weights[stream.loss]
      else:
        metrics['weight/kld'] = weights['beta']
    if {'E1', 'E2'} <= self.streams.keys():
      metrics |= {f'cosine/{name}': value for name, value in cosines(grads['E1'], grads['E2']).items()}
    return metrics


def cosines(a, b):
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
