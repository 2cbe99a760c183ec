"""A VAE that is small enough for exact comparisons in seconds."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from defect_jax.models.normalization import Normalizer
from defect_jax.models.vae import Vae
from defect_jax.registry import LOSSES
from defect_jax.training import routing
from defect_jax.training.autoencoder import Autoencoder
from defect_jax.training.trainer import TrainState


@pytest.fixture(scope='session')
def small():
  """vae, params, state with the normalizer, images of a batch of 5, uneven weights and one padding, noise."""
  vae = Vae(size=8, channels=1, patch=2, widths=(4, 6), blocks=0, latent=3, activation='tanh')
  rng = np.random.default_rng(0)
  image = jnp.asarray(rng.uniform(size=(5, 8, 8, 1)), jnp.float32)
  normalizer = Normalizer(image.mean(0), jnp.float32(0.3))
  params = jax.jit(vae.init)(jax.random.key(1))
  return types.SimpleNamespace(
      vae=vae, params=params, normalizer=normalizer, state=TrainState(0, params, {}, (), {}, normalizer),
      batch={'image': image, 'weight': jnp.array([0.3, 0.2, 0.1, 0.4, 0.])},
      noise=jnp.asarray(rng.normal(size=(5, 3)), jnp.float32))


def gradients(small, streams, params=None, image=None, noise=None, seen=None, beta=1., losses=LOSSES, vae=None):
  """routing.gradients of the small VAE; `seen`: what is encoded, where it is not the image."""
  image = small.batch['image'] if image is None else image
  batch = {'image': image, 'input': image if seen is None else seen, 'beta': beta,
           'noise': small.noise if noise is None else noise}
  names = {'kld', 'mse', *(stream.loss for stream in streams.values())}
  model = Autoencoder(vae or small.vae)
  return routing.gradients(lambda p: model.outputs(p, small.state, batch), {name: losses[name] for name in names},
                           streams, small.params if params is None else params, batch, small.batch['weight'])


@pytest.fixture(scope='session', autouse=True)
def quick_compiles():
  """What these tests compute takes microseconds; what XLA optimizes it for takes seconds."""
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)
