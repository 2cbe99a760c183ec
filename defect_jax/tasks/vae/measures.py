"""Measures of a VAE while it trains and at its end, and the report made of them."""

import functools
import math

import jax
import numpy as np

from defect_jax import losses
from defect_jax.evaluation import latent
from defect_jax.report import grids
from defect_jax.report import vae as report
from defect_jax.report.verdict import verdict
from defect_jax.training.loop import HISTORY

_SHOWN = 25  # images in grids and report
_CHUNK = 128  # images encoded at once


class Measures:
  """Measures on training photos and on held-out ones, with noise of their own that is the same at every step."""

  def __init__(self, vae, standard, photos, dev, key, count):
    """Takes models.vae.Vae and Standard, photos and dev (or None) float32 `[n, S, S, C]`, a key, and how many photos
    are trained on, of which `photos` may be a sample."""
    self._vae, self._photos, self._dev = vae, photos, dev
    self._log_n = math.log(count)
    self._center = np.asarray(standard.center)
    self._variance = float(standard.scale) ** 2
    for_noise, for_prior = jax.random.split(key)
    self._key = for_noise
    self._prior_z = jax.random.normal(for_prior, (_SHOWN, vae.latent))
    self._encode = jax.jit(lambda params, image: vae.encode(params['encoder'], standard, image))
    self._decode = jax.jit(lambda params, z: vae.decode(params['decoder'], standard, z))

  def during(self, workdir, params, step):
    """Row {'eval/kld', 'eval/mse'} of the held-out photos; writes sample grids."""
    shown = self._photos[:_SHOWN]
    grids.write_png(workdir.sample(step, 'recon'), grids.recon_grid(shown, self._recon(params, shown)))
    grids.write_png(workdir.sample(step, 'prior'), grids.image_grid(self._prior(params)))
    if self._dev is None:
      return {}
    kld, mse = self._losses(params, self._dev)
    return {'eval/kld': kld, 'eval/mse': mse}

  def at_end(self, params, history):
    """The summary's keys of a VAE."""
    # By name: a restored history has another order.
    kld, mse, kld_target, mse_target = (history.values[name] for name in HISTORY)
    tail = slice(-max(1, len(kld) // 10), None)
    means = self._posterior(params, self._photos).mean
    active = latent.active_units(means)
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
        'log_n': self._log_n, 'variance': self._variance}

  def report(self, workdir, config, params, summary, history):
    """Writes report.html."""
    shown = self._photos[:_SHOWN]
    report.write(
        workdir.report_html, title=f'{workdir.root.name}: VAE',
        verdict=verdict(summary, history.values, config.control.policy), summary=summary, config=config,
        rows=workdir.read_metrics(), history=history.values,
        targets={'kld': summary['kld_target'], 'mse': summary['mse_target']}, photos=shown,
        recon=self._recon(params, shown), prior=self._prior(params), log_n=summary['log_n'])

  def _prior(self, params):
    return np.asarray(self._decode(params, self._prior_z))

  def _posterior(self, params, images):
    return _in_chunks(functools.partial(self._encode, params), images)

  def _recon(self, params, images):
    """Decodings of the posterior means."""
    return _in_chunks(functools.partial(self._decode, params), self._posterior(params, images).mean)

  def _losses(self, params, images):
    """Mean KLD and MSE of decodings of sampled z."""
    posterior = self._posterior(params, images)
    noise = jax.random.normal(self._key, posterior.mean.shape)
    recon = _in_chunks(functools.partial(self._decode, params), np.asarray(posterior.sample(noise)))
    return (float(np.mean(losses.kld(posterior.mean, posterior.logvar))), float(np.mean(losses.mse(recon, images))))


def _in_chunks(function, array):
  """`function` over pieces of one size, so that it is compiled once; NumPy results joined along the first axis."""
  pieces = []
  for start in range(0, len(array), _CHUNK):
    piece = array[start:start + _CHUNK]
    missing = min(_CHUNK, len(array)) - len(piece)
    padded = np.pad(piece, [(0, missing)] + [(0, 0)] * (piece.ndim - 1))
    pieces.append(jax.tree.map(functools.partial(_first, len(piece)), function(padded)))
  return jax.tree.map(lambda *leaves: np.concatenate(leaves), *pieces)


def _first(count, leaf):
  return np.asarray(leaf)[:count]
