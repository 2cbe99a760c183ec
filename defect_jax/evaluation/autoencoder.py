"""What a VAE does while it trains and at its end, on training photos and on held-out ones."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from absl import logging
from jaxtyping import Array, Float, Int, Key

from defect_jax import losses, parallel
from defect_jax.data import dataset
from defect_jax.evaluation import aggregate, latent
from defect_jax.models.normalization import Normalizer
from defect_jax.models.vae import Posterior, Vae

Images = Float[np.ndarray, 'n s s c']
Params = Mapping[str, Any]
SHOWN = 25  # images in grids and report
_MOST = 1024  # photos that are evaluated
_CHUNK = 128  # images encoded at once
_SETTLED = 100  # steps before which no alarm is raised
_TRAVERSED = 6  # dimensions
_OFFSETS = np.linspace(-2.5, 2.5, 7, dtype=np.float32)  # values of a traversed dimension, in units of the prior


def some(photos: dataset.Dataset) -> Images:
  """At most so many photos as are evaluated, spread over the set."""
  return dataset.taken(photos, dataset.spread(len(photos), _MOST))


@dataclasses.dataclass
class Evaluation:
  """Figures and images of a VAE, with noise of their own that is the same at every step."""
  vae: Vae
  normalizer: Normalizer
  photos: Images  # some of the `count` training photos
  dev: Images | None  # held-out photos
  key: Key[Array, '']
  count: int

  def __post_init__(self) -> None:
    self._log_n, self._variance = math.log(self.count), float(self.normalizer.std) ** 2
    (self._noise_key, for_prior), self._alarmed = jax.random.split(self.key), False
    self._prior_z = jax.random.normal(for_prior, (SHOWN, self.vae.latent))
    self._encode = jax.jit(lambda params, image: self.vae.encode(params['encoder'], self.normalizer, image))
    self._decode = jax.jit(lambda params, z: self.vae.decode(params['decoder'], self.normalizer, z))

  def row(self, params: Params, step: int) -> dict[str, Any]:
    """Metrics of what the latent space holds and, as 'eval/kld' and 'eval/mse', of held-out photos."""
    posterior = self._posterior(params, self.photos)
    active = latent.active_units(posterior.mean)
    parts = aggregate.decomposition(posterior.mean, posterior.logvar)
    row: dict[str, Any] = {'latent/active_units': active} | {f'latent/{name}': value for name, value in parts.items()}
    row |= {f'latent_kld/{dimension}': float(value) for dimension, value in enumerate(_kld_by_dimension(posterior))}
    # An encoder and a decoder that have hardly begun look collapsed too.
    if step >= _SETTLED and (signs := latent.collapse_signs(
        active, self.vae.latent, self._losses(params, self.photos)[1], self._variance, parts['mutual_information'],
        self._log_n)):
      row['alarm'] = '; '.join(signs)
      if not self._alarmed:
        logging.warning('step %d: posterior collapse: %s', step, row['alarm'])
    self._alarmed = 'alarm' in row
    if self.dev is not None:
      row['eval/kld'], row['eval/mse'] = self._losses(params, self.dev)
    return row

  def figures(self, params: Params, history: Mapping[str, Float[np.ndarray, 'steps']]) -> dict[str, Any]:
    """The summary's keys of a VAE at its end."""
    kld, mse, kld_target, mse_target = (history[key] for key in ('train/kld', 'train/mse', 'target/kld', 'target/mse'))
    tail = slice(-max(1, len(kld) // 10), None)
    posterior = self._posterior(params, self.photos)
    active = latent.active_units(posterior.mean)
    own, dev = (None if images is None else self._losses(params, images)[1] for images in (self.photos, self.dev))
    final_kld, final_mse = (float(np.mean(values[tail], dtype=np.float64)) for values in (kld, mse))
    return {
        'kld': final_kld, 'mse': final_mse, 'kld_target': float(kld_target[-1]), 'mse_target': float(mse_target[-1]),
        'kld_ripple': float(np.std(kld[tail]) / kld_target[-1]),
        'mse_ripple': float(np.std(mse[tail]) / mse_target[-1]),
        'steps_to_targets': latent.steps_to_targets(kld, mse, kld_target, mse_target),
        'active_units': active, 'latent_dim': self.vae.latent,
        'collapsed': latent.collapsed(active, self.vae.latent, final_mse, self._variance),
        'dev_mse': dev, 'known_ratio': known_ratio(dev, own), 'known_how': None if dev is None else 'held_out',
        'detail_kept': latent.detail_kept(self.photos, self.recon(params, self.photos),
                                          np.asarray(self.normalizer.mean)),
        'log_n': self._log_n, 'variance': self._variance, **aggregate.decomposition(posterior.mean, posterior.logvar)}

  def images(self, params: Params) -> dict[str, Images]:
    """{'photos', 'recon', 'prior'}: some photos, their reconstructions, and samples from the prior."""
    shown, prior = self.photos[:SHOWN], np.asarray(self._decode(params, self._prior_z))
    return {'photos': shown, 'recon': self.recon(params, shown), 'prior': prior}

  def nearest(self, images: Images) -> Images:
    """The training photo with the least squared difference for each image."""
    return self.photos[[np.argmin(np.mean(np.square(self.photos - image), axis=(1, 2, 3))) for image in images]]

  def latents(self, params: Params) -> dict[str, Any]:
    """Posteriors and traversals, see report.latent.Latent."""
    posterior = self._posterior(params, self.photos)
    by_dimension = _kld_by_dimension(posterior)
    strongest: Int[np.ndarray, k] = np.argsort(-by_dimension)[:_TRAVERSED]
    z = np.repeat(posterior.mean[:1], len(strongest) * len(_OFFSETS), axis=0).reshape(len(strongest), len(_OFFSETS), -1)
    for row, dimension in enumerate(strongest):
      z[row, :, dimension] = _OFFSETS
    images = self._decoded(params, z.reshape(-1, z.shape[-1]))
    return {'means': posterior.mean, 'kld': by_dimension, 'dimensions': strongest, 'offsets': _OFFSETS,
            'dev_means': None if self.dev is None else self._posterior(params, self.dev).mean,
            'traversals': images.reshape(*z.shape[:2], *images.shape[1:])}

  def _posterior(self, params: Params, images: Images) -> Posterior:
    return parallel.in_chunks(functools.partial(self._encode, params), images, min(_CHUNK, len(images)))

  def recon(self, params: Params, images: Images) -> Images:
    """Reconstructions from the posterior means."""
    return self._decoded(params, self._posterior(params, images).mean)

  def _decoded(self, params, z):
    return parallel.in_chunks(functools.partial(self._decode, params), z, min(_CHUNK, len(z)))

  def _losses(self, params, images):
    """Mean KLD and MSE of decodings of sampled z."""
    posterior = self._posterior(params, images)
    noise = jax.random.normal(self._noise_key, posterior.mean.shape)
    recon = self._decoded(params, np.asarray(posterior.sample(noise)))
    return float(np.mean(losses.kld(*posterior))), float(np.mean(losses.mse(recon, images)))


def known_ratio(held_out: float | None, trained_on: float | None) -> float | None:
  """How many times the MSE of photos that were trained on that of held-out ones is: many times where they are known by
  heart. None where one is not known, or where training photos are without error."""
  return held_out / trained_on if held_out is not None and trained_on else None


def _kld_by_dimension(posterior):
  return np.mean(losses.kld_by_dimension(*posterior), axis=0)
