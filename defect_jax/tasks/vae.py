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
from defect_jax.data import augment, dataset, folds, listing, seen, tiles
from defect_jax.detectors import pca
from defect_jax.evaluation import autoencoder, forecast, generation, looked_at, mixture, own_size
from defect_jax.registry import LOSSES
from defect_jax.report import advice, grids, latent, verdict
from defect_jax.report import mixture as mixed_report
from defect_jax.report import targets as target_advice
from defect_jax.report import vae as report
from defect_jax.report.answers import Facts, timed
from defect_jax.runs.artefacts import Artefact
from defect_jax.runs.folder import Workdir
from defect_jax.runs.forecast import Forecast
from defect_jax.trained.vae import model_of, photos_of
from defect_jax.training import callbacks, control, fit, loop, routing, targets
from defect_jax.training.autoencoder import Autoencoder, normalizer_of
from defect_jax.training.trainer import Trainer

Summary = dict[str, Any]
_FOLDS = Artefact('folds')
_KNOWN = Artefact('known')  # workdir of a VAE of four fifths of the photos, for known_ratio
_FIFTHS = 5


def run(config: ConfigDict, workdir: Workdir) -> Summary:
  """Trains as `config` says, in `workdir`. Raises UserError, Stopped, Diverged or DiskFull."""
  model_of(config)  # before the photos are read
  by_folds = config.data.split == 'kfold' and config.data.fold is None
  listed = _listed(config)
  photos, dev = photos_of(config, records=listed), _open_dev(config, listed)
  further = _cross_validated if by_folds else None
  if config.data.split == 'none' and config.measure.known and len(set(photos.groups)) > 1:
    further = _known_by_heart
  trainings = config.data.folds + 1 if by_folds else 2 if further else 1
  workdir.forecast = Forecast(trainings, 'the training' if trainings == 1 else f'{trainings} trainings' + (
      '' if by_folds else ', one of them to see whether photos are known by heart; --config.measure.known=False leaves '
      'it out'))
  return train(config, workdir, photos, dev, further, answered=True)


def train(config: ConfigDict, workdir: Workdir, photos: dataset.Dataset, dev: dataset.Dataset | None,
          further: Callable[[ConfigDict, Workdir], Summary] | None = None, answered: bool = False) -> Summary:
  """`run` on photos that are open, and held-out ones where there are any.

  further: what it adds to the summary. answered: whether the page says if the VAE can be used; not for one that is a
  part of another run.
  """
  model, (normalizer, variance) = model_of(config), normalizer_of(photos)
  some, losses = autoencoder.some(photos), {stream.loss for stream in config.streams.values()}
  goals = targets.absolute(config.targets, losses, variance, len(photos))
  outlook = forecast.forecast(some, goals['mse'], len(photos))
  foretold = list(forecast.sentences(outlook, goals, config.model.latent, config.control.beta))
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
  for line in _opening_lines(config, photos, notes, dev, goals, variance, streams, frozen, foretold):
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
  summary['forecast'] = {'least_kld': outlook.least_kld, 'of_half': forecast.forecast(
      some, goals['mse'] / 2, len(photos)).least_kld}
  answers = []
  if answered:
    summary |= _measured(evaluation, params, photos)
    answers, usable = advice.of('vae', Facts.of(summary, config, workdir))
    summary |= usable
  _report(workdir, config, evaluation, params, summary, history, foretold, answers, photos)
  return summary


@timed
def _measured(evaluation, params, photos):
  """What the summary says beside the training, for the answers of the page."""
  compared, apart = dataset.taken(photos, own_size.rows(photos)), dataset.spread(len(photos), generation.MOST_APART)
  return {
      'mixture': mixture.find(photos.records), 'looked_at': looked_at.of(photos.records, tiles.Tiling(photos.geometry)),
      'detail_kept_photo': own_size.detail_kept(photos, evaluation.recon(params, compared),
                                                np.asarray(evaluation.normalizer.mean)),
      'sample_distance': generation.sample_distance(evaluation.images(params)['prior'], dataset.taken(photos, apart),
                                                    [photos.groups[row] for row in apart])}


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
  figures, weights = [], []
  for fold in range(1, count + 1):
    done, held_out = _without(config, workdir, workdir.path(_FOLDS) / str(fold), fold, f'fold {fold} of {count}')
    if held_out and done['dev_mse'] is not None:
      figures.append((done['dev_mse'], done['known_ratio']))
      weights.append(held_out)
  error, ratio = np.average(figures, axis=0, weights=weights).tolist() if figures else (None, None)
  return {'folds': count, 'dev_mse': error, 'known_ratio': ratio, 'known_how': 'held_out' if figures else None}


def _known_by_heart(config, workdir):
  """How much worse photos are rebuilt by a VAE of the same settings that has not seen them, a fifth of the groups."""
  own = ConfigDict(config.to_dict())
  own.data.split, own.data.folds = 'kfold', _FIFTHS
  done, held_out = _without(own, workdir, workdir.path(_KNOWN), 1, 'to see whether photos are known by heart')
  known = bool(held_out) and done['known_ratio'] is not None
  return {'known_ratio': done['known_ratio'] if known else None, 'known_how': 'four_fifths' if known else None,
          'known_seconds': done['seconds']}


def _without(config, workdir, folder, fold, why):
  """The summary of a VAE that is trained in a folder without the photos of a fold, and how many these are."""
  own = ConfigDict(config.to_dict())
  own.data.fold = fold
  inner, listed = Workdir(folder, workdir), _listed(own)
  dev = _open_dev(own, listed)
  inner.check(own)
  if (done := inner.finished()) is None:
    print(f'{why}: a VAE without the photos of a fold, in {inner.root}', flush=True)
    with inner.running():
      done = train(own, inner, photos_of(own, records=listed), dev)
      inner.finish(done)
  return done, 0 if dev is None else len(dev)


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
  of = 'of' if photos.noun == 'photo' else 'of photos of'
  yield (f'{len(photos)} {photos.noun}s {of} {", ".join(config.data.defects)}, {part}, {config.data.size} px; '
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


def _report(workdir, config, evaluation, params, summary, history, outlook, answers, photos):
  """Writes report.html and the grid of traversals."""
  latents, images = latent.Latent(**evaluation.latents(params)), evaluation.images(params)
  grids.write_png(workdir.sample(summary['steps'], 'traversal'), grids.grid(latents.traversals))
  summary = summary | {'config_hash': config_hash(config), 'version': __version__}
  report.write(
      workdir.report_html, title=f'{workdir.root.name}: VAE', summary=summary, config=workdir.config_text,
      verdict=verdict.verdict(summary, history), metrics=workdir.read_metrics(), history=history,
      targets={'kld': summary['kld_target'], 'mse': summary['mse_target']}, latents=latents, forecast=outlook,
      nearest=evaluation.nearest(images['prior']), log_n=summary['log_n'],
      answers=answers, next_step=target_advice.next_step(Facts.of(summary, config, workdir)),
      mixed=mixed_report.section(summary.get('mixture'), photos.records), **images)
