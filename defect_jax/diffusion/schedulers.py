"""DDIM, DPM-Solver++ (2M), Euler and PNDM as one linear multistep recurrence with a row of coefficients a step.

Only the weights of latents and recent predictions differ; they are worked out before in float64. diffusers' own Flax
schedulers are not used: Euler looks timesteps up by equality and finds none of the fractional ones, DPM-Solver++ stops
at timestep 0 instead of at zero noise, where PyTorch's ends, and PNDM's loop leaves out its last step.

DDIM: Song et al. 2021, equation 12. DPM-Solver++: Lu et al. 2022 (arXiv 2211.01095), algorithm 2. Euler: Karras et al.
2022, algorithm 2 without churn. PNDM: Liu et al. 2022, equations 9 and 12, without the Runge-Kutta steps.
"""

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from defect_jax.errors import UserError

NAMES = ('ddim', 'dpmsolver++', 'euler', 'pndm')
_HISTORY = 4  # predictions that PNDM looks at
# Settings that change what a sampler computes, of configs that may be of another scheduler; the only values known here.
_ONLY: dict[tuple[str, ...], dict[str, Any]] = {
    NAMES: {'use_karras_sigmas': False, 'use_exponential_sigmas': False, 'use_beta_sigmas': False,
            'use_lu_lambdas': False, 'use_flow_sigmas': False, 'thresholding': False, 'rescale_betas_zero_snr': False,
            'final_sigmas_type': 'zero'},
    ('ddim',): {'clip_sample': False}, ('pndm',): {'skip_prk_steps': True},
    ('dpmsolver++',): {'algorithm_type': 'dpmsolver++', 'solver_order': 2, 'solver_type': 'midpoint',
                       'euler_at_final': False, 'lower_order_final': True},
    ('euler',): {'interpolation_type': 'linear', 'timestep_type': 'discrete'}}


class Rows(NamedTuple):
  """The coefficients of each step.

  With x the latents, out the UNet's output for `scale * x` at `timestep`, and m = of_latents * x + of_output * out:
  x' = carry * x + sum_k mix[k] * m_k, newest m first. If `repeat`, x in this sum is the latents before the last step,
  and m is not remembered.
  """
  timestep: Float[np.ndarray, 'n']
  scale: Float[np.ndarray, 'n']
  of_latents: Float[np.ndarray, 'n']
  of_output: Float[np.ndarray, 'n']
  carry: Float[np.ndarray, 'n']
  mix: Float[np.ndarray, 'n 4']
  repeat: Bool[np.ndarray, 'n']


class Schedule(NamedTuple):
  """Sampling starts from signal * latents + noise * N(0, 1); if `whole`, at strength 1, from pure_noise * N(0, 1)."""
  rows: Rows
  signal: float
  noise: float
  pure_noise: float
  whole: bool


def make(name: str, config: Mapping[str, Any], steps: int, strength: float = 1.0) -> Schedule:
  """The schedule of one of NAMES by a scheduler_config.json; UserError for steps or a config that it cannot follow."""
  trained = config.get('num_train_timesteps', 1000)
  if not 1 <= steps <= trained:
    raise UserError(f'sampler.steps = {steps}: must be at least 1 and at most the {trained} that the model was '
                    'trained with')
  for key, value in (setting for names, only in _ONLY.items() if name in names for setting in only.items()):
    if config.get(key, value) != value:
      raise UserError(f'scheduler_config.json: {key} = {config[key]!r} is not supported with sampler.name = {name}; '
                      f'set it to {value!r} or choose another sampler')
  taken = min(int(steps * strength), steps)  # of those from pure noise to the image
  if taken == 0:
    raise UserError(f'sampler.strength = {strength}: of {steps} steps none is left; raise one of them')
  build = {'ddim': _ddim, 'pndm': _pndm, 'euler': _euler, 'dpmsolver++': _dpm}[name]
  return build(config, signal2(config), trained, steps, steps - taken)


def signal2(config: Mapping[str, Any]) -> Float[np.ndarray, 't']:
  """alphas_cumprod: the share of the image in the variance at every timestep, float64."""
  return np.cumprod(1 - _betas(config, config.get('num_train_timesteps', 1000)))


def predicts_velocity(config: Mapping[str, Any]) -> bool:
  """Whether the model's output is the velocity v, not the noise; raises UserError for anything else."""
  return bool(_noise_from_output(config, np.ones(1), np.ones(1))[0][0])


def denoise(rows: Rows, predict: Callable[[Array, Float[Array, '']], Array], latents: Float[Array, 'b h w c']
            ) -> Float[Array, 'b h w c']:
  """Runs all steps in a loop inside jit; predict: (scaled latents, timestep) -> the UNet's output."""
  def step(state, row):
    x, before, past = state
    base = jnp.where(row.repeat, before, x)
    m = row.of_latents * x + row.of_output * predict(row.scale * x, row.timestep)
    recent = jnp.concatenate([m[None], past])
    advanced = row.carry * base + jnp.tensordot(row.mix, recent, 1)
    return (advanced, base, jnp.where(row.repeat, past, recent[:-1])), None

  start = latents, latents, jnp.zeros((_HISTORY - 1, *latents.shape), latents.dtype)
  return jax.lax.scan(step, start, rows)[0][0]


def _betas(config, trained):
  low, high = config.get('beta_start', 1e-4), config.get('beta_end', 0.02)
  if config.get('trained_betas') is not None:
    return np.float64(config['trained_betas'])
  schedule = config.get('beta_schedule', 'linear')
  if schedule == 'linear':
    return np.linspace(low, high, trained)
  if schedule == 'scaled_linear':
    return np.linspace(low**0.5, high**0.5, trained)**2
  if schedule == 'squaredcos_cap_v2':
    bar = [math.cos((i / trained + 0.008) / 1.008 * math.pi / 2)**2 for i in range(trained + 1)]
    return np.array([min(1 - after / before, 0.999) for before, after in itertools.pairwise(bar)])
  raise UserError(f'scheduler_config.json: beta_schedule = {schedule!r} is unknown; known: linear, scaled_linear, '
                  'squaredcos_cap_v2')


def _timesteps(config, default, trained, steps, whole=True, end=0):
  """Descending timesteps `[steps]` by the config's spacing; whole numbers unless `whole` is False.

  end: 1 if a further one, where the last step ends, is spaced with them. Raises UserError if some are equal or none
  that the model was trained with.
  """
  spacing = config.get('timestep_spacing', default)
  if spacing == 'linspace':
    times = np.linspace(0, trained - 1, steps + end)[::-1][:steps]
    times = times.round() if whole else np.float64(np.float32(times))
  elif spacing == 'leading':
    offset = config.get('steps_offset', 0)
    times = np.float64(np.arange(steps + end)[::-1][:steps] * (trained // (steps + end)) + offset)
  elif spacing == 'trailing':  # cut, since by rounding there may be one more
    times = (np.arange(trained, 0, -trained / steps).round() - 1)[:steps]
  else:
    raise UserError(f'scheduler_config.json: timestep_spacing = {spacing!r} is unknown; known: leading, linspace, '
                    'trailing')
  if times[0] > trained - 1 or times[-1] < 0 or np.any(np.diff(times) >= 0):
    raise UserError(f'sampler.steps = {len(times)}: so many cannot be placed on the {trained} timesteps that the model '
                    'was trained with; take fewer')
  return times


def _noise_from_output(config, alpha, sigma):
  """(of_latents, of_output) by which the model's output becomes the noise in alpha x0 + sigma noise."""
  kind = config.get('prediction_type', 'epsilon')
  if kind == 'epsilon':
    return np.zeros_like(sigma), np.ones_like(sigma)
  if kind == 'v_prediction':
    return sigma, alpha
  raise UserError(f'scheduler_config.json: prediction_type = {kind!r} is not supported; known: epsilon, v_prediction')


def _rows(timestep, scale, of_latents, of_output, carry, mix, repeat=False):
  timestep, scale, of_latents, of_output, carry, repeat = np.broadcast_arrays(
      *map(np.float32, (timestep, scale, of_latents, of_output, carry)), repeat)
  mix = np.pad(np.float32(mix), ((0, 0), (0, _HISTORY - mix.shape[1])))
  return Rows(timestep, scale, of_latents, of_output, carry, mix, repeat)


def _ends(config, signal2, times, trained, steps, to_one):
  """alphas_cumprod at each timestep, and at the one that a step leads to."""
  after = times - trained // steps
  last = 1.0 if config.get('set_alpha_to_one', to_one) else signal2[0]
  return signal2[times.astype(int)], np.where(after >= 0, signal2[np.maximum(after, 0).astype(int)], last)


def _ddim(config, signal2, trained, steps, skipped):
  times = _timesteps(config, 'leading', trained, steps)[skipped:]
  now, then = _ends(config, signal2, times, trained, steps, True)
  carry = np.sqrt(then / now)
  weights = np.sqrt(1 - then) - carry * np.sqrt(1 - now)
  of_latents, of_output = _noise_from_output(config, np.sqrt(now), np.sqrt(1 - now))
  rows = _rows(times, 1.0, of_latents, of_output, carry, weights[:, None])
  return Schedule(rows, now[0]**0.5, (1 - now[0])**0.5, 1.0, skipped == 0)


def _pndm(config, signal2, trained, steps, skipped):
  if config.get('prediction_type', 'epsilon') != 'epsilon':
    raise UserError('sampler.name = pndm: is defined for models that predict noise only; choose ddim, dpmsolver++ or '
                    'euler')
  times = _timesteps(config, 'leading', trained, steps)[skipped:]
  if len(times) == 1:  # there is nothing to extrapolate from
    return _ddim(config | {'set_alpha_to_one': config.get('set_alpha_to_one', False)}, signal2, trained, steps, skipped)
  now, then = _ends(config, signal2, times, trained, steps, False)
  # The first step is taken twice, the second time with the mean of the noise at both its ends (Heun's method).
  steps_of = np.concatenate([[0, 0], np.arange(1, len(times))])
  carry = np.sqrt(then / now)[steps_of]
  weight = (-(then - now) / (now * np.sqrt(1 - then) + np.sqrt(now * (1 - now) * then)))[steps_of]
  mix = np.tile(np.array([55, -59, 37, -9]) / 24, (len(steps_of), 1))
  first = [[1, 0, 0, 0], [1 / 2, 1 / 2, 0, 0], [3 / 2, -1 / 2, 0, 0], [23 / 12, -16 / 12, 5 / 12, 0]]
  mix[:4] = first[:len(steps_of)]
  rows = _rows(np.concatenate([times[:2], times[1:]]), 1.0, 0.0, 1.0, carry, weight[:, None] * mix,
               np.arange(len(steps_of)) == 1)
  return Schedule(rows, now[0]**0.5, (1 - now[0])**0.5, 1.0, skipped == 0)


def _sigmas(signal2, times):
  """Noise over signal at (fractional) timesteps, and 0 at the end."""
  every = np.sqrt((1 - signal2) / signal2)
  return np.append(np.interp(times, np.arange(len(every)), every), 0.0)


def _euler(config, signal2, trained, steps, skipped):
  times = _timesteps(config, 'linspace', trained, steps, whole=False)
  sigma = _sigmas(signal2, times)
  largest = sigma[0] if config.get('timestep_spacing', 'linspace') != 'leading' else np.hypot(sigma[0], 1)
  times, sigma = times[skipped:], sigma[skipped:]
  now, scale = sigma[:-1], 1 / np.hypot(sigma[:-1], 1)
  # x is not scaled here as the model sees it, so its share is scaled once more.
  of_latents, of_output = _noise_from_output(config, scale, now * scale)
  rows = _rows(times, scale, of_latents * scale, of_output, 1.0, np.diff(sigma)[:, None])
  return Schedule(rows, 1.0, now[0], largest, skipped == 0)


def _dpm(config, signal2, trained, steps, skipped):
  times = _timesteps(config, 'linspace', trained, steps, end=1)[skipped:]
  ratio = _sigmas(signal2, times)
  alpha = 1 / np.hypot(ratio, 1)
  sigma = ratio * alpha
  with np.errstate(divide='ignore'):
    level = -np.log(ratio)  # lambda, infinite at the end
  h = np.diff(level)
  gain = alpha[1:] * -np.expm1(-h)  # alpha_t (1 - exp(-h))
  half = np.zeros(len(times))
  half[1:-1] = 0.5 * h[1:-1] / h[:-2]  # the first and the last step are of first order
  mix = np.stack([gain * (1 + half), -gain * half], 1)
  # x0 = (x - sigma noise) / alpha
  of_latents, of_output = _noise_from_output(config, alpha[:-1], sigma[:-1])
  of_latents, of_output = (1 - sigma[:-1] * of_latents) / alpha[:-1], -sigma[:-1] * of_output / alpha[:-1]
  rows = _rows(times, 1.0, of_latents, of_output, sigma[1:] / sigma[:-1], mix)
  return Schedule(rows, alpha[0], sigma[0], 1.0, skipped == 0)
