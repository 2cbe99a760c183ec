"""Streams: which loss moves what, by which state; against gradients and optimizers written out again."""

import types

import conftest
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import vae_split
from defect_jax.losses import Loss
from defect_jax.registry import LOSSES
from defect_jax.training import routing

ENCODER, DECODER, ALL = 'encoder/.*', 'decoder/.*', '.*'
ONE = {'kld': 1., 'mse': 1., 'elbo': 1.}


def settings(**streams):
  """name=(loss, params, optimizer, lr)."""
  return {name: dict(zip(('loss', 'params', 'optimizer', 'lr'), stream, strict=True))
          for name, stream in streams.items()}


def resolve(small, **streams):
  return routing.resolve(settings(**streams), small.params)[0]


def split(small, optimizer='sgd', lr=0.1, kld='kld', mse='mse'):
  return resolve(small, E1=(kld, ENCODER, optimizer, lr), E2=(mse, ENCODER, optimizer, lr),
                 D=(mse, DECODER, optimizer, lr))


def straightforward(small, beta=1.):
  """{loss: function of the parameters}, each with a forward pass of its own and its formula written out."""
  image, weight = small.batch['image'], small.batch['weight']

  def kld(params):
    q = small.vae.encode(params['encoder'], small.normalizer, image)
    return jnp.sum(weight[:, None] * 0.5 * (jnp.exp(q.logvar) + q.mean**2 - 1 - q.logvar))

  def mse(params):
    q = small.vae.encode(params['encoder'], small.normalizer, image)
    recon = small.vae.decode(params['decoder'], small.normalizer, q.mean + jnp.exp(q.logvar / 2) * small.noise)
    return jnp.sum(weight * jnp.mean((recon - image).reshape(len(image), -1)**2, axis=1))

  return {'kld': kld, 'mse': mse, 'elbo': lambda params: beta * kld(params) + 32 * mse(params)}  # half of 64 pixels


@pytest.fixture(scope='module')
def truth(small):
  """{loss: {path: gradient}} by jax.grad of each loss alone."""
  losses = straightforward(small, beta=0.7)
  grads = jax.jit(lambda p: {name: jax.grad(loss)(p) for name, loss in losses.items()})(small.params)
  return {name: routing.flat(tree) for name, tree in grads.items()}


_COMPILED = {}


def gradients(small, streams, beta=0.7):
  """routing.gradients, compiled once for streams that differ only in optimizer and rate."""
  key = repr([(name, stream.loss, stream.paths) for name, stream in streams.items()])
  compute = _COMPILED.setdefault(key, jax.jit(
      lambda p, image, noise: conftest.gradients(small, streams, p, image, noise, beta=beta)))
  return compute(small.params, small.batch['image'], small.noise)


def step(small, streams, weights=ONE, gains=None, grads=None):
  """(parameters after one step, state) of gradients by `gradients` unless given."""
  grads = gradients(small, streams)[1] if grads is None else grads
  gains = gains or dict.fromkeys(streams, 1.)
  transform = routing.make_transform(streams)

  def take(params, grads, weights, gains):
    chosen = routing.select(streams, params)
    directions, state = transform.update(routing.weighted(streams, grads, weights), transform.init(chosen), chosen)
    return routing.apply(params, routing.combine(streams, directions, weights, gains)), state

  return jax.jit(take)(small.params, grads, weights, gains)


def assert_close(got, expected, rtol=2e-5):
  assert got.keys() == expected.keys()
  for path in expected:
    scale = np.abs(expected[path]).max()
    np.testing.assert_allclose(got[path], expected[path], rtol=0, atol=rtol * scale + 1e-12, err_msg=path)


def assert_split(grads, truth):
  """E1 is the KLD's gradient on the encoder, E2 the MSE's, D the MSE's on the decoder."""
  for name, loss, module in (('E1', 'kld', 'encoder'), ('E2', 'mse', 'encoder'), ('D', 'mse', 'decoder')):
    assert_close(grads[name], {path: g for path, g in truth[loss].items() if path.startswith(module)})


# Gradients


def test_each_stream_has_its_losss_gradient_alone(small, truth):
  values, grads = gradients(small, split(small))
  assert_split(grads, truth)
  for name in ('kld', 'mse'):
    assert float(values[name]) == pytest.approx(float(straightforward(small)[name](small.params)), rel=1e-5)


def test_the_joint_stream_has_the_weighted_sums_gradient(small, truth):
  _, grads = gradients(small, resolve(small, joint=('elbo', ALL, 'adam', 0.1)))
  assert_close(grads['joint'], truth['elbo'])


@pytest.mark.parametrize('names', [('E1', 'E2', 'D'), ('E1', 'E2'), ('E1', 'D')])
def test_losses_swapped_in_the_config_would_be_noticed(small, truth, names):
  config = vae_split.get_config('tiny').streams.to_dict()
  streams, _ = routing.resolve(config, small.params)
  assert_split(gradients(small, streams)[1], truth)
  for name in names:
    config[name]['loss'] = {'kld': 'mse', 'mse': 'kld'}[config[name]['loss']]
  streams, _ = routing.resolve(config, small.params)
  with pytest.raises(AssertionError):
    assert_split(gradients(small, streams)[1], truth)


def test_a_perceptual_stream_moves_the_decoder_and_leaves_the_others_bitwise(small):
  def distance(recon, image):  # stands for LPIPS, which needs larger images
    return jnp.max(jnp.abs(recon - image), (1, 2, 3))

  def alone(params):
    q = small.vae.encode(params['encoder'], small.normalizer, small.batch['image'])
    recon = small.vae.decode(params['decoder'], small.normalizer, q.sample(small.noise))
    return jnp.sum(small.batch['weight'] * distance(recon, small.batch['image']))

  three, four = split(small), split(small) | resolve(small, P=('lpips', DECODER, 'sgd', 0.1))
  made = Loss(('recon', 'image'), lambda outputs: distance(outputs['recon'], outputs['image']))
  named = {'kld': LOSSES['kld'], 'mse': LOSSES['mse'], 'lpips': made}
  compute = jax.jit(lambda streams: conftest.gradients(small, dict(streams), losses=named), static_argnums=0)
  values, grads = compute(tuple(four.items()))
  truth = {path: g for path, g in routing.flat(jax.grad(alone)(small.params)).items() if path.startswith('decoder')}
  assert_close(grads['P'], truth)
  assert float(values['lpips']) == pytest.approx(float(alone(small.params)), rel=1e-5)
  plain_values, plain = compute(tuple(three.items()))
  assert plain_values.keys() == {'kld', 'mse'}
  jax.tree.map(np.testing.assert_array_equal, plain, {name: grads[name] for name in plain})


def test_padding_has_no_part_in_gradients(small):
  streams = split(small)
  values, grads = gradients(small, streams)
  other = types.SimpleNamespace(**vars(small) | {
      'batch': small.batch | {'image': small.batch['image'].at[4].set(99.)}, 'noise': small.noise.at[4].set(-9.)})
  values_of_other, grads_of_other = gradients(other, streams)
  jax.tree.map(np.testing.assert_array_equal, (values, grads), (values_of_other, grads_of_other))


def test_one_forward_pass(small):
  """The encoder and decoder run once; beyond a joint step there is one pullback of the encoder, of one convolution.

  The encoder has one convolution, the decoder two: 3 forward, pullback of the decoder 4 (weights and inputs), of the
  encoder 1 (weights).
  """
  calls = []

  class Counted:
    def encode(self, *arguments):
      calls.append('encode')
      return small.vae.encode(*arguments)

    def decode(self, *arguments):
      calls.append('decode')
      return small.vae.decode(*arguments)

  def convolutions(streams):
    lowered = jax.jit(lambda p: conftest.gradients(small, streams, p, vae=Counted())).lower(small.params)
    return lowered.as_text().count('stablehlo.convolution')

  assert convolutions(split(small)) == 3 + 4 + 1 + 1
  assert calls == ['encode', 'decode']
  assert convolutions(resolve(small, joint=('elbo', ALL, 'adam', 0.1))) == 3 + 4 + 1
  assert convolutions(resolve(small, E1=('kld', ENCODER, 'adam', 0.1))) == 3 + 1


# What moves


@pytest.mark.parametrize(('optimizer', 'pattern'), [
  ('sgd', ENCODER), ('sgd', ALL), ('momentum', ALL), ('adam', ALL), ('adam_shared', ALL)])
def test_e1_alone_leaves_the_decoder_bitwise_unchanged(small, optimizer, pattern):
  after, _ = step(small, resolve(small, E1=('kld', pattern, optimizer, 0.1)))
  jax.tree.map(np.testing.assert_array_equal, after['decoder'], small.params['decoder'])
  moved = [path for path, leaf in routing.flat(after['encoder']).items()
           if (leaf != routing.flat(small.params['encoder'])[path]).any()]
  assert sorted(moved) == sorted(routing.flat(small.params['encoder']))


def test_with_sgd_both_losses_on_everything_are_one_step_on_the_sum(small):
  after, _ = step(small, resolve(small, A=('kld', ALL, 'sgd', 0.1), B=('mse', ALL, 'sgd', 0.1)))
  losses = straightforward(small)
  grads = jax.jit(jax.grad(lambda p: losses['kld'](p) + losses['mse'](p)))(small.params)
  expected = jax.tree.map(lambda p, g: p - 0.1 * g, small.params, grads)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-6), after, expected)
  moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), after, small.params)
  assert min(jax.tree.leaves(moved)) > 1e-5


def test_weights_act_before_the_optimizer_and_gains_after_it(small, truth):
  weights = {'kld': 0.5, 'mse': 3., 'elbo': 1.}
  before = routing.flat(small.params)
  after, _ = step(small, split(small, 'sgd'), weights, {'E1': 0., 'E2': 0.25, 'D': 1.})
  after = routing.flat(after)
  for path in before:
    rate = -0.1 * 3. * (0.25 if path.startswith('encoder') else 1.)
    np.testing.assert_allclose(after[path] - before[path], rate * truth['mse'][path], rtol=1e-3, atol=3e-7)
  # Adam cancels a constant factor before it, not one after it.
  plain, _ = step(small, split(small, 'adam'))
  heavy, _ = step(small, split(small, 'adam'), {'kld': 1., 'mse': 1000., 'elbo': 1.})
  half, _ = step(small, split(small, 'adam'), gains={'E1': 1., 'E2': 1., 'D': 0.5})
  decoders = (jax.tree.leaves(tree['decoder']) for tree in (small.params, plain, heavy, half))
  for p, a, b, c in zip(*decoders, strict=True):
    np.testing.assert_allclose(b, a, atol=0.02)  # of a step of 0.1: epsilon tells where gradients are tiny
    np.testing.assert_allclose(c - p, (a - p) / 2, atol=1e-6)


def test_gain_0_leaves_parameters_bitwise_unchanged(small):
  streams = split(small, 'adam_shared')
  after, _ = step(small, streams, gains=dict.fromkeys(streams, 0.))
  jax.tree.map(np.testing.assert_array_equal, after, small.params)


def test_frozen_parameters_are_reported_and_stay(small):
  streams, frozen = routing.resolve(settings(D=('mse', 'decoder/up_.*', 'sgd', 0.1)), small.params)
  assert frozen == sorted(path for path in routing.flat(small.params) if not path.startswith('decoder/up_'))
  after, _ = step(small, streams)
  before, after = routing.flat(small.params), routing.flat(after)
  for path in before:
    assert (after[path] == before[path]).all() == (path in frozen), path


# States of multi_transform


def own_state(state, name):
  """The ScaleByAdamState, or trace, of a stream in a state of multi_transform."""
  return state.inner_states[name].inner_state


def assert_own_states(small):
  """Adam, momentum and SGD side by side: each stream's direction comes from its own transform and own state."""
  streams = resolve(small, E1=('kld', ENCODER, 'adam', 0.1), E2=('mse', ENCODER, 'momentum', 0.1),
                    D=('mse', DECODER, 'sgd', 0.1))
  transform, chosen = routing.make_transform(streams), routing.select(streams, small.params)

  def two_steps(chosen):
    grads = jax.tree.map(lambda p: jnp.full_like(p, 0.5), chosen)
    _, state = transform.update(grads, transform.init(chosen), chosen)
    return transform.update(grads, state, chosen)[0]

  directions = jax.jit(two_steps)(chosen)
  for name, expected in (('E1', 1.), ('E2', 0.5 + 0.9 * 0.5), ('D', 0.5)):
    assert directions[name].keys() == chosen[name].keys()
    for direction in directions[name].values():
      np.testing.assert_allclose(direction, np.full(direction.shape, expected), rtol=1e-4)


def test_each_stream_has_its_own_transform(small):
  assert_own_states(small)


@pytest.mark.parametrize('label', [lambda name: 'E1', lambda name: 'D', {'E1': 'E2', 'E2': 'E1', 'D': 'D'}.get])
def test_other_labels_of_multi_transform_would_be_noticed(small, monkeypatch, label):
  multi_transform = optax.multi_transform
  monkeypatch.setattr(optax, 'multi_transform', lambda transforms, labels: multi_transform(
      transforms, {name: label(name) for name in labels}))
  with pytest.raises(AssertionError):
    assert_own_states(small)


def test_each_stream_has_its_own_moments(small, truth):
  streams = split(small, 'adam')
  _, grads = gradients(small, streams)
  _, state = step(small, streams, grads=grads)
  for name in streams:
    moments = own_state(state, name)
    assert int(moments.count) == 1
    assert_close(moments.mu[name], {path: 0.1 * g for path, g in grads[name].items()})
    assert_close(moments.nu[name], {path: 0.001 * g**2 for path, g in grads[name].items()})
    others = [leaf for other in streams if other != name for leaf in jax.tree.leaves(moments.mu[other])]
    assert others == []
  _, changed = step(small, streams, grads=grads | {'E2': jax.tree.map(lambda g: 7 * g, grads['E2'])})
  jax.tree.map(np.testing.assert_array_equal, own_state(state, 'E1'), own_state(changed, 'E1'))
  jax.tree.map(np.testing.assert_array_equal, own_state(state, 'D'), own_state(changed, 'D'))
  assert all((a != b).any() for a, b in zip(jax.tree.leaves(own_state(state, 'E2').mu['E2']),
                                            jax.tree.leaves(own_state(changed, 'E2').mu['E2']), strict=True))
