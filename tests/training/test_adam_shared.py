"""Adam with one denominator for all streams of a parameter, against NumPy and optax."""

import jax.numpy as jnp
import numpy as np
import optax

from defect_jax.training import routing


def assert_close(got, expected, rtol=2e-5):
  assert got.keys() == expected.keys()
  for path in expected:
    scale = np.abs(expected[path]).max()
    np.testing.assert_allclose(got[path], expected[path], rtol=0, atol=rtol * scale + 1e-12, err_msg=path)


def toy(**losses):
  """Streams over toy parameters: encoder/a moved by all, decoder/b by the last one only."""
  last = list(losses)[-1]
  return {name: routing.Stream(loss, ('decoder/b', 'encoder/a') if name == last else ('encoder/a',), 'adam_shared',
                               0.01 * (1 + number)) for number, (name, loss) in enumerate(losses.items())}


def run_toy(streams, grads, weights, gains):
  """Parameters after each step; grads a list of {name: {path: array}}."""
  params = {'encoder': {'a': jnp.arange(3.)}, 'decoder': {'b': jnp.ones(2)}}
  transform, history = routing.make_transform(streams), []
  state = transform.init(routing.select(streams, params))
  for grad, weight in zip(grads, weights, strict=True):
    directions, state = transform.update(routing.weighted(streams, grad, weight), state,
                                         routing.select(streams, params))
    params = routing.apply(params, routing.combine(streams, directions, weight, gains))
    history.append(routing.flat(params))
  return history


def numpy_shared_adam(streams, grads, weights, gains):
  params = {'encoder/a': np.arange(3.), 'decoder/b': np.ones(2)}
  m = {(name, path): 0. for name, stream in streams.items() for path in stream.paths}
  v, recent, history = dict(m), dict(m), []
  for t, (grad, weight) in enumerate(zip(grads, weights, strict=True), 1):
    for name, path in m:
      g = np.float64(grad[name][path])
      m[name, path] = 0.9 * m[name, path] + 0.1 * g
      v[name, path] = 0.999 * v[name, path] + 0.001 * g**2
      recent[name, path] = 0.9 * recent[name, path] + 0.1 * g**2
    for path in params:
      movers = [name for name, stream in streams.items() if path in stream.paths]
      total = sum(weight[streams[k].loss]**2 * np.maximum(v[k, path] / (1 - 0.999**t), recent[k, path] / (1 - 0.9**t))
                  for k in movers)
      for k in movers:
        step = weight[streams[k].loss] * m[k, path] / (1 - 0.9**t) / (np.sqrt(total) + 1e-8)
        params[path] = params[path] - streams[k].lr * gains[k] * step
    history.append(dict(params))
  return history


def random_grads(streams, steps=6):
  rng = np.random.default_rng(4)
  shape = {'encoder/a': 3, 'decoder/b': 2}
  return [{name: {path: jnp.asarray(rng.normal(size=shape[path]), jnp.float32) for path in stream.paths}
           for name, stream in streams.items()} for _ in range(steps)]


def test_adam_shared_against_numpy():
  streams = toy(E1='kld', E2='mse')
  grads = random_grads(streams)
  weights = [{'kld': 0.1 * 3.**t, 'mse': 2. / (t + 1)} for t in range(len(grads))]
  gains = {'E1': 0.5, 'E2': 0.8}
  for got, expected in zip(run_toy(streams, grads, weights, gains),
                           numpy_shared_adam(streams, grads, weights, gains), strict=True):
    assert_close(got, expected, rtol=1e-6)


def fading(grads):
  """Gradients of one size that fades with time, so that Adam's mean square is above the recent one throughout."""
  return [{name: {path: jnp.abs(g) / jnp.abs(g) * 0.5**t for path, g in tree.items()} for name, tree in grad.items()}
          for t, grad in enumerate(grads)]


def test_adam_shared_of_one_stream_is_optax_adam_while_gradients_fade():
  streams = toy(D='mse')
  grads = fading(random_grads(streams))
  got = run_toy(streams, grads, [{'mse': 1.}] * len(grads), {'D': 1.})
  params, adam = {'encoder/a': jnp.arange(3.), 'decoder/b': jnp.ones(2)}, optax.adam(0.01)
  state = adam.init(params)
  for now, grad in zip(got, grads, strict=True):
    updates, state = adam.update(grad['D'], state)
    params = optax.apply_updates(params, updates)
    assert_close(now, params, rtol=1e-6)
  heavy = run_toy(streams, grads, [{'mse': 50.}] * len(grads), {'D': 1.})
  assert_close(heavy[-1], params, rtol=1e-5)  # the weight of the only stream cancels


def test_adam_shared_opposite_streams_stand_still_where_weighted_gradients_cancel():
  streams = {name: routing.Stream(loss, ('encoder/a',), 'adam_shared', 0.1)
             for name, loss in (('E1', 'kld'), ('E2', 'mse'))}
  grad = jnp.array([1., -2., 5.])
  grads = [{'E1': {'encoder/a': 3 * grad}, 'E2': {'encoder/a': -grad}}]
  balanced = run_toy(streams, grads, [{'kld': 1., 'mse': 3.}], {'E1': 1., 'E2': 1.})[0]
  np.testing.assert_allclose(balanced['encoder/a'], np.arange(3.), atol=1e-6)
  np.testing.assert_array_equal(balanced['decoder/b'], np.ones(2))
  # Heavier KLD: (3 * 3 - 3) / sqrt(9^2 + 3^2) of the rate, against the KLD's gradient.
  moved = run_toy(streams, grads, [{'kld': 3., 'mse': 3.}], {'E1': 1., 'E2': 1.})[0]
  np.testing.assert_allclose(moved['encoder/a'] - np.arange(3.), -0.1 * 6 / np.sqrt(90) * np.sign(grad), rtol=1e-4)


def test_no_step_is_longer_than_the_rate_when_gradients_grow_after_a_quiet_stretch():
  streams = {'D': routing.Stream('mse', ('decoder/b',), 'adam_shared', 0.01)}
  grads = [{'D': {'decoder/b': jnp.array([size, -size])}} for size in [1e-3] * 30 + [1.] * 10]
  history = run_toy(streams, grads, [{'mse': 1.}] * len(grads), {'D': 1.})
  path = np.array([step['decoder/b'] for step in history])
  steps = np.abs(np.diff(path, axis=0))
  assert steps.max() <= 0.01 * (1 + 1e-4)
  # Gradients of one size and sign: every step is the rate. One 1000 times larger weighs 0.1 in both of its means, so
  # it is followed by 0.1 / sqrt(0.1) of the rate, where Adam's own mean square would make it 1 / sqrt(0.001 * t).
  np.testing.assert_allclose(steps[:29], 0.01, rtol=2e-3)
  norm = 1 - 0.9**31
  expected = (0.1 + 0.9e-3 * (1 - 0.9**30)) / norm / np.sqrt(max((0.1 + 0.9e-6 * (1 - 0.9**30)) / norm,
                                                                1e-3 / (1 - 0.999**31)))
  np.testing.assert_allclose(steps[29], 0.01 * expected, rtol=1e-3)
