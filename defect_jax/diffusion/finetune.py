"""What an inpainting pipeline learns by: its autoencoder, and then UNet and text encoder in its latents."""

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
  """An autoencoder FlaxAutoencoderKL; batches have whole images `[b, S, S, 3]` in [0, 1].

  Trained on pieces of them, one took their borders for a measure of place, and reconstructed whole images badly.
  """
  vae: Any

  def inputs(self, batch: Mapping[str, Array], keys: Key[Array, 'b'], slots: Int[Array, 'b']) -> dict[str, Array]:
    return {'image': batch['image'], 'keys': keys}

  def outputs(self, params: Mapping[str, Any], state: Any, batch: Mapping[str, Array]) -> Outputs:
    """{'mse', 'kld', 'lpips'}, each `[b]`; the state's `frozen` has {'lpips': parameters of features.lpips}."""
    image = batch['image']
    moments = self._encode(params['vae'], image)
    noise = jax.vmap(lambda key: jax.random.normal(key, moments.mean.shape[1:]))(batch['keys'])
    recon = self._decode(params['vae'], moments.mean + moments.std * noise)
    return {'mse': losses.mse(recon, image), 'lpips': features.lpips(state.frozen['lpips'], recon, image),
            'kld': losses.kld(*(leaf.reshape(len(noise), -1) for leaf in (moments.mean, moments.logvar)))}

  def reconstruct(self, params: Mapping[str, Any], image: Float[Array, 'b s s 3']) -> Float[Array, 'b s s 3']:
    """Images by the most likely latents."""
    return self._decode(params, self._encode(params, image).mode())

  def _encode(self, params, image):
    return pipeline.apply(self.vae, params, (2 * image - 1).transpose(0, 3, 1, 2), method=self.vae.encode).latent_dist

  def _decode(self, params, z):
    image = pipeline.apply(self.vae, params, z.transpose(0, 3, 1, 2), method=self.vae.decode).sample
    return image.transpose(0, 2, 3, 1) / 2 + 0.5


def autoencoding_losses(lpips: float, kld: float) -> dict[str, Loss]:
  """Squared error, LPIPS and KLD by weights (Rombach et al. 2022, section 3.1, without a critic), and each alone."""
  names = ('mse', 'lpips', 'kld')
  total = Loss(names, lambda outputs: outputs['mse'] + lpips * outputs['lpips'] + kld * outputs['kld'])
  return {'loss': total} | {name: Loss((name,), operator.itemgetter(name)) for name in names}


@dataclasses.dataclass(frozen=True)
class Denoising:
  """Latent diffusion (Rombach et al. 2022, equation 3), mostly of the area that is to be made anew.

  A slot of the batch always draws its timestep from the same of RANGES equal parts of the schedule, so that every
  batch of RANGES or more sees them all (stratified as in Kingma et al. 2021, appendix I.1).

  outside: weight of the squared error outside the mask; 1 inside. cond_drop_prob: how often the text is left out, so
  that guidance has something to go away from. join: (params, frozen) -> {'unet': tree, ...}, with 'text_encoder' where
  that learns too; else frozen has 'contexts' `[P, T, D]`, one for each text. remat: see pipeline.apply.
  """
  model: pipeline.Pipeline
  outside: float
  cond_drop_prob: float
  join: Callable[[Any, Any], Mapping[str, Any]] = lambda params, frozen: frozen | params
  remat: bool = False

  def inputs(self, batch: Mapping[str, Array], keys: Key[Array, 'b'], slots: Int[Array, 'b']) -> dict[str, Array]:
    """Batches have original, masked `[b, h, w, C]`, mask `[b, h, w]`, as Encoded, and text int `[b]`."""
    return {**batch, 'keys': keys, 'range': slots % RANGES}

  def outputs(self, params: Mapping[str, Any], state: Any, batch: Mapping[str, Array]) -> Outputs:
    return {'error': self.error(params, state.frozen, batch)}

  def error(self, params: Mapping[str, Any], frozen: Mapping[str, Any], batch: Mapping[str, Array]
            ) -> Float[Array, 'b']:
    """Weighted squared error. frozen: {'ids': int `[P, T]` of the texts, the last for a text left out, ...}."""
    parts, alphas_cumprod = self.join(params, frozen), schedulers.signal2(self.model.scheduler)
    for_time, for_noise, for_text = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(batch['keys'])
    trained = len(alphas_cumprod)
    time = (batch['range'] + jax.vmap(jax.random.uniform)(for_time)) / RANGES * trained
    time = jnp.minimum(time.astype(jnp.int32), trained - 1)  # [b]
    noise = jax.vmap(lambda key: jax.random.normal(key, batch['original'].shape[1:]))(for_noise)  # [b, h, w, C]
    signal2 = jnp.float32(alphas_cumprod)[time][:, None, None, None]
    signal, sigma = jnp.sqrt(signal2), jnp.sqrt(1 - signal2)
    velocity = schedulers.predicts_velocity(self.model.scheduler)
    target = signal * noise - sigma * batch['original'] if velocity else noise
    dropped = jax.vmap(jax.random.uniform)(for_text) < self.cond_drop_prob
    text = jnp.where(dropped, len(frozen['ids']) - 1, batch['text'])
    contexts = (self.model.embed(parts['text_encoder'], frozen['ids']) if 'text_encoder' in parts
                else jnp.asarray(frozen['contexts']))
    out = self.model.predict(parts, signal * batch['original'] + sigma * noise, time,
                             Encoded(batch['masked'], batch['original'], batch['mask']), contexts[text], self.remat)
    weight = jnp.where(batch['mask'] > 0, 1., self.outside)  # [b, h, w]
    squares = jnp.mean(jnp.square(out - target), -1)
    return jnp.sum(weight * squares, (1, 2)) / jnp.sum(weight, (1, 2))


def _in_range(place):
  return lambda outputs: jnp.float32(outputs['range'] == place)


DENOISING_LOSSES = {'loss': Loss(('error',), operator.itemgetter('error'))} | {
    f'loss_t{place}': Loss(('error', 'range'), operator.itemgetter('error'), _in_range(place))
    for place in range(RANGES)}
