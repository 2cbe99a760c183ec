"""Where the latents of new images come from: the prior, or the photos' own posteriors.

A sampler is a function of keys, one an image, so image i is the same whatever is made with it. Every sampler has a
temperature that its noise is multiplied by: 1 follows the distribution, less stays nearer to its centres.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn import mixture

from defect_jax.config import UserError

NAMES = ('prior', 'posterior', 'interpolate', 'gmm', 'mosaic')
_SEAM = 0.02  # of the side: how soft the edge between the pieces of a mosaic is
_REACH = 0.25  # of the side: how far from the centre that edge may lie
_NONE = np.int32(-1)  # of a photo's row
_VARIANCE_FLOOR = 1e-3  # of a mixture's components: few photos would else make some of them points


class Other(NamedTuple):
  """What a mosaic has beyond the line through the image: z `[B, Z]`, and the line.

  angle: of the line's normal, radians `[B]`. offset: of the line from the centre, in sides of the image, `[B]`.
  """
  z: jax.Array
  angle: jax.Array
  offset: jax.Array


class Drawn(NamedTuple):
  """z float32 `[B, Z]`, and the rows of the training photo it starts from and of a second one, int32 `[B]`; -1 for
  none."""
  z: jax.Array
  photo: jax.Array
  partner: jax.Array
  other: Other | None = None


def make(name, posterior, *, temperature, neighbours, components, seed, brightness):
  """The sampler `name`.

  Args:
    name: one of NAMES. prior: z of the prior. posterior: of the posterior of a random training photo. interpolate: on
      the line from one photo's mean to that of one of its nearest `neighbours`, with their noise mixed alike. gmm: of a
      Gaussian mixture with diagonal covariances fitted to the posterior means. mosaic: of the posteriors of a photo and
      of one of the `neighbours` most like it in brightness, whose decodings `images` joins.
    posterior: models.vae.Posterior of the training photos, `[N, Z]`.
    temperature: of the noise. neighbours: of interpolate and mosaic. components: of gmm. seed: of the fit.
    brightness: `[N]`, mean of each photo.

  Returns keys `[B]` -> Drawn. UserError for more components or neighbours than the photos allow.
  """
  mean, std = jnp.asarray(posterior.mean), jnp.exp(0.5 * jnp.asarray(posterior.logvar))
  if name == 'prior':
    one = _prior(mean.shape[1], temperature)
  elif name == 'posterior':
    one = _posterior(mean, std, temperature)
  elif name == 'interpolate':
    one = _interpolate(mean, std, temperature, neighbours)
  elif name == 'gmm':
    one = _gmm(mean, temperature, components, seed)
  else:
    one = _mosaic(mean, std, temperature, _nearest(jnp.asarray(brightness)[:, None], neighbours))
  return jax.vmap(one)


def images(decode, drawn):
  """Images `[B, S, S, C]` of a Drawn by `decode`, z `[B, Z]` to images."""
  if drawn.other is None:
    return decode(drawn.z)
  return join(decode(drawn.z), decode(drawn.other.z), drawn.other.angle, drawn.other.offset)


def join(first, second, angle, offset):
  """Images that are `first` on one side of a line and `second` on the other, with a soft edge.

  Photos of one part lie one above the other, so a piece keeps its place. The second is made as bright as the first,
  since one photo has one exposure.

  Args:
    first, second: `[B, S, S, C]`. angle, offset: `[B]`, see Other; the second lies on the side of the normal.
  """
  side = first.shape[1]
  y, x = (jnp.mgrid[:side, :side] + 0.5) / side - 0.5
  angle, offset = angle[:, None, None], offset[:, None, None]
  beyond = jnp.cos(angle) * x + jnp.sin(angle) * y - offset  # [B, S, S], in sides of the image
  share = jax.nn.sigmoid(beyond / _SEAM)[..., None]
  bright = [jnp.maximum(jnp.mean(image, (1, 2, 3), keepdims=True), 1e-3) for image in (first, second)]
  return (1 - share) * first + share * second * jnp.clip(bright[0] / bright[1], 0.5, 2)


def _prior(latent, temperature):
  def one(key):
    return Drawn(temperature * jax.random.normal(key, (latent,)), _NONE, _NONE)
  return one


def _posterior(mean, std, temperature):
  def one(key):
    for_photo, for_noise = jax.random.split(key)
    photo = jax.random.randint(for_photo, (), 0, len(mean))
    return Drawn(mean[photo] + temperature * std[photo] * jax.random.normal(for_noise, mean.shape[1:]), photo, _NONE)
  return one


def _nearest(points, neighbours):
  """Rows of the `neighbours` points `[N, D]` nearest to each, `[N, neighbours]`."""
  count = len(points)
  if neighbours >= count:
    raise UserError(f'sampler.neighbours = {neighbours}: a photo of {count} has {count - 1} others; ask for at most '
                    'that many')
  distance = jnp.sum(jnp.square(points[:, None] - points[None]), -1)
  return jnp.argsort(distance.at[jnp.arange(count), jnp.arange(count)].set(-1), axis=1)[:, 1:neighbours + 1]


def _interpolate(mean, std, temperature, neighbours):
  nearest = _nearest(mean, neighbours)

  def one(key):
    for_photo, for_other, for_place, for_noise = jax.random.split(key, 4)
    photo = jax.random.randint(for_photo, (), 0, len(mean))
    other = nearest[photo, jax.random.randint(for_other, (), 0, neighbours)]
    place = jax.random.uniform(for_place)
    noise = jax.random.normal(for_noise, mean.shape[1:])
    center, spread = ((1 - place) * of[photo] + place * of[other] for of in (mean, std))
    return Drawn(center + temperature * spread * noise, photo, other)
  return one


def _mosaic(mean, std, temperature, partners):
  def one(key):
    for_photo, for_other, for_line, for_noise = jax.random.split(key, 4)
    photo = jax.random.randint(for_photo, (), 0, len(mean))
    other = partners[photo, jax.random.randint(for_other, (), 0, partners.shape[1])]
    noise = jax.random.normal(for_noise, (2, mean.shape[1]))
    z, other_z = (mean[row] + temperature * std[row] * own for row, own in zip((photo, other), noise, strict=True))
    turn, place = jax.random.uniform(for_line, (2,))
    return Drawn(z, photo, other, Other(other_z, 2 * jnp.pi * turn, _REACH * (2 * place - 1)))
  return one


def _gmm(mean, temperature, components, seed):
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
    z = centers[at] + temperature * spreads[at] * jax.random.normal(for_noise, mean.shape[1:])
    return Drawn(z, _NONE, _NONE)
  return one
