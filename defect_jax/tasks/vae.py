"""Trains a VAE so that its losses reach their targets: photos, streams, controller, evaluation, report."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from defect_jax import __version__, parallel
from defect_jax.config import config_hash
from defect_jax.data import augment, dataset, folds, listing, seen
from defect_jax.detectors import pca
from defect_jax.evaluation import autoencoder, forecast
from defect_jax.registry import LOSSES
from defect_jax.report import grids, latent, verdict
from defect_jax.report import vae as report
from defect_jax.runs.artefacts import Artefact
from defect_jax.runs.folder import Workdir
from defect_jax.runs.forecast import Forecast
from defect_jax.trained.vae import model_of, photos_of
from defect_jax.training import callbacks, control, fit, loop, routing, targets
from defect_jax.training.autoencoder import Autoencoder, normalizer_of
from defect_jax.training.trainer import Trainer

Summary = dict[str, Any]
_FOLDS = Artefact('folds')


def run(config: ConfigDict, workdir: Workdir) -> Summary:
  """Trains as `config` says, in `workdir`. Raises UserError, Stopped, Diverged or DiskFull."""
  model_of(config)  # before the photos are read
  by_folds = config.data.split == 'kfold' and config.data.fold is None
  trainings = config.data.folds + 1 if by_folds else 1
  workdir.forecast = Forecast(trainings, f'{trainings} trainings' if by_folds else 'the training')
  listed = _listed(config)
  return train(config, workdir, photos_of(config, records=listed), _open_dev(config, listed),
               _cross_validated if by_folds else None)


def train(config: ConfigDict, workdir: Workdir, photos: dataset.Dataset, dev: dataset.Dataset | None,
          further: Callable[[ConfigDict, Workdir], Summary] | None = None) -> Summary:
  """`run` on photos that are open, and held-out ones where there are any; further: what it adds to the summary."""
  model, (normalizer, variance) = model_of(config), normalizer_of(photos)
  some, losses = autoencoder.some(photos), {stream.loss for stream in config.streams.values()}
  goals = targets.absolute(config.targets, losses, variance, len(photos))
  outlook = list(forecast.sentences(forecast.forecast(some, goals['mse'], len(photos)), goals, config.model.latent,
                                    config.control.beta))
  for_params, for_order, for_train, for_evaluation = jax.random.split(jax.random.key(config.seed), 4)
  params = model.init(for_params)
  if model.linear:
    params = model.begin_linear(params, normalizer, *_components(some, model.latent, config.seed))
  streams, frozen = routing.resolve(config.streams.to_dict(), params)
  patch = config.data.blotch.to_dict()
  trainer = Trainer(
      Autoencoder(model, functools.partial(augment.augment, **config.data.augment),
                  functools.partial(augment.noise_patch, **patch) if patch['strength'] else None),
      {name: LOSSES[name] for name in [*goals, *sorted(losses - goals.keys())]}, streams, for_train,
      control.Control(**config.control.to_dict()), config.average)
  begin, digest = trainer.init(params, normalizer=normalizer, targets=goals), photos.digest()
  fit.check_finished(workdir, digest, begin)
  workdir.open()
  notes = seen.keep(workdir, photos.records, photos.sha256)
  for line in _opening_lines(config, photos, notes, dev, goals, variance, streams, frozen, outlook):
    print(line, flush=True)
  evaluation = autoencoder.Evaluation(model, normalizer, some, autoencoder.some(dev) if dev else None, for_evaluation,
                                      len(photos))

  def evaluate(state, step):
    params = jax.device_get(state.result)
    images = evaluation.images(params)
    grids.write_png(workdir.sample(step, 'recon'), grids.recon_grid(images['photos'], images['recon']))
    grids.write_png(workdir.sample(step, 'prior'), grids.image_grid(images['prior']))
    return evaluation.row(params, step)

  trained = fit.fit(workdir, loop.Schedule(**config.steps), trainer, begin, photos, digest, config.batch, for_order,
                    [callbacks.Evaluation(evaluate)], resident_mb=config.data.resident_mb)
  params, history = jax.device_get(trained.state.result), trained.history
  summary = trained.speed | {'seconds': workdir.seconds_spent()} | parallel.machine() | evaluation.figures(
      params, history) | _further(workdir.read_metrics(), goals, config.steps.total) | {
          'photos': len(photos), 'split': config.data.split, 'folds': 0}
  if further:
    summary |= further(config, workdir)
  _report(workdir, config, evaluation, params, summary, history, outlook)
  return summary


def _listed(config):
  return listing.list_photos(**config.data.to_dict())


def _open_dev(config, listed):
  """Photos that were not trained on, of the dev part or a test folder, or None where there are fewer than two."""
  names = listing.held_out(config.data.split, config.data.fold) if config.data.part != 'dev' else ()
  dev, reason = listing.first_of(names, lambda part: photos_of(
      config, records=listed, part=part, few_shot=0, max_broken=1.))
  if reason:
    logging.warning('no held-out photos, so no dev_mse: %s', reason)
  return dev


def _cross_validated(config, workdir):
  """The held-out error of VAEs that are trained without one fold each, in folders of the run."""
  count = max(folds.assign(_listed(config), config.data.folds).values()) + 1
  errors, weights = [], []
  for fold in range(1, count + 1):
    own = ConfigDict(config.to_dict())
    own.data.fold = fold
    inner, listed = Workdir(workdir.path(_FOLDS) / str(fold), workdir), _listed(own)
    dev = _open_dev(own, listed)
    inner.check(own)
    if (done := inner.finished()) is None:
      print(f'fold {fold} of {count}: a VAE without its photos, in {inner.root}', flush=True)
      with inner.running():
        done = train(own, inner, photos_of(own, records=listed), dev)
        inner.finish(done)
    if dev is not None and done['dev_mse'] is not None:
      errors.append(done['dev_mse'])
      weights.append(len(dev))
  return {'folds': count, 'dev_mse': float(np.average(errors, weights=weights)) if errors else None}


def _components(images, count, seed):
  """Principal components `[K, S * S * C]` of images, at most `count`, and the standard deviations `[K]` along them."""
  components = pca.linear(images, count, seed).params['components']
  along = (images - images.mean(0)).reshape(len(images), -1) @ np.asarray(components).T
  return components, jnp.asarray(np.maximum(along.std(0), 1e-6), jnp.float32)


def _opening_lines(config, photos, notes, dev, goals, variance, streams, frozen, outlook):
  """What the user should know before the run begins."""
  yield from (f'note: {line}' for line in [*dataset.lines(photos), *notes])
  part = f'part {config.data.part}, split by {config.data.split}'
  if config.data.split in ('none', 'kfold') and not config.data.few_shot:
    part = f'all but those of fold {config.data.fold}' if config.data.get('fold') else 'all of them'
  yield (f'{len(photos)} photos of {", ".join(config.data.defects)}, {part}, {config.data.size} px; '
         f'{len(dev) if dev else 0} held out; log N = {math.log(len(photos)):.2f} nats')
  yield (f'targets: KLD {goals["kld"]:.4g} nats, MSE {goals["mse"]:.4g} = {goals["mse"] / variance:.2%} of the '
         f'variance {variance:.4g}')
  for name, stream in streams.items():
    yield f'stream {name}: {stream.loss} moves {len(stream.paths)} arrays by {stream.optimizer}, lr {stream.lr:g}'
  if frozen:
    yield f'frozen, since no stream reaches them: {", ".join(frozen)}'
  yield f'{parallel.devices()} {jax.default_backend()} device(s)'
  yield from (f'forecast: {sentence}' for sentence in outlook)


def _further(metrics, goals, steps):
  """{loss, loss_target} of losses beside KLD and MSE: the mean over the last 10 % of the steps, and the last target."""
  tail = [row for row in metrics if 'train/kld' in row and row['step'] > 0.9 * steps]
  return {key: value for name in goals.keys() - {'kld', 'mse'} for key, value in (
      (name, float(np.mean([row[f'train/{name}'] for row in tail]))), (f'{name}_target', tail[-1][f'target/{name}']))}


def _report(workdir, config, evaluation, params, summary, history, outlook):
  """Writes report.html and the grid of traversals."""
  latents, images = latent.Latent(**evaluation.latents(params)), evaluation.images(params)
  grids.write_png(workdir.sample(summary['steps'], 'traversal'), grids.grid(latents.traversals))
  summary = summary | {'config_hash': config_hash(config), 'version': __version__}
  report.write(
      workdir.report_html, title=f'{workdir.root.name}: VAE', summary=summary, config=workdir.config_text,
      verdict=verdict.verdict(summary, history, config.control.policy), metrics=workdir.read_metrics(), history=history,
      targets={'kld': summary['kld_target'], 'mse': summary['mse_target']}, latents=latents, forecast=outlook,
      nearest=evaluation.nearest(images['prior']), log_n=summary['log_n'], **images)
