"""Training by one loss and one optimizer: steps worked out by hand, microbatches that change nothing, running means."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from defect_jax import parallel
from defect_jax.losses import Loss
from defect_jax.training import routing
from defect_jax.training.feeds import ResidentFeed
from defect_jax.training.trainer import Trainer


class Line:
  """w x + b, with noise of each example on its x."""

  def inputs(self, batch, keys, slots):
    return batch | {'noise': jax.vmap(jax.random.normal)(keys), 'slot': slots}

  def outputs(self, params, state, batch):
    return {'line': params['net']['w'] * (batch['x'] + state.frozen['noise'] * batch['noise']) + params['net']['b']}


def error(outputs):
  return jnp.square(outputs['line'] - outputs['y'])


SQUARED = {'loss': Loss(('line', 'y'), error),
           'even': Loss(('line', 'y', 'slot'), error, lambda outputs: jnp.float32(outputs['slot'] % 2 == 0))}
PARAMS = {'net': {'w': jnp.float32(0.5), 'b': jnp.float32(0)}}


def trainer_of(optimizer, decay, microbatches=1):
  return Trainer(Line(), SQUARED, routing.whole('loss', PARAMS, optimizer), jax.random.key(0), decay=decay, warm=True,
                 microbatches=microbatches)


def rows(data, indices, weights):
  return {name: of[indices] for name, of in data.items()} | {'weight': weights}


DATA = {'x': np.float32([1, 2, 3, -1, 0.5, 4]), 'y': np.float32([2, 1, 0, 1, 3, -2])}


def run(steps, batch=4, noise=0., microbatches=1, decay=0.5, optimizer=None):
  trainer = trainer_of(optimizer or optax.sgd(0.01), decay, microbatches)
  state = trainer.init(PARAMS, frozen={'noise': jnp.float32(noise)})
  feed = ResidentFeed(trainer, DATA, batch, jax.random.key(1), 1, rows)
  state, metrics = feed.advance(parallel.replicate(state), steps)
  return parallel.first(state), metrics


def test_a_step_is_the_mean_gradient_and_the_average_follows():
  state, metrics = run(1, batch=6)
  error = 0.5 * DATA['x'] - DATA['y']
  by_w, by_b = 2 * np.mean(error * DATA['x']), 2 * np.mean(error)
  assert float(state.params['net']['w']) == pytest.approx(0.5 - 0.01 * by_w, rel=1e-5)
  assert float(state.params['net']['b']) == pytest.approx(-0.01 * by_b, rel=1e-5)
  assert metrics['train/loss'] == pytest.approx([np.mean(error**2)], rel=1e-5)
  assert metrics['norm/net'] == pytest.approx([np.hypot(by_w, by_b)], rel=1e-5)
  # After step 1 the decay is min(0.5, 1 / 10).
  assert float(state.average['net']['w']) == pytest.approx(0.1 * 0.5 + 0.9 * (0.5 - 0.01 * by_w), rel=1e-5)


def test_what_is_seen_apart_is_a_mean_of_its_own_examples():
  _, metrics = run(1, batch=8)  # slots 0 to 5 take photos 0 to 5, the others are padding
  error = (0.5 * DATA['x'] - DATA['y'])**2
  assert metrics['train/even'] == pytest.approx([error[::2].mean()], rel=1e-5)


def test_microbatches_give_the_step_of_the_whole():
  # With 8 devices each has 2 of 16 slots.
  whole, parts = (run(5, batch=16, noise=0.3, microbatches=count)[0].params for count in (1, 2))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), whole, parts)


def test_a_checkpoint_holds_all_but_what_is_frozen_and_goes_on_bit_for_bit():
  optimizer = optax.adamw(optax.warmup_cosine_decay_schedule(0., 0.1, 2, 10))
  trainer = trainer_of(optimizer, 0.9)
  begin = trainer.init(PARAMS, frozen={'noise': jnp.float32(0.1)})
  feed = ResidentFeed(trainer, DATA, 4, jax.random.key(1), 1, rows)
  half, _ = feed.advance(parallel.replicate(begin), 3)
  kept = parallel.first(half).state_dict()
  assert 'frozen' not in kept
  whole, _ = feed.advance(half, 4)
  again, _ = feed.advance(parallel.replicate(begin.restore(kept)), 4)
  jax.tree.map(np.testing.assert_array_equal, parallel.first(whole).state_dict(), parallel.first(again).state_dict())
  assert float(parallel.first(again).frozen['noise']) == np.float32(0.1)


def moved(params, streams, grads, gains):
  """(parameters after one step by these gradients, state of the optimizers)."""
  transform, chosen = routing.make_transform(streams), routing.select(streams, params)
  weights = dict.fromkeys({stream.loss for stream in streams.values()}, 1.)
  directions, state = transform.update(routing.weighted(streams, grads, weights), transform.init(chosen), chosen)
  return routing.apply(params, routing.combine(streams, directions, weights, gains)), state


def test_streams_that_were_given_one_transform_share_it_and_its_state():
  clipped = optax.chain(optax.clip_by_global_norm(1.), optax.trace(0.9), optax.scale(-0.1))
  streams = {name: routing.Stream('mse', (path,), clipped) for name, path in (
      ('E', 'encoder/mean/bias'), ('D', 'decoder/out/bias'))}
  streams['S'] = routing.Stream('mse', ('encoder/logvar/bias',), 'sgd', 0.1)
  params = {'encoder': {'mean': {'bias': jnp.zeros(1)}, 'logvar': {'bias': jnp.zeros(1)}},
            'decoder': {'out': {'bias': jnp.zeros(1)}}}
  grads = {name: {path: jnp.full(1, value) for path in streams[name].paths} for name, value in (
      ('E', 3.), ('D', 4.), ('S', 12.))}
  after, state = moved(params, streams, grads, {'E': 1., 'D': 0.5, 'S': 1.})
  assert state.inner_states.keys() == {'D', 'S'}
  after = {path: float(leaf[0]) for path, leaf in routing.flat(after).items()}
  # Clipped by the norm of both, 5, to 0.6 and 0.8; each moves by its own gain; the third neither counts nor is clipped.
  assert after == pytest.approx({'encoder/mean/bias': -0.06, 'decoder/out/bias': -0.04, 'encoder/logvar/bias': -1.2})
  alone = {'E': streams['E'], 'D': routing.Stream('mse', ('decoder/out/bias',), 'sgd', 0.1)}
  after, _ = moved(params, alone, {name: grads[name] for name in alone}, dict.fromkeys(alone, 1.))
  assert float(after['encoder']['mean']['bias'][0]) == pytest.approx(-0.1)
