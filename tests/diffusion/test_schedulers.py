"""Every sampler follows the exact solution for Gaussian data, at its own order; what cannot be followed is refused."""

import jax.numpy as jnp
import numpy as np
import pytest

from defect_jax.config import UserError
from defect_jax.diffusion import schedulers, small_model

_MEAN, _SPREAD = 0.7, 0.5  # of the data
_Z = np.linspace(-2, 2, 5)[None, :, None, None]
_EVERY = np.sqrt(1 / schedulers.signal2(small_model.SCHEDULER) - 1)  # noise over signal at each timestep


def _exact(timestep):
  """Where the probability flow leads quantiles of N(_MEAN, _SPREAD^2): alpha mean + sqrt(alpha^2 s^2 + sigma^2) z.

  x = alpha x0 + sigma noise is Gaussian at every timestep, and the flow keeps the quantiles z of its marginals.
  """
  ratio = np.interp(timestep, np.arange(len(_EVERY)), _EVERY)
  alpha = 1 / np.hypot(ratio, 1)
  return alpha * (_MEAN + np.hypot(_SPREAD, ratio) * _Z)


def _predict(velocity):
  """What the ideal model gives: E[noise | x] = sigma (x - alpha mean) / (alpha^2 s^2 + sigma^2), or v of the same."""
  def predict(x, timestep):
    ratio = jnp.interp(timestep, jnp.arange(len(_EVERY)), jnp.asarray(_EVERY))
    alpha = 1 / jnp.hypot(ratio, 1)
    sigma = ratio * alpha
    noise = sigma * (x - alpha * _MEAN) / (alpha**2 * _SPREAD**2 + sigma**2)
    return alpha * noise - sigma * (x - sigma * noise) / alpha if velocity else noise
  return predict


def _error(name, config, steps, gone):
  """Largest distance from the exact solution after `gone` of the rows of a schedule."""
  schedule = schedulers.make(name, small_model.SCHEDULER | config, steps)
  rows = schedulers.Rows(*(column[:gone] for column in schedule.rows))
  start = np.float32(_exact(rows.timestep[0]) / rows.scale[0])  # Euler's latents are not scaled as the model sees them
  found = schedulers.denoise(rows, _predict(config.get('prediction_type') == 'v_prediction'), start)
  if gone == len(schedule.rows.timestep):
    return np.abs(found - (_MEAN + _SPREAD * _Z)).max()
  return np.abs(found * schedule.rows.scale[gone] - _exact(schedule.rows.timestep[gone])).max()


@pytest.mark.parametrize('spacing', ['leading', 'linspace', 'trailing'])
@pytest.mark.parametrize('kind', ['epsilon', 'v_prediction'])
@pytest.mark.parametrize(('name', 'order', 'error'), [
  ('ddim', 1, 2e-3), ('euler', 1, 2e-3), ('dpmsolver++', 2, 6e-5), ('pndm', 2, 2e-5)])
def test_half_the_step_leaves_half_the_error_to_the_samplers_order(name, order, error, kind, spacing):
  """Half of the way, before the last step, which leads to no noise at all and is of first order everywhere.

  PNDM is of order 2 (Liu et al. 2022, section 3.4).
  """
  if (name in ('ddim', 'pndm') and spacing != 'leading') or (name == 'pndm' and kind != 'epsilon'):
    pytest.skip('not used with it')
  config, extra = {'prediction_type': kind, 'timestep_spacing': spacing}, name == 'pndm'
  coarse, fine = (_error(name, config, steps, steps // 2 + extra) for steps in (50, 100))
  assert np.log2(coarse / fine) == pytest.approx(order, abs=0.15)
  assert fine < error


@pytest.mark.parametrize(('name', 'error'), [('ddim', 0.03), ('euler', 0.03), ('dpmsolver++', 0.02), ('pndm', 0.003)])
def test_the_whole_way_comes_to_the_data(name, error):
  assert _error(name, {'set_alpha_to_one': True}, 100, 100 + (name == 'pndm')) < error


def test_pndms_weights_are_those_of_adams_and_bashforth():
  """With predictions at u = 0, -1, -2, ..., their weighted sum is the mean over the step, u in [0, 1], of u^p."""
  rows = schedulers.make('pndm', small_model.SCHEDULER, 8).rows
  weights = rows.mix / rows.mix.sum(1, keepdims=True)
  places = np.array([[0, 0, 0, 0], [1, 0, 0, 0], *[[0, -1, -2, -3]] * 7])  # the second looks at both ends of the first
  for weight, place, exact_to in zip(weights, places, [0, 1, 1, 2, *[3] * 5], strict=True):
    for power in range(exact_to + 1):
      assert weight @ np.float64(place)**power == pytest.approx(1 / (power + 1), abs=1e-5)
  assert rows.repeat.tolist() == [False, True, *[False] * 7]


@pytest.mark.parametrize(('steps', 'strength', 'part'), [
  (0, 1.0, r'sampler\.steps = 0'), (1001, 1.0, 'at most the 1000'),
  (1000, 1.0, 'so many cannot be placed on the 1000 timesteps'),
  (10, 0.05, r'sampler\.strength = 0\.05: of 10 steps')])
def test_steps_that_cannot_be_gone(steps, strength, part):
  with pytest.raises(UserError, match=part):
    schedulers.make('ddim', small_model.SCHEDULER, steps, strength)


@pytest.mark.parametrize('name', schedulers.NAMES)
@pytest.mark.parametrize('spacing', ['leading', 'linspace', 'trailing'])
def test_a_schedule_is_finite_and_on_the_trained_timesteps_or_refused(name, spacing):
  if name in ('ddim', 'pndm') and spacing != 'leading':
    pytest.skip('the step of these is that of leading')
  made = 0
  for steps in (1, 2, 7, 50, 223, 499, 500, 926, 998, 999, 1000):
    try:
      found = schedulers.make(name, small_model.SCHEDULER | {'timestep_spacing': spacing}, steps)
    except UserError as error:
      assert steps > 498 and 'so many cannot be placed' in str(error)
      continue
    made += 1
    assert all(np.isfinite(column).all() for column in found.rows)
    assert found.rows.timestep.min() >= 0 and found.rows.timestep.max() <= 999
    assert len(found.rows.timestep) in (steps, steps + 1)  # pndm goes its first twice
  assert made >= 6


@pytest.mark.parametrize(('name', 'config', 'part'), [
  ('dpmsolver++', {'use_karras_sigmas': True}, 'use_karras_sigmas'), ('pndm', {'skip_prk_steps': False}, 'prk'),
  ('ddim', {'clip_sample': True}, 'clip_sample'), ('euler', {'beta_schedule': 'odd'}, 'beta_schedule'),
  ('euler', {'prediction_type': 'sample'}, 'prediction_type'), ('pndm', {'prediction_type': 'v_prediction'}, 'noise')])
def test_configs_that_are_not_understood_are_refused(name, config, part):
  with pytest.raises(UserError, match=part):
    schedulers.make(name, small_model.SCHEDULER | config, 10)


@pytest.mark.parametrize('name', schedulers.NAMES)
def test_a_model_that_knows_the_photo_leads_to_it_exactly(name):
  """With the true noise as prediction, every solver ends at the photo, as far as its schedule goes."""
  schedule = schedulers.make(name, small_model.SCHEDULER, 12)
  rng = np.random.default_rng(0)
  photo, noise = rng.standard_normal((2, 1, 4, 4, 4)).astype(np.float32)
  start = np.float32(schedule.signal * photo + schedule.noise * noise)
  found = schedulers.denoise(schedule.rows, lambda x, timestep: noise, start)
  left = 0.03 if name in ('ddim', 'pndm') else 1e-3  # set_alpha_to_one is false: noise of timestep 0 is left
  np.testing.assert_allclose(found, photo, atol=4 * left)
  assert len(schedule.rows.timestep) == (13 if name == 'pndm' else 12)
