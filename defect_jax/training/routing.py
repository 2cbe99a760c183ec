"""Which loss moves what: streams, their gradients from one forward pass, and the sum of their updates.

A stream is one loss's gradient on one set of parameters. Trees of streams are {name: {path: array}}, with `/`-joined
parameter paths.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import traverse_util
from jaxtyping import Array, Float

from defect_jax.config import UserError, nearest
from defect_jax.losses import Loss, Outputs
from defect_jax.registry import LOSSES

Params = Mapping[str, Any]
Batch = Mapping[str, Array]
ADAM = {'b1': 0.9, 'b2': 0.999}
EPSILON = 1e-8


@dataclasses.dataclass(frozen=True)
class Stream:
  """`loss` moves the parameters `paths` by `optimizer` at rate `lr`.

  The optimizer is a name in OPTIMIZERS, or an optax transform with sign and rate in it, which may belong to several
  streams: then it sees all of their parameters at once.
  """
  loss: str
  paths: tuple[str, ...]
  optimizer: str | optax.GradientTransformation
  lr: float = 1.


Streams = Mapping[str, Stream]
StreamTree = dict[str, dict[str, Any]]


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


def flat(tree: Params) -> dict[str, Array]:
  """{path: leaf} of nested dicts."""
  return traverse_util.flatten_dict(tree, sep='/')


def whole(loss: str, params: Params, optimizer: optax.GradientTransformation) -> Streams:
  """A stream per network of `params`, all of them moved by one loss and one optimizer."""
  return {name: Stream(loss, tuple(flat({name: tree})), optimizer) for name, tree in params.items()}


def resolve(settings: Mapping[str, Mapping[str, Any]], params: Params) -> tuple[Streams, list[str]]:
  """Streams by a config's {name: {'loss', 'params', 'optimizer', 'lr'}}, and the sorted paths that none reaches.

  The pattern `params` matches whole paths. Raises UserError.
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


def select(streams: Streams, params: Params) -> StreamTree:
  """The parameters of each stream: {name: {path: array}}."""
  leaves = flat(params)
  return {name: {path: leaves[path] for path in stream.paths} for name, stream in streams.items()}


def gradients(outputs: Callable[[Params], Outputs], losses: Mapping[str, Loss], streams: Streams, params: Params,
              batch: Batch, weight: Float[Array, 'b']) -> tuple[dict[str, Any], StreamTree]:
  """Values of the losses and gradients of every stream: one forward pass, one pullback per loss that moves something.

  Each pullback runs through just what its loss needs, so that a KLD never passes the decoder.

  What a loss needs is among the model's outputs or in `batch`. weight: each example's share of the whole mean, so that
  sums over devices and microbatches are means.

  Returns {loss: sum, or (sum, sum of weights) of a loss that has weights}, without losses that are sums of others, and
  gradients, both this device's share.
  """
  moving = sorted({stream.loss for stream in streams.values()})
  needed = {name for loss in moving for name in losses[loss].needs}

  def run(params):
    every = outputs(params)
    return _only(every, every.keys() & needed), every

  moved, push, every = jax.linearize(run, params, has_aux=True)
  every = {**batch, **every}
  by_loss = {}
  for name in moving:
    parts = moved.keys() & set(losses[name].needs)
    by_output = jax.grad(lambda chosen, loss=losses[name]: _total(loss, every | chosen, weight))(_only(moved, parts))
    pull = jax.linear_transpose(lambda change, parts=parts: _only(push(change), parts), params)
    by_loss[name] = flat(pull(by_output)[0])
  values = {name: _total(loss, every, weight) if loss.weight is None else
            (_total(loss, every, weight * loss.weight(every)), jnp.sum(weight * loss.weight(every)))
            for name, loss in losses.items() if not loss.is_sum}
  # What a stream does not take is never computed: the compiler drops it.
  return values, {name: {path: by_loss[stream.loss][path] for path in stream.paths} for name, stream in streams.items()}


def _only(tree, names):
  return {name: tree[name] for name in names}


def _total(loss, outputs, weight):
  return jnp.sum(weight * loss.value(outputs))


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
    count = optax.safe_increment(state.count)
    mu = optax.tree.update_moment(grads, state.mu, b1, 1)
    nu = optax.tree.update_moment(grads, state.nu, b2, 2)
    nu_recent = optax.tree.update_moment(grads, state.nu_recent, b1, 2)
    first, second, recent = (optax.tree.bias_correction(moment, decay, count)
                             for moment, decay in ((mu, b1), (nu, b2), (nu_recent, b1)))
    return (jax.tree.map(lambda m, v, w: Moments(m, jnp.maximum(v, w)), first, second, recent),
            SharedAdamState(count, mu, nu, nu_recent))

  return optax.GradientTransformation(init, update)


OPTIMIZERS = {
    # Adam whose denominator is made of all such streams that move a parameter; see `combine`.
    'adam_shared': lambda: _moments(**ADAM),
    'adam': lambda: optax.scale_by_adam(**ADAM),
    'momentum': lambda: optax.trace(0.9),
    'sgd': optax.identity,
}


def make_transform(streams: Streams) -> optax.GradientTransformation:
  """optax.multi_transform over trees of streams: each stream has a transform and a state of its own.

  Streams that were given one and the same transform share it and its state, which has the first of their names.
  """
  transforms, labels, names = {}, {}, {}
  for name, stream in sorted(streams.items()):
    given = not isinstance(stream.optimizer, str)
    labels[name] = names.setdefault(id(stream.optimizer) if given else name, name)
    transforms[labels[name]] = stream.optimizer if given else OPTIMIZERS[stream.optimizer]()
  return optax.multi_transform(transforms, labels)


def weighted(streams: Streams, grads: StreamTree, weights: Mapping[str, Array]) -> StreamTree:
  """Gradients times the weight of their loss, which `adam_shared` takes in `combine` instead."""
  return {name: tree if streams[name].optimizer == 'adam_shared'
          else jax.tree.map(lambda g, w=weights[streams[name].loss]: w * g, tree) for name, tree in grads.items()}


def combine(streams: Streams, directions: StreamTree, weights: Mapping[str, Array], gains: Mapping[str, Array]
            ) -> StreamTree:
  """What each stream adds to its parameters, by directions of make_transform, weights of losses and gains of streams.

  A stream moves by -lr * gain * direction. With `adam_shared` the direction at a parameter is w m / sqrt(sum of
  (w_k)^2 v_k), the sum over all such streams k that reach it, with their losses' weights w and own moments m and v. So
  the weights act at once, opposite streams balance where the weighted sum of the gradients vanishes, as with one Adam
  on the sum, and a stream alone never moves a parameter by more than its rate.
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
    return (-stream.lr * gains[name] if isinstance(stream.optimizer, str) else gains[name]) * direction

  return {name: {path: step(name, path, direction) for path, direction in directions[name].items()}
          for name in streams}


def apply(params: Params, updates: StreamTree) -> Params:
  """Adds the updates of all streams to the parameters they reach."""
  leaves = flat(params)
  for tree in updates.values():
    for path, update in tree.items():
      leaves[path] = leaves[path] + update.astype(leaves[path].dtype)
  # Not unflattened by '/', which names of LoRA adapters have in them.
  return traverse_util.path_aware_map(lambda path, _: leaves['/'.join(path)], params)
