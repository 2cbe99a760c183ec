"""Measures of a VAE while it trains and at its end, and the report made of them."""

import functools
import math

import jax
import numpy as np
from absl import logging

from defect_jax import __version__, losses, parallel
from defect_jax.config import config_hash
from defect_jax.evaluation import aggregate, latent
from defect_jax.report import grids
from defect_jax.report import latent as report_latent
from defect_jax.report import vae as report
from defect_jax.report.verdict import verdict

_SHOWN = 25  # images in grids and report
_CHUNK = 128  # images encoded at once
_SETTLED = 100  # steps before which no alarm is raised
_TRAVERSED = 6  # dimensions
_OFFSETS = np.linspace(-2.5, 2.5, 7, dtype=np.float32)  # values of a traversed dimension, in units of the prior


class Measures:
  """Measures on training photos and on held-out ones, with noise of their own that is the same at every step."""

  def __init__(self, vae, normalizer, photos, dev, key, count, forecast):
    """Takes models.vae.Vae and Normalizer, photos and dev (or None) float32 `[n, S, S, C]`, a key, how many photos are
    trained on, of which `photos` may be a sample, and the sentences of a forecast, for the report."""
    self._vae, self._photos, self._dev = vae, photos, dev
    self._log_n, self._forecast = math.log(count), forecast
    self._center = np.asarray(normalizer.mean)
    self._variance = float(normalizer.std) ** 2
    for_noise, for_prior = jax.random.split(key)
    self._key, self._alarmed = for_noise, False
    self._prior_z = jax.random.normal(for_prior, (_SHOWN, vae.latent))
    self._encode = jax.jit(lambda params, image: vae.encode(params['encoder'], normalizer, image))
    self._decode = jax.jit(lambda params, z: vae.decode(params['decoder'], normalizer, z))

  def during(self, workdir, params, step):
    """Row of what the latent space holds and, as 'eval/kld' and 'eval/mse', of held-out photos; writes sample grids."""
    shown = self._photos[:_SHOWN]
    grids.write_png(workdir.sample(step, 'recon'), grids.recon_grid(shown, self._recon(params, shown)))
    grids.write_png(workdir.sample(step, 'prior'), grids.image_grid(self._prior(params)))
    row = self._latent_row(params, step)
    if self._dev is not None:
      row['eval/kld'], row['eval/mse'] = self._losses(params, self._dev)
    return row

  def _latent_row(self, params, step):
    posterior = self._posterior(params, self._photos)
    active = latent.active_units(posterior.mean)
    parts = aggregate.decomposition(posterior.mean, posterior.logvar)
    by_dimension = np.mean(losses.kld_by_dimension(posterior.mean, posterior.logvar), axis=0)
    row = {'latent/active_units': active} | {f'latent/{name}': value for name, value in parts.items()}
    row |= {f'latent_kld/{dimension}': float(value) for dimension, value in enumerate(by_dimension)}
    # An encoder and a decoder that have hardly begun look collapsed too.
    if step >= _SETTLED and (signs := latent.collapse_signs(
        active, self._vae.latent, self._losses(params, self._photos)[1], self._variance, parts['mutual_information'],
        self._log_n)):
      row['alarm'] = '; '.join(signs)
      if not self._alarmed:
        logging.warning('step %d: posterior collapse: %s', step, row['alarm'])
    self._alarmed = 'alarm' in row
    return row

  def at_end(self, params, history):
    """The summary's keys of a VAE."""
    kld, mse, kld_target, mse_target = (history.values[f'{kind}/{name}'] for kind in ('train', 'target')
                                        for name in ('kld', 'mse'))
    tail = slice(-max(1, len(kld) // 10), None)
    posterior = self._posterior(params, self._photos)
    active = latent.active_units(posterior.mean)
    final_mse = float(np.mean(mse[tail], dtype=np.float64))
    return {
        'kld': float(np.mean(kld[tail], dtype=np.float64)), 'mse': final_mse,
        'kld_target': float(kld_target[-1]), 'mse_target': float(mse_target[-1]),
        'kld_ripple': float(np.std(kld[tail]) / kld_target[-1]),
        'mse_ripple': float(np.std(mse[tail]) / mse_target[-1]),
        'steps_to_targets': latent.steps_to_targets(kld, mse, kld_target, mse_target),
        'active_units': active, 'latent_dim': self._vae.latent,
        'collapsed': latent.collapsed(active, self._vae.latent, final_mse, self._variance),
        'dev_mse': None if self._dev is None else self._losses(params, self._dev)[1],
        'detail_kept': latent.detail_kept(self._photos, self._recon(params, self._photos), self._center),
        'log_n': self._log_n, 'variance': self._variance,
        **aggregate.decomposition(posterior.mean, posterior.logvar)}

  def report(self, workdir, config, params, summary, history):
    """Writes report.html."""
    shown, prior, about = self._photos[:_SHOWN], self._prior(params), self._latent(params)
    grids.write_png(workdir.sample(summary['steps'], 'traversal'), grids.grid(about['traversals']))
    summary = summary | {'config_hash': config_hash(config), 'version': __version__}
    report.write(
        workdir.report_html, title=f'{workdir.root.name}: VAE',
        verdict=verdict(summary, history.values, config.control.policy), summary=summary, config=config,
        metrics=workdir.read_metrics(), history=history.values,
        targets={'kld': summary['kld_target'], 'mse': summary['mse_target']}, photos=shown,
        recon=self._recon(params, shown), prior=prior, nearest=self._photos[_nearest(prior, self._photos)],
        latent=report_latent.Latent(**about), forecast=self._forecast,
        log_n=summary['log_n'])

  def _latent(self, params):
    """Posteriors and traversals that the page shows."""
    posterior = self._posterior(params, self._photos)
    by_dimension = np.mean(losses.kld_by_dimension(posterior.mean, posterior.logvar), axis=0)
    strongest = np.argsort(-by_dimension)[:_TRAVERSED]
    z = np.repeat(posterior.mean[:1], len(strongest) * len(_OFFSETS), axis=0).reshape(len(strongest), len(_OFFSETS), -1)
    for row, dimension in enumerate(strongest):
      z[row, :, dimension] = _OFFSETS
    images = self._decoded(params, z.reshape(-1, z.shape[-1]))
    dev_means = None if self._dev is None else self._posterior(params, self._dev).mean
    return {'means': posterior.mean, 'dev_means': dev_means, 'kld': by_dimension, 'dimensions': strongest,
            'offsets': _OFFSETS,
            'traversals': images.reshape(*z.shape[:2], *images.shape[1:])}

  def _prior(self, params):
    return np.asarray(self._decode(params, self._prior_z))

  def _posterior(self, params, images):
    return parallel.in_chunks(functools.partial(self._encode, params), images, min(_CHUNK, len(images)))

  def _recon(self, params, images):
    """Decodings of the posterior means."""
    return self._decoded(params, self._posterior(params, images).mean)

  def _decoded(self, params, z):
    return parallel.in_chunks(functools.partial(self._decode, params), z, min(_CHUNK, len(z)))

  def _losses(self, params, images):
    """Mean KLD and MSE of decodings of sampled z."""
    posterior = self._posterior(params, images)
    noise = jax.random.normal(self._key, posterior.mean.shape)
    recon = self._decoded(params, np.asarray(posterior.sample(noise)))
    return (float(np.mean(losses.kld(posterior.mean, posterior.logvar))), float(np.mean(losses.mse(recon, images))))


def _nearest(images, photos):
  """Row of the photo with the least squared difference for each image."""
  return np.array([np.argmin(np.mean(np.square(photos - image), axis=(1, 2, 3))) for image in images])
