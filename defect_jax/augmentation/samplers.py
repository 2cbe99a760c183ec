"""Where the latents of new images come from: the prior, or the photos' own posteriors.

A sampler is a function of keys, one per image, so image i is the same whatever is made with it. Its noise is multiplied
by a temperature: 1 follows the distribution, less stays nearer to its centres.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key
from scipy.spatial.distance import cdist
from sklearn.mixture import GaussianMixture

from defect_jax.config import UserError
from defect_jax.models.vae import Posterior

Images = Float[Array, 'b s s c']
NAMES = ('prior', 'posterior', 'interpolate', 'gmm', 'mosaic')
_SEAM = 0.02  # of the side: how soft the edge between the pieces of a mosaic is
_REACH = 0.25  # of the side: how far from the centre that edge may lie
_NONE = np.int32(-1)  # in place of a photo's index
_VARIANCE_FLOOR = 1e-3  # of a mixture's components, some of which would be points otherwise with few photos


class Other(NamedTuple):
  """Of a mosaic: z beyond a line through the image, the angle of the line's normal (radians), and the line's offset
  from the centre (in sides of the image)."""
  z: Float[Array, 'b z']
  angle: Float[Array, 'b']
  offset: Float[Array, 'b']


class Drawn(NamedTuple):
  """Latents, and the indices of the training photo that each starts from and of a second one; -1 for none."""
  z: Float[Array, 'b z']
  photo: Int[Array, 'b']
  partner: Int[Array, 'b']
  other: Other | None = None


Sampler = Callable[[Key[Array, 'b']], Drawn]


def make(name: str, posterior: Posterior, *, temperature: float, neighbours: int, components: int, seed: int,
         brightness: Float[np.ndarray, 'n']) -> Sampler:
  """The sampler `name`, of the posterior and the mean `brightness` of each training photo.

  prior: z of the prior. posterior: of the posterior of a random photo. interpolate: on the line from one photo's mean
  to that of one of its nearest `neighbours`, with their noise mixed alike. gmm: of a Gaussian mixture with diagonal
  covariances, fitted to the posterior means. mosaic: of the posteriors of a photo and of one of the `neighbours` most
  like it in brightness, whose decodings `images` joins. UserError for more components or neighbours than photos allow.
  """
  mean, std = jnp.asarray(posterior.mean), jnp.exp(0.5 * jnp.asarray(posterior.logvar))
  if name == 'prior':
    draw = functools.partial(_prior, mean.shape[1], temperature)
  elif name == 'posterior':
    draw = functools.partial(_posterior, mean, std, temperature)
  elif name == 'interpolate':
    draw = functools.partial(_interpolate, mean, std, temperature, _nearest(mean, neighbours))
  elif name == 'gmm':
    draw = functools.partial(_gmm, _mixture(mean, components, seed), temperature)
  else:
    draw = functools.partial(_mosaic, mean, std, temperature, _nearest(jnp.asarray(brightness)[:, None], neighbours))
  return jax.vmap(draw)


def images(decode: Callable[[Float[Array, 'b z']], Images], drawn: Drawn) -> Images:
  """The images of what was drawn."""
  if drawn.other is None:
    return decode(drawn.z)
  return join(decode(drawn.z), decode(drawn.other.z), drawn.other.angle, drawn.other.offset)


def join(first: Images, second: Images, angle: Float[Array, 'b'], offset: Float[Array, 'b']) -> Images:
  """Images that are `first` on one side of a line (see Other) and, where its normal points to, `second`; a soft edge.

  Photos of one part lie one above the other, so a piece keeps its place. The second is made as bright as the first,
  since one photo has one exposure.
  """
  side = first.shape[1]
  y, x = (jnp.mgrid[:side, :side] + 0.5) / side - 0.5
  angle, offset = angle[:, None, None], offset[:, None, None]
  beyond = jnp.cos(angle) * x + jnp.sin(angle) * y - offset  # [B, S, S], in sides of the image
  share = jax.nn.sigmoid(beyond / _SEAM)[..., None]
  bright = [jnp.maximum(jnp.mean(image, (1, 2, 3), keepdims=True), 1e-3) for image in (first, second)]
  return (1 - share) * first + share * second * jnp.clip(bright[0] / bright[1], 0.5, 2)


def _prior(latent, temperature, key):
  return Drawn(temperature * jax.random.normal(key, (latent,)), _NONE, _NONE)


def _posterior(mean, std, temperature, key):
  for_photo, for_noise = jax.random.split(key)
  photo = jax.random.randint(for_photo, (), 0, len(mean))
  return Drawn(mean[photo] + temperature * std[photo] * jax.random.normal(for_noise, mean.shape[1:]), photo, _NONE)


def _nearest(points, neighbours):
  """Indices of the `neighbours` points `[N, D]` nearest to each, `[N, neighbours]`."""
  count = len(points)
  if neighbours >= count:
    raise UserError(f'sampler.neighbours = {neighbours}: a photo of {count} has {count - 1} others; ask for at most '
                    'that many')
  distance = cdist(points, points)
  np.fill_diagonal(distance, -1)
  return jnp.asarray(np.argsort(distance, axis=1, kind='stable')[:, 1:neighbours + 1])


def _pair(partners, for_photo, for_other):
  """Indices of a random photo and of one of its partners."""
  photo = jax.random.randint(for_photo, (), 0, len(partners))
  return photo, partners[photo, jax.random.randint(for_other, (), 0, partners.shape[1])]


def _interpolate(mean, std, temperature, partners, key):
  for_photo, for_other, for_place, for_noise = jax.random.split(key, 4)
  photo, other = _pair(partners, for_photo, for_other)
  place, noise = jax.random.uniform(for_place), jax.random.normal(for_noise, mean.shape[1:])
  center, spread = ((1 - place) * values[photo] + place * values[other] for values in (mean, std))
  return Drawn(center + temperature * spread * noise, photo, other)


def _mosaic(mean, std, temperature, partners, key):
  for_photo, for_other, for_line, for_noise = jax.random.split(key, 4)
  photo, other = _pair(partners, for_photo, for_other)
  noise, (angle, offset) = jax.random.normal(for_noise, (2, mean.shape[1])), jax.random.uniform(for_line, (2,))
  z, other_z = (mean[index] + temperature * std[index] * own for index, own in zip((photo, other), noise, strict=True))
  return Drawn(z, photo, other, Other(other_z, 2 * jnp.pi * angle, _REACH * (2 * offset - 1)))


def _mixture(mean, components, seed):
  """Logarithms of the weights, centres and standard deviations of a mixture fitted to the means."""
  if components > len(mean):
    raise UserError(f'sampler.components = {components}: more than the {len(mean)} photos that the mixture is fitted '
                    'to; ask for fewer')
  fitted = GaussianMixture(components, covariance_type='diag', reg_covar=_VARIANCE_FLOOR, random_state=seed,
                                   n_init=3).fit(np.float64(mean))
  return (jnp.log(jnp.float32(fitted.weights_)), jnp.float32(fitted.means_),
          jnp.float32(np.sqrt(fitted.covariances_)))


def _gmm(mixture, temperature, key):
  log_weights, centers, spreads = mixture
  for_component, for_noise = jax.random.split(key)
  component = jax.random.categorical(for_component, log_weights)
  z = centers[component] + temperature * spreads[component] * jax.random.normal(for_noise, centers.shape[1:])
  return Drawn(z, _NONE, _NONE)
