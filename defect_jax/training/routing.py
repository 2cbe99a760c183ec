"""Which loss moves what: streams, their gradients from one forward pass, and the sum of their updates.

A stream is one loss's gradient on one set of parameters. Trees of streams are {name: {path: array}}, with `/`-joined
parameter paths.
"""

import dataclasses
import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import traverse_util

from defect_jax import losses
from defect_jax.config import UserError, nearest

# What each loss is computed from, so that a pullback runs only through what it needs.
LOSSES = {'kld': ('posterior',), 'mse': ('recon',), 'elbo': ('posterior', 'recon'), 'lpips': ('recon',)}
ADAM = {'b1': 0.9, 'b2': 0.999}
EPSILON = 1e-8


@dataclasses.dataclass(frozen=True)
class Stream:
  """`loss` moves the parameters `paths` by `optimizer` at rate `lr`."""
  loss: str
  paths: tuple[str, ...]
  optimizer: str
  lr: float


class Moments(NamedTuple):
  """Bias-corrected means of a gradient and of its square, shaped like the parameter."""
  first: jax.Array
  second: jax.Array


class SharedAdamState(NamedTuple):
  """Running means: mu of the gradient, nu of its square as in Adam, nu_recent of its square with mu's memory."""
  count: jax.Array
  mu: dict
  nu: dict
  nu_recent: dict


def flat(tree):
  """{path: leaf} of nested dicts."""
  return traverse_util.flatten_dict(tree, sep='/')


def resolve(settings, params):
  """Streams of a config's settings, name to loss, params (a pattern), optimizer and lr.

  Args:
    settings: {name: {'loss', 'params', 'optimizer', 'lr'}}; the pattern matches whole paths.
    params: the parameter tree.

  Returns ({name: Stream}, sorted paths that no stream reaches). Raises UserError.
  """
  paths, streams = sorted(flat(params)), {}
  for name, setting in settings.items():
    for key, known in (('loss', LOSSES), ('optimizer', OPTIMIZERS)):
      if setting[key] not in known:
        raise UserError(f'streams.{name}.{key} = {setting[key]!r}: unknown{nearest(setting[key], known)}')
    try:
      pattern = re.compile(setting['params'])
    except re.error as error:
      raise UserError(f'streams.{name}.params = {setting["params"]!r}: not a regular expression ({error})') from error
    matched = tuple(path for path in paths if pattern.fullmatch(path))
    if not matched:
      raise UserError(f'streams.{name}.params = {setting["params"]!r}: matches none of the parameters, which are '
                      f'such as {paths[0]} and {paths[-1]}')
    streams[name] = Stream(setting['loss'], matched, setting['optimizer'], setting['lr'])
  reached = {path for stream in streams.values() for path in stream.paths}
  return streams, [path for path in paths if path not in reached]


def select(streams, params):
  """The parameters of each stream: {name: {path: array}}."""
  leaves = flat(params)
  return {name: {path: leaves[path] for path in stream.paths} for name, stream in streams.items()}


def gradients(vae, streams, params, standard, batch, noise, beta=1.0, lpips=None):
  """Gradients of every stream from one forward pass and one pullback for each distinct loss.

  Args:
    vae: object with encode and decode, see models.vae.
    streams: {name: Stream}.
    params: {'encoder': tree, 'decoder': tree}. standard: models.vae.Standard.
    batch: image `[B, H, W, C]`, weight `[B]`; the weights are each example's share of the whole mean, so that sums
      over devices are means. Where it holds `input` `[B, H, W, C]`, that is encoded, and still `image` is to come out
      (a denoising VAE).
    noise: `[B, Z]`. beta: weight of the KLD in the loss `elbo`.
    lpips: (recon, image) -> `[B]`, the loss `lpips`, where a stream has it.

  Returns values {'kld': [], 'mse': []}, with 'lpips' where a stream has it, and grads {name: {path: array}}, both this
  device's share of the sum.
  """
  image, weight = batch['image'], batch['weight']

  def total(name, posterior, recon):
    if name == 'lpips':
      return jnp.sum(weight * lpips(recon, image))
    kld = losses.kld(posterior.mean, posterior.logvar)  # [B]
    mse = losses.mse(recon, image)  # [B]
    pixels = image[0].size
    per_example = {'kld': kld, 'mse': mse, 'elbo': losses.elbo(kld, mse, beta, pixels)}[name]
    return jnp.sum(weight * per_example)

  posterior, pull_encoder = jax.vjp(lambda p: vae.encode(p, standard, batch.get('input', image)), params['encoder'])
  recon, pull_decoder = jax.vjp(lambda p, q: vae.decode(p, standard, q.sample(noise)), params['decoder'], posterior)
  moving = {stream.loss for stream in streams.values()}
  values = {name: total(name, posterior, recon) for name in ('kld', 'mse', *({'lpips'} & moving))}

  by_loss = {}
  for loss in sorted(moving):
    by_posterior, by_recon = jax.grad(total, (1, 2))(loss, posterior, recon)
    moved = {}
    if 'recon' in LOSSES[loss]:
      moved['decoder'], through_decoder = pull_decoder(by_recon)
      by_posterior = jax.tree.map(jnp.add, by_posterior, through_decoder)
    moved['encoder'], = pull_encoder(by_posterior)
    by_loss[loss] = flat(moved)
  # What a stream does not take is never computed: the compiler drops it.
  return values, {name: {path: _reached(by_loss[stream.loss], path, params) for path in stream.paths}
                  for name, stream in streams.items()}


def _reached(grads, path, params):
  """A loss's gradient at `path`; zero where the loss does not depend on it, such as the KLD on the decoder."""
  return grads[path] if path in grads else jnp.zeros_like(flat(params)[path])


def _moments(b1, b2):
  """First half of Adam (Kingma and Ba 2015): Moments in place of updates; `combine` divides them.

  The mean square is the larger of Adam's and the one with the first moment's memory, so that by Jensen's inequality
  no direction is longer than 1. Adam's alone, of decay b2, stays tiny for hundreds of steps after a quiet stretch:
  a changed target would then be answered by steps of several times the rate.
  """
  def init(params):
    zeros = jax.tree.map(jnp.zeros_like, params)
    return SharedAdamState(jnp.zeros([], jnp.int32), zeros, zeros, zeros)

  def update(grads, state, params=None):
    del params
    count = optax.safe_increment(state.count)
    mu = optax.tree.update_moment(grads, state.mu, b1, 1)
    nu = optax.tree.update_moment(grads, state.nu, b2, 2)
    nu_recent = optax.tree.update_moment(grads, state.nu_recent, b1, 2)
    first, second, recent = (optax.tree.bias_correction(moment, decay, count)
                             for moment, decay in ((mu, b1), (nu, b2), (nu_recent, b1)))
    moments = jax.tree.map(lambda m, v, w: Moments(m, jnp.maximum(v, w)), first, second, recent)
    return moments, SharedAdamState(count, mu, nu, nu_recent)

  return optax.GradientTransformation(init, update)


OPTIMIZERS = {
    # Adam whose denominator is made of all such streams that move a parameter; see `combine`.
    'adam_shared': lambda: _moments(**ADAM),
    'adam': lambda: optax.scale_by_adam(**ADAM),
    'momentum': lambda: optax.trace(0.9),
    'sgd': optax.identity,
}


def make_transform(streams):
  """optax.multi_transform over trees of streams: each stream has a transform and a state of its own."""
  transforms = {name: OPTIMIZERS[stream.optimizer]() for name, stream in streams.items()}
  return optax.multi_transform(transforms, {name: name for name in streams})


def weighted(streams, grads, weights):
  """Gradients times the weight of their loss, which `adam_shared` takes in `combine` instead."""
  return {name: tree if streams[name].optimizer == 'adam_shared'
          else jax.tree.map(lambda g, w=weights[streams[name].loss]: w * g, tree) for name, tree in grads.items()}


def combine(streams, directions, weights, gains):
  """What each stream adds to its parameters.

  A stream moves by -lr * gain * direction. With `adam_shared` the direction at a parameter is w m / sqrt(sum of
  (w_k)^2 v_k), the sum over all such streams k that reach it, with their losses' weights w and own moments m and v. So
  the weights act at once, opposite streams balance where the weighted sum of the gradients vanishes, as with one Adam
  on the sum, and a stream alone never moves a parameter by more than its rate.

  Args:
    streams: {name: Stream}. directions: what multi_transform made of the gradients.
    weights: {loss: []}. gains: {name: []}.

  Returns {name: {path: array}}.
  """
  shared = [name for name, stream in streams.items() if stream.optimizer == 'adam_shared']
  squares = {}  # path: sum of (w_k)^2 v_k
  for name in shared:
    for path, moments in directions[name].items():
      squares[path] = squares.get(path, 0.) + jnp.square(weights[streams[name].loss]) * moments.second

  def step(name, path, direction):
    stream = streams[name]
    if name in shared:
      direction = weights[stream.loss] * direction.first / (jnp.sqrt(squares[path]) + EPSILON)
    return -stream.lr * gains[name] * direction

  return {name: {path: step(name, path, direction) for path, direction in directions[name].items()}
          for name in streams}


def apply(params, updates):
  """Adds the updates of all streams to the parameters they reach."""
  leaves = flat(params)
  for tree in updates.values():
    for path, update in tree.items():
      leaves[path] = leaves[path] + update.astype(leaves[path].dtype)
  return traverse_util.unflatten_dict(leaves, sep='/')
