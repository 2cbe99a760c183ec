"""The PyTorch peer computes what our step computes: losses, every stream's gradient, the policy, 20 steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from defect_jax import losses
from defect_jax.models.normalization import Normalizer
from defect_jax.models.vae import Vae
from defect_jax.training import routing
from defect_jax.training.autoencoder import Autoencoder
from defect_jax.training.control import Control
from defect_jax.training.trainer import Trainer

torch = pytest.importorskip('torch', reason='PyTorch, the extra `torch`, is not installed')
torch_peer = pytest.importorskip('experiments.torch_peer')
torch.set_num_threads(1)  # tiny tensors; idle threads that spin would slow down whatever runs beside

_BATCH, _STEPS, _LR = 6, 20, {'E1': 2e-3, 'E2': 4e-3, 'D': 6e-3}
_TARGETS = {'kld': 3.0, 'mse': 0.01}
_CONTROL = Control('pi', 1.0, {'kld': 1.0, 'mse': 2.0}, 2.0, 8.0, 0.08, {'kld': 12.0, 'mse': 4.0}, 0.8, 0.004)


@pytest.fixture(scope='module', params=[(1, 0, 'silu'), (3, 1, 'gelu')], ids=['grey', 'rgb, blocks'])
def job(request):
  channels, blocks, activation = request.param
  vae = Vae(32, channels, 4, (4, 6, 8), blocks, 5, activation)
  random = np.random.default_rng(0)

  def parameter(leaf):
    # Biases and the blocks' last kernels begin as zeros, which would hide mistakes in their order.
    return (random.standard_normal(leaf.shape) * (np.prod(leaf.shape[:-1]) or 1) ** -0.5).astype(np.float32)
  params = jax.tree.map(parameter, jax.eval_shape(vae.init, jax.random.key(0)))
  images = random.uniform(size=(_BATCH, 32, 32, channels)).astype(np.float32)
  noises = random.standard_normal((_STEPS, _BATCH, vae.latent)).astype(np.float32)
  return vae, params, images, Normalizer(images.mean(0), np.float32(0.3)), noises


@pytest.fixture(scope='module')
def ours(job):
  """Our losses `[steps, 2]` and the gradients of the first step."""
  vae, params, images, normalizer, noises = job
  settings = {name: {'loss': loss, 'params': f'{network}/.*', 'optimizer': 'adam_shared', 'lr': _LR[name]}
              for name, loss, network in (('E1', 'kld', 'encoder'), ('E2', 'mse', 'encoder'), ('D', 'mse', 'decoder'))}
  streams, _ = routing.resolve(settings, params)
  trainer = Trainer(Autoencoder(vae), {'kld': losses.KLD, 'mse': losses.MSE}, streams, jax.random.key(0), _CONTROL)

  @jax.jit
  def step(state, noise):
    batch = {'image': images, 'input': images, 'noise': noise}
    values, grads = routing.gradients(
        lambda params: trainer.model.outputs(params, state, batch), trainer.losses, streams, state.params, batch,
        np.full(_BATCH, 1 / _BATCH, np.float32))
    return trainer.update(state, values, grads)[0], values, grads

  state, history, first_grads = trainer.init(params, normalizer=normalizer, targets=_TARGETS), [], None
  for noise in noises:
    state, values, grads = step(state, noise)
    history.append([float(values['kld']), float(values['mse'])])
    first_grads = first_grads or jax.device_get(grads)
  return np.array(history), first_grads


def _peer(job, channels_last):
  vae, params, images, normalizer, _ = job
  return torch_peer.Peer(vae, params, normalizer, images, _BATCH, _LR, _CONTROL, dict(_TARGETS), channels_last)


@pytest.mark.parametrize('channels_last', [False, True])
def test_losses_and_gradients_of_all_streams_agree(job, ours, channels_last):
  _, _, images, normalizer, noises = job
  peer = _peer(job, channels_last)
  x = torch_peer.mirrored((images - normalizer.mean) / 0.3)
  values, grads = torch_peer.gradients(peer.model, x, torch.tensor(noises[0]), 0.3)
  losses, our_grads = ours
  np.testing.assert_allclose(losses[0], [values['kld'], values['mse']], rtol=1e-4)
  for name, tensors in grads.items():
    found = peer.model.as_flax('decoder' if name == 'D' else 'encoder', tensors)
    assert found.keys() == our_grads[name].keys()
    for path, gradient in our_grads[name].items():
      np.testing.assert_allclose(gradient, found[path], atol=1e-4 * np.abs(found[path]).max() + 1e-9,
                                 err_msg=f'{name} {path}')


@pytest.mark.parametrize('channels_last', [False, True])
def test_twenty_steps_of_shared_adam_and_pi_have_the_same_losses(job, ours, channels_last):
  peer, (losses, _) = _peer(job, channels_last), ours
  theirs = [list(peer.step(torch.tensor(noise)).values()) for noise in job[-1]]
  np.testing.assert_allclose(losses, theirs, rtol=0.01)
  assert np.all(np.abs(losses[-1] / losses[0] - 1) > 0.2), 'the run must have gone somewhere'


def test_the_policy_agrees_on_both_sides_of_the_targets():
  names = {'E1': ('kld', 'E'), 'E2': ('mse', 'E'), 'D': ('mse', 'D')}
  streams = {name: routing.Stream(loss, (path,), 'adam_shared', 1.0) for name, (loss, path) in names.items()}
  ours, state = jax.jit(lambda state, values: _CONTROL(streams, state, values)), _CONTROL.init(_TARGETS)
  theirs, gains = torch_peer.Pi(_CONTROL, _TARGETS), []
  for factor in np.exp(np.random.default_rng(0).normal(0, [0.05, 0.1], (40, 2))):
    values = {name: _TARGETS[name] * by for name, by in zip(('kld', 'mse'), factor, strict=True)}
    state, our_weights, our_gains = ours(state, jax.tree.map(jnp.float32, values))
    their_weights, their_gains = theirs(values)
    gains.append(list(their_gains.values()))
    np.testing.assert_allclose([our_weights[name] for name in values], list(their_weights.values()), rtol=1e-3)
    np.testing.assert_allclose([our_gains[name] for name in names], gains[-1], atol=1e-4)
  assert np.all(np.ptp(gains, 0) > 0.5), 'the gains must have varied'
