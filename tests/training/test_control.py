"""Policies against values worked out by hand; targets are KLD 10 and MSE 0.1 throughout."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from defect_jax.training import control
from defect_jax.training.routing import Stream

TARGETS = {'kld': 10., 'mse': 0.1}
SPLIT = {'E1': Stream('kld', ('encoder/a',), 'sgd', 1.), 'E2': Stream('mse', ('encoder/a',), 'sgd', 1.),
         'D': Stream('mse', ('decoder/a',), 'sgd', 1.)}
PARTITION = SPLIT | {'E2': Stream('mse', ('encoder/b',), 'sgd', 1.)}
JOINT = {'joint': Stream('elbo', ('encoder/a', 'decoder/a'), 'sgd', 1.)}


def policy(name, **changes):
  plain = control.Control(policy=name, beta=0.5, weights={'kld': 2., 'mse': 3.}, slope=2., proportional=8.,
                          integral=0.1, speed={'kld': 12., 'mse': 4.}, smoothing=0., slew=0.5)
  return dataclasses.replace(plain, **changes)


def apply(name, kld, mse, streams=SPLIT, state=None, **changes):
  chosen = policy(name, **changes)
  state = chosen.init(TARGETS) if state is None else state
  return chosen(streams, state, {'kld': jnp.float32(kld), 'mse': jnp.float32(mse)})


def assert_values(got, **expected):
  assert got.keys() == expected.keys()
  for name, value in expected.items():
    assert float(got[name]) == pytest.approx(value, rel=1e-5, abs=1e-6), name


def test_constant():
  state, weights, gains = apply('constant', 25., 3.)
  assert_values(weights, kld=2., mse=3., elbo=1., beta=0.5)
  assert_values(gains, E1=1., E2=1., D=1.)
  assert float(state['beta']) == 0.5


@pytest.mark.parametrize(('kld', 'mse', 'e1', 'others'), [
  (10.1, 0.09, 1., 0.), (9.9, 0.11, 0., 1.), (10., 0.1, 0., 0.), (11., 0.2, 1., 1.)])
def test_threshold_moves_a_stream_while_its_own_loss_is_above(kld, mse, e1, others):
  _, weights, gains = apply('threshold', kld, mse)
  assert_values(gains, E1=e1, E2=others, D=others)
  assert_values(weights, kld=2., mse=3., elbo=1., beta=0.5)


@pytest.mark.parametrize(('kld', 'mse', 'e1', 'others'), [
  (12., 0.13, 0.4, 0.6), (9., 0.05, 0., 0.), (15., 1., 1., 1.), (11., 0.1, 0.2, 0.)])
def test_proportional_is_slope_times_excess(kld, mse, e1, others):
  _, _, gains = apply('proportional', kld, mse)
  assert_values(gains, E1=e1, E2=others, D=others)


@pytest.mark.parametrize('name', ['threshold', 'proportional', 'constant'])
def test_elbo_has_no_target_of_its_own(name):
  assert_values(apply(name, 1., 0.01, JOINT)[2], joint=1.)


def test_pi_sets_the_weight_of_the_kld():
  # log(KLD / target) = 0.1: integral 0.1 * 0.1, factor exp(8 * 0.1 + 0.01); weights are in units of the targets.
  state, weights, _ = apply('pi', 10 * np.exp(0.1), 0.1)
  factor = np.exp(0.81)
  assert_values(weights, kld=2 * factor / 10, mse=3 / 0.1, elbo=1., beta=0.5 * factor)
  assert_values(state['integral'], kld=0.01, mse=0.)
  assert float(state['beta']) == pytest.approx(0.5 * factor, rel=1e-5)
  # The integral remembers: the same error again.
  state, weights, _ = apply('pi', 10 * np.exp(0.1), 0.1, state=state)
  assert float(weights['kld']) == pytest.approx(0.2 * np.exp(0.82), rel=1e-5)
  # Below its target the KLD weighs less.
  _, weights, _ = apply('pi', 10 * np.exp(-0.1), 0.1, integral=0.)
  assert float(weights['kld']) == pytest.approx(0.2 * np.exp(-0.8), rel=1e-5)


def test_errors_and_integrals_are_bounded():
  state, weights, _ = apply('pi', 1e5, 1e-9)
  assert_values(state['integral'], kld=0.1, mse=0.)
  assert float(weights['kld']) == pytest.approx(0.2 * np.exp(8.1), rel=1e-5)
  state, _, _ = apply('dual', 1e5, 1e-9)
  assert_values(state['integral'], kld=0.1, mse=-0.1)
  state = state | {'integral': {'kld': jnp.float32(11.99), 'mse': jnp.float32(-11.99)}}
  state, _, _ = apply('dual', 1e5, 1e-9, state=state)
  assert_values(state['integral'], kld=12., mse=-12.)


@pytest.mark.parametrize(('kld_error', 'mse_error', 'encoder', 'decoder'), [
  (0.05, 0., 0.6, 0.),  # 12 * 0.05
  (-0.02, 0.1, 0.24 + 0.4, 0.4),  # a KLD off to either side counts; 4 * 0.1
  (0., -0.5, 0., 0.),  # an MSE below its target is left there
  (0.5, 0.5, 1., 1.), (-0.5, -0.5, 1., 0.),
])
def test_pi_slows_streams_down_near_the_targets(kld_error, mse_error, encoder, decoder):
  values = 10 * np.exp(kld_error), 0.1 * np.exp(mse_error)
  assert_values(apply('pi', *values)[2], E1=encoder, E2=encoder, D=decoder)
  assert_values(apply('pi', *values, JOINT)[2], joint=encoder)


def test_pi_takes_its_speed_from_the_running_mean_of_the_mse():
  # It begins at the largest error, 1: 0.9 * 1 + 0.1 * 0.5, then 0.9 * 0.95 - 0.1 * 0.5; speeds 4 times that, at most 1.
  state, _, gains = apply('pi', 10., 0.1 * np.exp(0.5), smoothing=0.9)
  assert float(state['smooth_mse']) == pytest.approx(0.95, rel=1e-5)
  assert_values(gains, E1=1., E2=1., D=1.)
  state, _, _ = apply('pi', 10., 0.1 * np.exp(-0.5), state=state, smoothing=0.9)
  assert float(state['smooth_mse']) == pytest.approx(0.805, rel=1e-5)
  state = state | {'smooth_mse': jnp.float32(0.1)}
  _, _, gains = apply('pi', 10. * np.exp(0.01), 0.1 * np.exp(0.5), state=state, smoothing=0.9)  # 4 * 0.14, + 12 * 0.01
  assert_values(gains, E1=0.68, E2=0.68, D=0.56)


def test_pi_gives_lpips_a_weight_and_a_speed_of_its_own():
  streams = SPLIT | {'P': Stream('lpips', ('decoder/a',), 'sgd', 1.)}
  law = policy('pi', weights={'kld': 2., 'mse': 3., 'lpips': 5.}, speed={'kld': 12., 'mse': 4., 'lpips': 3.})
  values = {'kld': jnp.float32(10.), 'mse': jnp.float32(0.1 * np.exp(-0.5)), 'lpips': jnp.float32(0.02 * np.exp(0.2))}
  state, weights, gains = law(streams, law.init(TARGETS | {'lpips': 0.02}), values)
  assert_values(weights, kld=0.2, mse=30., lpips=5. / 0.02, elbo=1., beta=0.5)
  assert_values(gains, E1=0., E2=0., D=0., P=0.6)  # 3 * 0.2; the MSE is below its target
  assert float(state['smooth_lpips']) == pytest.approx(0.2, rel=1e-5)
  # Where both have excess each stream moves by its own: 4 * 0.1 and, LPIPS below, 0.
  values = {'kld': jnp.float32(10.), 'mse': jnp.float32(0.1 * np.exp(0.1)), 'lpips': jnp.float32(0.01)}
  assert_values(law(streams, state, values)[2], E1=0.4, E2=0.4, D=0.4, P=0.)


def test_pi_on_partitions_gives_each_loss_its_own_speed():
  near = 10 * np.exp(0.05), 0.1 * np.exp(0.1)
  assert_values(apply('pi', *near, PARTITION)[2], E1=0.6, E2=0.4, D=0.4)
  assert_values(apply('pi', 10 * np.exp(-0.05), 0.1 * np.exp(0.1), PARTITION)[2], E1=0., E2=0.4, D=0.4)


def test_dual_raises_the_multiplier_of_a_loss_above_its_target():
  state, weights, gains = apply('dual', 10 * np.exp(0.5), 0.1 * np.exp(-0.2))
  assert_values(state['integral'], kld=0.05, mse=-0.02)
  assert_values(weights, kld=0.2 * np.exp(0.05), mse=30 * np.exp(-0.02), elbo=1., beta=0.5 * np.exp(0.07))
  assert_values(gains, E1=1., E2=1., D=1.)
  _, weights, _ = apply('dual', 10 * np.exp(0.5), 0.1 * np.exp(-0.2), state=state)
  assert float(weights['kld']) == pytest.approx(0.2 * np.exp(0.1), rel=1e-5)


@pytest.mark.parametrize('streams', [SPLIT, JOINT, PARTITION])
@pytest.mark.parametrize('name', control.POLICIES)
def test_a_pure_function_under_jit(name, streams):
  chosen = policy(name)
  state = chosen.init(TARGETS) | {'integral': {'kld': jnp.float32(0.4), 'mse': jnp.float32(-0.3)}}
  before = jax.tree.map(np.array, state)
  values = {'kld': jnp.float32(11.), 'mse': jnp.float32(0.104)}
  eager = chosen(streams, state, values)
  jitted = jax.jit(lambda s, v: chosen(streams, s, v))(state, values)
  assert jax.tree.structure(eager) == jax.tree.structure(jitted)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), eager, jitted)
  jax.tree.map(np.testing.assert_array_equal, state, before)
  assert jax.tree.structure(eager[0]) == jax.tree.structure(state)


def test_changed_targets_have_effect_at_once():
  chosen = policy('proportional')
  call = jax.jit(lambda s, v: chosen(SPLIT, s, v))
  state, values = chosen.init(TARGETS), {'kld': jnp.float32(12.), 'mse': jnp.float32(0.1)}
  assert float(call(state, values)[2]['E1']) == pytest.approx(0.4, rel=1e-5)
  state['targets'] = {'kld': jnp.float32(8.), 'mse': jnp.float32(0.08)}
  assert_values(call(state, values)[2], E1=1., E2=0.5, D=0.5)
  assert float(call(state, values)[0]['targets']['kld']) == 8.


def test_pi_glides_to_a_new_kld_target():
  state = policy('pi').init(TARGETS)
  state['targets'] = {'kld': jnp.float32(9.), 'mse': jnp.float32(0.1)}
  aims = []
  for _ in range(4):
    # At the aim of this step the weight of the KLD is its plain one, 2 in units of the aim.
    aim = max(9., float(state['aim']) * 0.96)
    state, weights, gains = apply('pi', aim, 0.1, state=state, slew=0.04)
    assert_values(weights, kld=2. / aim, mse=30., elbo=1., beta=0.5)
    assert max(map(float, gains.values())) < 1e-5  # 12 times the rounding of a float32 logarithm
    aims.append(float(state['aim']))
  assert aims == pytest.approx([9.6, 9.216, 9., 9.], rel=1e-6)
