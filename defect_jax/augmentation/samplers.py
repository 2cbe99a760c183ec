"""Where the latents of new images come from: the prior, or the photos' own posteriors.

A sampler is a function of keys, one an image, so image i is the same whatever is made with it. Every sampler has a
temperature that its noise is multiplied by: 1 follows the distribution, less stays nearer to its centres.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn import mixture

from defect_jax.config import UserError

NAMES = ('prior', 'posterior', 'interpolate', 'gmm')
_VARIANCE_FLOOR = 1e-3  # of a mixture's components: few photos would else make some of them points


class Drawn(NamedTuple):
  """z float32 `[B, Z]`, and the row of the training photo it starts from, int32 `[B]`; -1 for none."""
  z: jax.Array
  photo: jax.Array


def make(name, posterior, *, temperature, neighbours, components, seed):
  """The sampler `name`.

  Args:
    name: one of NAMES. prior: z of the prior. posterior: of the posterior of a random training photo. interpolate: on
      the line from one photo's mean to that of one of its nearest `neighbours`, with their noise mixed alike. gmm: of a
      Gaussian mixture with diagonal covariances fitted to the posterior means.
    posterior: models.vae.Posterior of the training photos, `[N, Z]`.
    temperature: of the noise. neighbours: of interpolate. components: of gmm. seed: of the fit.

  Returns keys `[B]` -> Drawn. UserError for more components or neighbours than the photos allow.
  """
  mean, std = jnp.asarray(posterior.mean), jnp.exp(0.5 * jnp.asarray(posterior.logvar))
  if name == 'prior':
    one = _prior(mean.shape[1], temperature)
  elif name == 'posterior':
    one = _posterior(mean, std, temperature)
  elif name == 'interpolate':
    one = _interpolate(mean, std, temperature, neighbours)
  else:
    one = _gmm(mean, temperature, components, seed)
  return jax.vmap(one)


def _prior(latent, temperature) -> Callable:
  def one(key):
    return Drawn(temperature * jax.random.normal(key, (latent,)), jnp.int32(-1))
  return one


def _posterior(mean, std, temperature) -> Callable:
  def one(key):
    for_photo, for_noise = jax.random.split(key)
    photo = jax.random.randint(for_photo, (), 0, len(mean))
    return Drawn(mean[photo] + temperature * std[photo] * jax.random.normal(for_noise, mean.shape[1:]), photo)
  return one


def _interpolate(mean, std, temperature, neighbours) -> Callable:
  if neighbours >= len(mean):
    raise UserError(f'sampler.neighbours = {neighbours}: a photo of {len(mean)} has {len(mean) - 1} others; ask for '
                    'at most that many')
  distance = jnp.sum(jnp.square(mean[:, None] - mean[None]), -1)
  nearest = jnp.argsort(distance, axis=1)[:, 1:neighbours + 1]  # [N, neighbours]

  def one(key):
    for_photo, for_other, for_place, for_noise = jax.random.split(key, 4)
    photo = jax.random.randint(for_photo, (), 0, len(mean))
    other = nearest[photo, jax.random.randint(for_other, (), 0, neighbours)]
    place = jax.random.uniform(for_place)
    noise = jax.random.normal(for_noise, mean.shape[1:])
    center, spread = ((1 - place) * of[photo] + place * of[other] for of in (mean, std))
    return Drawn(center + temperature * spread * noise, photo)
  return one


def _gmm(mean, temperature, components, seed) -> Callable:
  if components > len(mean):
    raise UserError(f'sampler.components = {components}: more than the {len(mean)} photos that the mixture is fitted '
                    'to; ask for fewer')
  fitted = mixture.GaussianMixture(components, covariance_type='diag', reg_covar=_VARIANCE_FLOOR, random_state=seed,
                                   n_init=3).fit(np.float64(mean))
  log_weights = jnp.log(jnp.float32(fitted.weights_))
  centers, spreads = jnp.float32(fitted.means_), jnp.float32(np.sqrt(fitted.covariances_))

  def one(key):
    for_component, for_noise = jax.random.split(key)
    at = jax.random.categorical(for_component, log_weights)
    return Drawn(centers[at] + temperature * spreads[at] * jax.random.normal(for_noise, mean.shape[1:]), jnp.int32(-1))
  return one
