"""A VAE that is small enough for exact comparisons in seconds."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from defect_jax.models.vae import Standard, Vae


@pytest.fixture(scope='session')
def small():
  """vae, params, standard, a batch of 5 with uneven weights and one padding, noise, as attributes."""
  vae = Vae(size=8, channels=1, patch=2, widths=(4, 6), blocks=0, latent=3, activation='tanh')
  rng = np.random.default_rng(0)
  image = jnp.asarray(rng.uniform(size=(5, 8, 8, 1)), jnp.float32)
  batch = {'image': image, 'weight': jnp.array([0.3, 0.2, 0.1, 0.4, 0.])}
  standard = Standard(image.mean(0), jnp.float32(0.3))
  return types.SimpleNamespace(vae=vae, params=jax.jit(vae.init)(jax.random.key(1)), standard=standard, batch=batch,
                               noise=jnp.asarray(rng.normal(size=(5, 3)), jnp.float32))


@pytest.fixture(scope='session', autouse=True)
def quick_compiles():
  """What these tests compute takes microseconds; what XLA optimizes it for takes seconds."""
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)
