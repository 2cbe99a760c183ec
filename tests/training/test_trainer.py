"""One step: which figures it reports, what it moves, and that devices, padding and fusing change nothing."""

import dataclasses
import functools
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from defect_jax import parallel
from defect_jax.data import augment, dataset
from defect_jax.models.normalization import Normalizer
from defect_jax.models.vae import Vae
from defect_jax.registry import LOSSES
from defect_jax.training import control, feeds, routing
from defect_jax.training import trainer as training
from defect_jax.training.autoencoder import Autoencoder

ROOT = Path(__file__).resolve().parents[2]
ENCODER, DECODER = 'encoder/.*', 'decoder/.*'
LIGHT = {'flip_horizontal': True, 'flip_vertical': True, 'shift': 2, 'brightness': 0.1}
SPLIT = {'E1': ('kld', ENCODER), 'E2': ('mse', ENCODER), 'D': ('mse', DECODER)}
TARGETS = {'kld': 4., 'mse': 0.01}


def photos(count=25):
  return np.random.default_rng(1).uniform(size=(count, 8, 8, 1)).astype(np.float32)


def trainer(streams=SPLIT, optimizer='sgd', lr=0.02, policy='constant', light=None, cls=training.Trainer, beta=1.):
  """A Trainer of a tiny VAE, and the state before its first step."""
  vae = Vae(size=8, channels=1, patch=2, widths=(4, 6), blocks=0, latent=3, activation='tanh')
  params = jax.jit(vae.init)(jax.random.key(0))
  settings = {name: {'loss': loss, 'params': pattern, 'optimizer': optimizer, 'lr': lr}
              for name, (loss, pattern) in streams.items()}
  rule = control.Control(policy=policy, beta=beta, weights={'kld': 1., 'mse': 1.}, slope=2., proportional=8.,
                         integral=0.1, speed={'kld': 12., 'mse': 4.}, smoothing=0.9, slew=0.004)
  names = {*TARGETS, *(loss for loss, _ in streams.values())}
  model = Autoencoder(vae, functools.partial(augment.augment, **(light or {})))
  made = cls(model, {name: LOSSES[name] for name in names},
             routing.resolve(settings, params)[0], jax.random.key(5), rule)
  images = photos()
  normalizer = Normalizer(jnp.asarray(images.mean(0)), jnp.float32(images.std()))
  return made, made.init(params, normalizer=normalizer, targets=TARGETS)


class GradientsOnly(training.Trainer):
  """Whose step returns the gradients summed over devices."""

  def update(self, state, values, grads):
    return values, grads


_COMPILED = {}


def one_step(made, fresh, images, batch):
  """What the first step returns, of a batch of the photos in their order, the rest padding."""
  def step(now, images):
    slots = parallel.own_slots(batch)
    index = jnp.minimum(slots, len(photos()) - 1)
    return made.step(now, {'image': images[index], 'weight': jnp.float32(slots < len(photos()))}, slots)
  compiled = _COMPILED.setdefault(repr((made.streams, made.control, type(made), made.model, made.decay, batch)),
                                  parallel.pmap(step))
  return jax.device_get(parallel.first(compiled(parallel.replicate(fresh), parallel.replicate(images))))


def run(made, fresh, steps, images=None, batch=25, fused=1):
  """(parameters, metrics) after steps of a ResidentFeed."""
  feed = feeds.ResidentFeed(made, photos() if images is None else images, batch, jax.random.key(9), fused)
  after, metrics = feed.advance(parallel.replicate(fresh), steps)
  return jax.device_get(parallel.first(after)), metrics


def write_figures(path):
  """Gradients of a step, without and with augmentation, and a run of 50; also made with one device, see below."""
  figures = {}
  for what, light in (('plain', None), ('light', LIGHT)):
    _, grads = one_step(*trainer(light=light, cls=GradientsOnly), photos(), 25)
    figures |= {f'{what} gradient {name} {leaf}': g for name, tree in grads.items() for leaf, g in tree.items()}
  after, metrics = run(*trainer(light=LIGHT), 50)
  figures |= {f'params {leaf}': p for leaf, p in routing.flat(after.params).items()}
  figures |= {f'metric {name}': m for name, m in metrics.items() if name.startswith('train/')}
  np.savez(path, devices=parallel.devices(), **figures)


@pytest.fixture(scope='module')
def figures(tmp_path_factory):
  """Figures of 8 devices, here, and of one device, by a process of its own."""
  folder = tmp_path_factory.mktemp('figures')
  env = {k: v for k, v in os.environ.items() if k != 'XLA_FLAGS'} | {
      'PYTHONPATH': str(ROOT), 'JAX_DISABLE_MOST_OPTIMIZATIONS': '1'}
  other = subprocess.Popen([sys.executable, __file__, str(folder / '1.npz')], env=env)
  write_figures(folder / '8.npz')
  assert other.wait(200) == 0
  eight, one = (dict(np.load(folder / f'{n}.npz')) for n in (8, 1))
  assert (eight.pop('devices'), one.pop('devices')) == (8, 1)
  return eight, one


@pytest.mark.parametrize('what', ['plain gradient', 'light gradient', 'params', 'metric'])
def test_25_images_on_8_devices_are_25_images_on_1(figures, what):
  eight, one = ({k: v for k, v in part.items() if k.startswith(what)} for part in figures)
  assert eight.keys() == one.keys() and eight
  for name, expected in one.items():
    error = np.linalg.norm(eight[name] - expected) / max(np.linalg.norm(expected), 1e-6)
    assert error <= 1e-5, (name, error)


def test_augmentation_was_on(figures):
  _, one = figures
  assert any((one[k] != one[k.replace('light', 'plain')]).any() for k in one if k.startswith('light gradient'))


def test_padding_has_no_weight():
  """A batch of 25 photos and padding, in the same slots, has the gradients of 25 photos."""
  made, fresh = trainer(cls=GradientsOnly)
  values, grads = one_step(made, fresh, photos(), 25)
  values_of_padded, grads_of_padded = one_step(made, fresh, photos(), 40)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6 * np.abs(b).max()),
               (values_of_padded, grads_of_padded), (values, grads))


def test_a_step_weighs_all_photos_alike():
  """The values of the first step against plain means over the photos with their slots' noise."""
  made, fresh = trainer(cls=GradientsOnly)
  values, _ = one_step(made, fresh, photos(), 25)
  keys = [jax.random.split(jax.random.fold_in(jax.random.fold_in(jax.random.key(5), 0), slot))[0] for slot in range(25)]
  noise = np.array([jax.random.normal(key, (3,)) for key in keys])
  q = made.model.vae.encode(fresh.params['encoder'], fresh.normalizer, photos())
  recon = made.model.vae.decode(fresh.params['decoder'], fresh.normalizer, q.mean + np.exp(q.logvar / 2) * noise)
  kld = 0.5 * np.sum(np.exp(q.logvar) + np.square(q.mean) - 1 - q.logvar, 1)
  assert float(values['kld']) == pytest.approx(float(kld.mean()), rel=1e-5)
  assert float(values['mse']) == pytest.approx(float(np.mean((recon - photos())**2)), rel=1e-5)


def test_noise_changes_with_the_step():
  made, fresh = trainer(cls=GradientsOnly)
  first, _ = one_step(made, fresh, photos(), 25)
  again, _ = one_step(made, fresh, photos(), 25)
  later, _ = one_step(made, fresh.replace(step=jnp.int32(1)), photos(), 25)
  assert first['mse'] == again['mse'] != later['mse'] and first['kld'] == later['kld']


def test_metrics_of_a_step():
  made, fresh = trainer(optimizer='sgd', lr=0.02)
  _, grads = one_step(GradientsOnly(**vars(made)), fresh, photos(), 25)
  after, metrics = one_step(made, fresh, photos(), 25)
  assert int(after.step) == 1
  norms = {name: np.sqrt(sum(np.sum(g**2) for g in tree.values())) for name, tree in grads.items()}
  for name, norm in norms.items():
    assert float(metrics[f'norm/{name}']) == pytest.approx(norm, rel=1e-5)
    assert float(metrics[f'update/{name}']) == pytest.approx(0.02 * norm, rel=1e-5)
    assert metrics[f'gain/{name}'] == 1
  inner = sum(np.sum(grads['E1'][path] * grads['E2'][path]) for path in grads['E1'])
  assert float(metrics['cosine/E1_E2']) == pytest.approx(inner / norms['E1'] / norms['E2'], abs=1e-5)
  assert (float(metrics['target/kld']), float(metrics['target/mse'])) == pytest.approx((4., 0.01))


def test_the_running_mean_is_by_hand_and_changes_no_step():
  plain, fresh = trainer()
  averaging = dataclasses.replace(plain, decay=0.75)
  began = averaging.init(fresh.params, normalizer=fresh.normalizer, targets=TARGETS)
  assert fresh.result is fresh.params and began.result is began.average
  mean, now, without = fresh.params, began, fresh
  for _ in range(3):
    now, without = (one_step(averaging, now, photos(), 25)[0], one_step(plain, without, photos(), 25)[0])
    jax.tree.map(np.testing.assert_array_equal, now.params, without.params)
    mean = jax.tree.map(lambda a, p: 0.75 * a + 0.25 * p, mean, now.params)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7), now.result, mean)
  assert not without.average


def test_cosines_by_layer_are_of_that_layer_alone():
  a = {'low/kernel': jnp.array([[1., 0.]]), 'low/bias': jnp.array([2.]), 'top/bias': jnp.ones(1)}
  b = {'low/kernel': jnp.array([[0., 1.]]), 'low/bias': jnp.array([2.]), 'top/bias': -jnp.ones(1)}
  found = {name: float(value) for name, value in training.cosines(a, b).items()}
  # low: 4 / (sqrt 5 sqrt 5); top: -1; whole: (4 - 1) / (sqrt 6 sqrt 6).
  assert found == pytest.approx({'low': 0.8, 'top': -1., 'E1_E2': 0.5}, rel=1e-5)


def test_cosines_of_opposite_equal_and_disjoint_gradients():
  a, b = {'x': jnp.array([1., 2.]), 'y': jnp.ones(3)}, {'x': jnp.array([-1., -2.])}
  assert float(training.cosines(a, a)['E1_E2']) == pytest.approx(1.)
  assert float(training.cosines(a, b)['E1_E2']) == pytest.approx(-1.)
  assert float(training.cosines(b, {'x': jnp.array([2., -1.])})['E1_E2']) == pytest.approx(0., abs=1e-7)
  assert training.cosines(a, {'z': jnp.ones(1)})['E1_E2'] == 0
  assert training.cosines(a, {'x': jnp.zeros(2)})['E1_E2'] == 0


def test_the_joint_gradient_takes_beta_from_the_controllers_state():
  joint = {'joint': ('elbo', '(encoder|decoder)/.*')}
  made, fresh = trainer(joint, cls=GradientsOnly, policy='pi')
  grads = [one_step(made, fresh.replace(control=fresh.control | {'beta': jnp.float32(beta)}), photos(), 25)[1]['joint']
           for beta in (0., 1., 3.)]
  for path, zero in grads[0].items():  # linear in beta
    np.testing.assert_allclose(grads[2][path] - zero, 3 * (grads[1][path] - zero), rtol=1e-3, atol=1e-4)
  assert np.abs(grads[1]['encoder/mean/kernel'] - grads[0]['encoder/mean/kernel']).max() > 1e-3


# Feeding


class Cached:
  """Photos as dataset.Dataset gives them."""

  def __init__(self):
    self.images = np.round(photos(19) * 65535).astype(np.uint16)

  def __len__(self):
    return len(self.images)

  def __getitem__(self, index):
    return self.images[index]


@pytest.fixture(scope='module')
def single_steps():
  """(Trainer, state before step 3, (state, metrics) after four single steps) with batches that straddle epochs."""
  made, fresh = trainer(optimizer='adam_shared', lr=0.002, policy='pi', light=LIGHT)
  fresh = fresh.replace(step=jnp.int32(3))
  return made, fresh, run(made, fresh, 4, dataset.as_float(Cached().images), batch=6)


def test_streamed_is_resident_bit_for_bit(single_steps):
  made, fresh, (resident, rows) = single_steps
  feed = feeds.StreamedFeed(made, Cached(), 6, jax.random.key(9), 3)
  try:
    streamed, metrics = feed.advance(parallel.replicate(fresh), 4)
  finally:
    feed.close()
  jax.tree.map(np.testing.assert_array_equal, metrics, rows)
  jax.tree.map(np.testing.assert_array_equal, jax.device_get(parallel.first(streamed)), resident)


def test_fused_steps_are_single_steps(single_steps):
  made, fresh, (single, rows) = single_steps
  fused, fused_rows = run(made, fresh, 4, dataset.as_float(Cached().images), batch=6, fused=3)
  assert int(single.step) == int(fused.step) == 7
  assert rows.keys() == fused_rows.keys()
  for name, values in rows.items():
    assert values.shape == (4,)
    np.testing.assert_allclose(fused_rows[name], values, rtol=1e-3, atol=1e-5, err_msg=name)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), fused.params, single.params)


if __name__ == '__main__':
  write_figures(sys.argv[1])
