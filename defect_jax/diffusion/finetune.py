"""The losses by which an inpainting pipeline learns: of its autoencoder, and of its UNet and text encoder.

Both are losses of training.descent.Descent: (params, frozen, batch, keys, slots) to a value an example.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from defect_jax import losses
from defect_jax.diffusion import pipeline, schedulers
from defect_jax.diffusion.sampler import Encoded
from defect_jax.models import features

RANGES = 4  # of timesteps, whose losses are seen apart


@dataclasses.dataclass(frozen=True)
class Autoencoding:
  """Squared error, LPIPS and a little KLD of reconstructions (Rombach et al. 2022, section 3.1, without a critic).

  Whole images, not pieces of them: trained on squares of half the side, an autoencoder took their borders for a measure
  of place, and its reconstructions of whole images were worse than their mean.

  Attributes: vae: FlaxAutoencoderKL. lpips, kld: weights beside the squared error of intensities in [0, 1].
  """
  vae: object
  lpips: float
  kld: float

  def __call__(self, params, frozen, batch, keys, slots):
    """params {'vae'}, frozen {'lpips': parameters of features.lpips}; batch: image `[b, S, S, 3]` in [0, 1]."""
    del slots
    image = batch['image']
    moments = pipeline.apply(self.vae, params['vae'], (2 * image - 1).transpose(0, 3, 1, 2),
                             method=self.vae.encode).latent_dist
    noise = jax.vmap(lambda key: jax.random.normal(key, moments.mean.shape[1:]))(keys)
    z = (moments.mean + moments.std * noise).transpose(0, 3, 1, 2)
    recon = pipeline.apply(self.vae, params['vae'], z, method=self.vae.decode).sample.transpose(0, 2, 3, 1) / 2 + 0.5
    count = len(noise)
    mse = losses.mse(recon, image)
    kld = losses.kld(moments.mean.reshape(count, -1), moments.logvar.reshape(count, -1))
    lpips = features.lpips(frozen['lpips'], recon, image)
    seen = {name: (of, jnp.ones_like(of)) for name, of in (('mse', mse), ('lpips', lpips), ('kld', kld))}
    return mse + self.lpips * lpips + self.kld * kld, seen

class Denoising:
  """The loss of latent diffusion (Rombach et al. 2022, equation 3), mostly of the area that is to be made anew.

  A slot of the batch always draws its timestep from the same of RANGES equal parts of the schedule, so that every
  batch of RANGES or more sees them all (stratified as in Kingma et al. 2021, appendix I.1).
  """

  def __init__(self, model, outside, text_drop, join=lambda params, frozen: frozen | params, again=False):
    """Takes a Pipeline, for its modules and schedule.

    Args:
      outside: weight of the squared error outside the mask; 1 inside.
      text_drop: how often the text is left out, so that guidance has something to go away from.
      join: (params, frozen) -> {'unet': tree, ...}, with 'text_encoder' where that learns too; else frozen has
        'contexts' `[P, T, D]`, one for each text.
      again: see pipeline.apply.
    """
    self._again = again
    self._model, self._outside, self._text_drop, self._join = model, outside, text_drop, join
    self._signal2 = schedulers.signal2(model.scheduler)
    self._velocity = schedulers.predicts_velocity(model.scheduler)

  def __call__(self, params, frozen, batch, keys, slots):
    """The loss of each example.

    Args:
      frozen: {'ids': int `[P, T]`, of the texts, the last of which is what a text left out becomes, ...}.
      batch: original, masked `[b, h, w, C]`, mask `[b, h, w]`, as Encoded, and text int `[b]`.
    """
    of = self._join(params, frozen)
    for_time, for_noise, for_text = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(keys)
    part = slots % RANGES
    trained = len(self._signal2)
    time = (part + jax.vmap(jax.random.uniform)(for_time)) / RANGES * trained
    time = jnp.minimum(time.astype(jnp.int32), trained - 1)  # [b]
    noise = jax.vmap(lambda key: jax.random.normal(key, batch['original'].shape[1:]))(for_noise)  # [b, h, w, C]
    signal2 = jnp.float32(self._signal2)[time][:, None, None, None]
    signal, sigma = jnp.sqrt(signal2), jnp.sqrt(1 - signal2)
    target = signal * noise - sigma * batch['original'] if self._velocity else noise
    dropped = jax.vmap(jax.random.uniform)(for_text) < self._text_drop
    text = jnp.where(dropped, len(frozen['ids']) - 1, batch['text'])
    contexts = (self._model.embed(of['text_encoder'], frozen['ids']) if 'text_encoder' in of
                else jnp.asarray(frozen['contexts']))
    out = self._model.predict(of, signal * batch['original'] + sigma * noise, time,
                              Encoded(batch['masked'], batch['original'], batch['mask']), contexts[text], self._again)
    weight = jnp.where(batch['mask'] > 0, 1., self._outside)  # [b, h, w]
    squares = jnp.mean(jnp.square(out - target), -1)
    values = jnp.sum(weight * squares, (1, 2)) / jnp.sum(weight, (1, 2))
    return values, {f'loss_t{place}': (values, jnp.float32(part == place)) for place in range(RANGES)}


def scale_of(encoded):
  """Deviation of latents about their mean, by which they are divided to vary by about 1, of a list of Encoded."""
  return float(np.std(np.stack([one.original for one in encoded])))
