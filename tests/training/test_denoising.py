"""Denoising: the encoder sees what is corrupted, the decoder is to give the clean photo; off, nothing changes."""

import jax
import jax.numpy as jnp
import numpy as np
from conftest import gradients
from test_routing import ALL, resolve

from defect_jax.training import routing


def test_gradients_are_of_the_clean_image_from_the_code_of_the_corrupted_one(small):
  streams = resolve(small, all=('elbo', ALL, 'sgd', 0.1))
  image, weight = small.batch['image'], small.batch['weight']
  seen = jnp.clip(image + 0.3 * jax.random.normal(jax.random.key(3), image.shape), 0, 1)

  def elbo(params):
    q = small.vae.encode(params['encoder'], small.normalizer, seen)
    recon = small.vae.decode(params['decoder'], small.normalizer, q.mean + jnp.exp(q.logvar / 2) * small.noise)
    kld = jnp.sum(0.5 * (jnp.exp(q.logvar) + q.mean**2 - 1 - q.logvar), -1)
    return jnp.sum(weight * (0.5 * jnp.sum((recon - image)**2, (1, 2, 3)) + kld))

  expected = routing.flat(jax.jit(jax.grad(elbo))(small.params))
  _, grads = jax.jit(lambda p: gradients(small, streams, p, seen=seen))(small.params)
  for path, wanted in expected.items():
    np.testing.assert_allclose(grads['all'][path], wanted, rtol=0, atol=2e-5 * np.abs(wanted).max() + 1e-12)
