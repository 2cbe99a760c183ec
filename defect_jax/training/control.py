"""Policies that bring KLD and MSE to their targets: weights of losses before an optimizer, gains on updates after it.

A policy is a pure function (state, values) -> (state, weights, gains) that runs inside the jitted step. Its state holds
the targets, so that they can be changed in a live run, and what the policy remembers.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.core
import jax.numpy as jnp
from jaxtyping import Array, Float

from defect_jax.training.routing import Streams

State = dict[str, Any]

# An error of a factor e in a loss counts as one; larger ones must not wind up the integral while a run begins.
_LARGEST_ERROR = 1.0
_LARGEST_INTEGRAL = 12.0


@dataclasses.dataclass(frozen=True)
class Control:
  """A policy and its settings.

  Attributes:
    policy: one of POLICIES.
      constant: weights and gains stay as they are.
      threshold: a stream moves while its loss is above the target.
      proportional: its gain is slope * (loss / target - 1), between 0 and 1.
      pi: the weight of the KLD against the MSE follows a proportional-integral law in log(KLD / target), as in
        ControlVAE (Shao et al. 2020), and the streams slow down as the losses come close to their targets.
      dual: multipliers of both losses grow above their targets, as in GECO (Rezende and Viola 2018), and shrink below.
    beta: weight of the KLD in `elbo`, constant, or where pi and dual begin. weights: of the other losses, likewise.
    proportional, integral: of the law of pi; dual has only the integral.
    speed: of pi, per loss; a loss off its target by the fraction 1 / speed is corrected at the full rate.
    smoothing: of pi; decay of the running mean of log(MSE / target) that sets the speed. One unlucky draw of the noise
      would else set everything moving at full rate, along the gradient of that draw.
    slew: of pi; how much the KLD that is aimed at changes in a step, as a fraction, until it is a new target's: the
      decoder can follow a KLD that glides, while a jump undid in 20 steps what the MSE had gained in hundreds.
  """
  policy: str
  beta: float = 1.
  weights: Mapping[str, float] = flax.core.FrozenDict()
  slope: float = 1.
  proportional: float = 0.
  integral: float = 0.
  speed: Mapping[str, float] = flax.core.FrozenDict()
  smoothing: float = 0.
  slew: float = 1.

  def init(self, targets: Mapping[str, float]) -> State:
    """State of a run that begins with targets of 'kld', 'mse' and other losses; empty where there are none.

    Its `beta` is the one for the next step: `elbo` is weighted before its gradient is taken.
    """
    if not targets:
      return {}
    return {'targets': {name: jnp.float32(target) for name, target in targets.items()},
            'integral': {name: jnp.float32(0) for name in targets}, 'aim': jnp.float32(targets['kld']),
            **{f'smooth_{name}': jnp.float32(_LARGEST_ERROR) for name in sorted(targets.keys() - {'kld'})},
            'beta': jnp.float32(self.beta)}

  def __call__(self, streams: Streams, state: State, values: Mapping[str, Float[Array, '']]
               ) -> tuple[State, dict[str, Float[Array, '']], dict[str, Float[Array, '']]]:
    """One step of the policy by the losses' values: (state, weights of losses and 'beta', gains of streams)."""
    state, weights, gains = _LAWS[self.policy](self, streams, state, values)
    return state | {'beta': weights['beta']} if state else state, weights, gains

  def _constant(self, streams, state, values):
    one = jnp.float32(1)
    weights = {**{stream.loss: one for stream in streams.values()},
               **{name: one * weight for name, weight in self.weights.items()}, 'elbo': one, 'beta': one * self.beta}
    return state, weights, dict.fromkeys(streams, one)

  def _by_excess(self, streams, state, values):
    """Gains by the relative excess of each stream's own loss; `elbo` has no target, so it moves at full rate."""
    _, weights, gains = self._constant(streams, state, values)
    for name, stream in streams.items():
      if stream.loss in values:
        excess = values[stream.loss] / state['targets'][stream.loss] - 1
        gains[name] = (jnp.clip(self.slope * excess, 0, 1) if self.policy == 'proportional' else
                       (excess > 0).astype(jnp.float32))
    return state, weights, gains

  def _dual(self, streams, state, values):
    targets = state['targets']
    integral = {name: self._integrate(state, name, _error(values[name], targets[name])) for name in targets}
    _, weights, gains = self._constant(streams, state, values)
    weights = _relative(weights, targets, {name: jnp.exp(value) for name, value in integral.items()})
    return state | {'integral': integral}, weights, gains

  def _pi(self, streams, state, values):
    targets = state['targets']
    aim = jnp.clip(targets['kld'], state['aim'] * (1 - self.slew), state['aim'] * (1 + self.slew))
    error = _error(values['kld'], aim)
    integral = self._integrate(state, 'kld', error)
    smooth = {name: self.smoothing * state[f'smooth_{name}'] + (1 - self.smoothing) * _error(values[name], target)
              for name, target in sorted(targets.items()) if name != 'kld'}
    _, weights, _ = self._constant(streams, state, values)
    weights = _relative(weights, targets | {'kld': aim}, {'kld': jnp.exp(self.proportional * error + integral)})
    gains = {name: self._speed(streams, name, {'kld': error, **smooth}) for name in streams}
    state = state | {'aim': aim, 'integral': state['integral'] | {'kld': integral}}
    return state | {f'smooth_{name}': value for name, value in smooth.items()}, weights, gains

  def _integrate(self, state, name, error):
    return jnp.clip(state['integral'][name] + self.integral * error, -_LARGEST_INTEGRAL, _LARGEST_INTEGRAL)

  def _speed(self, streams, name, error):
    """How fast a stream moves under pi: full speed far from the targets, none at them.

    Where KLD and MSE move a parameter its streams share the speed, since their balance is set by the weights. A KLD
    below its target is raised by the MSE. An MSE or LPIPS below its target is left there, so that what one of them has
    to spare is the other's.
    """
    wanted = {loss: self.speed[loss] * (value if loss == 'kld' else jnp.maximum(value, 0))
              for loss, value in error.items()}
    stream = streams[name]
    others = {other.loss for other in streams.values() if not set(other.paths).isdisjoint(stream.paths)}
    shared = not others <= wanted.keys() or {'kld', 'mse'} <= others  # a loss without a target is a sum of both
    return jnp.clip(wanted['mse'] + jnp.abs(wanted['kld']) if shared else wanted[stream.loss], 0, 1)


def _error(value, target):
  """Log of a loss against its target, bounded."""
  return jnp.clip(jnp.log(value / target), -_LARGEST_ERROR, _LARGEST_ERROR)


def _relative(weights, targets, factors):
  """Weights times a policy's factors, 1 where it has none, each loss in units of its target; beta is the ratio of the
  factors of KLD and MSE."""
  one = jnp.float32(1)
  return weights | {name: weights[name] * factors.get(name, one) / targets[name] for name in targets} | {
    'beta': weights['beta'] * factors['kld'] / factors.get('mse', one)}


_LAWS = {'constant': Control._constant, 'threshold': Control._by_excess, 'proportional': Control._by_excess,
         'pi': Control._pi, 'dual': Control._dual}
POLICIES = tuple(_LAWS)
CONSTANT = Control('constant')
