"""What an inpainting pipeline learns by: its autoencoder, and then UNet and text encoder in its latents.

Both are models of training.trainer.Trainer, with the losses that it takes.
"""

import dataclasses
import operator
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from defect_jax import losses
from defect_jax.diffusion import pipeline, schedulers
from defect_jax.diffusion.sampler import Encoded
from defect_jax.losses import Loss, Outputs
from defect_jax.models import features

RANGES = 4  # of timesteps, whose losses are reported apart


@dataclasses.dataclass(frozen=True)
class Autoencoding:
  """An autoencoder FlaxAutoencoderKL; batches have image `[b, S, S, 3]` in [0, 1].

  Whole images, not pieces of them: trained on squares of half the side, an autoencoder took their borders for a measure
  of place, and its reconstructions of whole images were worse than their mean.
  """
  vae: Any

  def inputs(self, batch: Mapping[str, Array], keys: Key[Array, 'b'], slots: Int[Array, 'b']) -> dict[str, Array]:
    del slots
    return {'image': batch['image'], 'keys': keys}

  def outputs(self, params: Mapping[str, Any], state: Any, batch: Mapping[str, Array]) -> Outputs:
    """{'mse', 'kld', 'lpips'}, each `[b]`; the state's `frozen` has {'lpips': parameters of features.lpips}."""
    image = batch['image']
    moments = pipeline.apply(self.vae, params['vae'], (2 * image - 1).transpose(0, 3, 1, 2),
                             method=self.vae.encode).latent_dist
    noise = jax.vmap(lambda key: jax.random.normal(key, moments.mean.shape[1:]))(batch['keys'])
    z = (moments.mean + moments.std * noise).transpose(0, 3, 1, 2)
    recon = pipeline.apply(self.vae, params['vae'], z, method=self.vae.decode).sample.transpose(0, 2, 3, 1) / 2 + 0.5
    count = len(noise)
    return {'mse': losses.mse(recon, image), 'lpips': features.lpips(state.frozen['lpips'], recon, image),
            'kld': losses.kld(moments.mean.reshape(count, -1), moments.logvar.reshape(count, -1))}


def autoencoding_losses(lpips: float, kld: float) -> dict[str, Loss]:
  """Squared error, LPIPS and a little KLD (Rombach et al. 2022, section 3.1, without a critic), and each alone.

  lpips, kld: weights beside the squared error of intensities in [0, 1].
  """
  def total(outputs):
    return outputs['mse'] + lpips * outputs['lpips'] + kld * outputs['kld']

  return {'loss': Loss(('mse', 'lpips', 'kld'), total)} | {
      name: Loss((name,), operator.itemgetter(name)) for name in ('mse', 'lpips', 'kld')}


class Denoising:
  """Latent diffusion (Rombach et al. 2022, equation 3), mostly of the area that is to be made anew.

  A slot of the batch always draws its timestep from the same of RANGES equal parts of the schedule, so that every
  batch of RANGES or more sees them all (stratified as in Kingma et al. 2021, appendix I.1).
  """

  def __init__(self, model: pipeline.Pipeline, outside: float, cond_drop_prob: float,
               join: Callable[[Any, Any], Mapping[str, Any]] = lambda params, frozen: frozen | params,
               remat: bool = False):
    """Takes a Pipeline, for its modules and schedule.

    Args:
      outside: weight of the squared error outside the mask; 1 inside.
      cond_drop_prob: how often the text is left out, so that guidance has something to go away from.
      join: (params, frozen) -> {'unet': tree, ...}, with 'text_encoder' where that learns too; else frozen has
        'contexts' `[P, T, D]`, one for each text.
      remat: see pipeline.apply.
    """
    self._remat = remat
    self._model, self._outside, self._cond_drop_prob, self._join = model, outside, cond_drop_prob, join
    self._signal2 = schedulers.signal2(model.scheduler)
    self._velocity = schedulers.predicts_velocity(model.scheduler)

  def inputs(self, batch: Mapping[str, Array], keys: Key[Array, 'b'], slots: Int[Array, 'b']) -> dict[str, Array]:
    """Batches have original, masked `[b, h, w, C]`, mask `[b, h, w]`, as Encoded, and text int `[b]`."""
    return {**batch, 'keys': keys, 'range': slots % RANGES}

  def outputs(self, params: Mapping[str, Any], state: Any, batch: Mapping[str, Array]) -> Outputs:
    """{'error': weighted squared error `[b]`}.

    The state's `frozen` has {'ids': int `[P, T]`, ...}, of the texts; the last is what a text left out becomes.
    """
    return {'error': self.error(params, state.frozen, batch)}

  def error(self, params: Mapping[str, Any], frozen: Mapping[str, Any], batch: Mapping[str, Array]
            ) -> Float[Array, 'b']:
    """See `outputs`."""
    parts = self._join(params, frozen)
    for_time, for_noise, for_text = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(batch['keys'])
    trained = len(self._signal2)
    time = (batch['range'] + jax.vmap(jax.random.uniform)(for_time)) / RANGES * trained
    time = jnp.minimum(time.astype(jnp.int32), trained - 1)  # [b]
    noise = jax.vmap(lambda key: jax.random.normal(key, batch['original'].shape[1:]))(for_noise)  # [b, h, w, C]
    signal2 = jnp.float32(self._signal2)[time][:, None, None, None]
    signal, sigma = jnp.sqrt(signal2), jnp.sqrt(1 - signal2)
    target = signal * noise - sigma * batch['original'] if self._velocity else noise
    dropped = jax.vmap(jax.random.uniform)(for_text) < self._cond_drop_prob
    text = jnp.where(dropped, len(frozen['ids']) - 1, batch['text'])
    contexts = (self._model.embed(parts['text_encoder'], frozen['ids']) if 'text_encoder' in parts
                else jnp.asarray(frozen['contexts']))
    out = self._model.predict(parts, signal * batch['original'] + sigma * noise, time,
                              Encoded(batch['masked'], batch['original'], batch['mask']), contexts[text], self._remat)
    weight = jnp.where(batch['mask'] > 0, 1., self._outside)  # [b, h, w]
    squares = jnp.mean(jnp.square(out - target), -1)
    return jnp.sum(weight * squares, (1, 2)) / jnp.sum(weight, (1, 2))


def _in_range(place):
  return lambda outputs: jnp.float32(outputs['range'] == place)


DENOISING_LOSSES = {'loss': Loss(('error',), lambda outputs: outputs['error'])} | {
    f'loss_t{place}': Loss(('error', 'range'), lambda outputs: outputs['error'], _in_range(place))
    for place in range(RANGES)}
