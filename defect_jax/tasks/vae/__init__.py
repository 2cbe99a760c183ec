"""Trains a VAE so that KLD and MSE reach their targets: photos, streams, controller, loop, measures, report."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from defect_jax import parallel
from defect_jax.config import UserError
from defect_jax.data import augment, dataset
from defect_jax.detectors import pca
from defect_jax.evaluation import forecast
from defect_jax.models.normalization import Normalizer
from defect_jax.registry import LOSSES
from defect_jax.tasks.vae.measures import Measures
from defect_jax.trained.vae import model_of, photos_of
from defect_jax.training import control, fit, loop, routing
from defect_jax.training.autoencoder import Autoencoder
from defect_jax.training.callbacks import Evaluation
from defect_jax.training.trainer import Trainer

__all__ = ['run', 'train']

_MEASURED = 1024  # photos that measures are taken on


def run(config, workdir):
  """Trains as `config` says, in `workdir`; returns the summary. Raises UserError, Stopped, Diverged or DiskFull."""
  model_of(config)  # before the photos are read
  return train(config, workdir, photos_of(config), _open_dev(config))


def train(config, workdir, photos, dev):
  """`run` on a set of photos that is open, and one that is held out or None: each a Dataset."""
  model = model_of(config)
  normalizer, variance = _standardise(photos)
  targets = _targets(config, variance, len(photos))
  measured = _measured(photos)
  outlook = forecast.forecast(measured, targets['mse'], len(photos))
  words = list(forecast.sentences(outlook, targets, config.model.latent, config.control.beta))
  keys = _keys(config.seed)
  params = model.init(keys['params'])
  if model.linear:
    params = model.begin_linear(params, normalizer, *_components(measured, model.latent, config.seed))
  streams, frozen = routing.resolve(config.streams.to_dict(), params)
  trainer = _trainer(config, model, streams, targets, keys)
  begin = trainer.init(params, normalizer=normalizer, targets=targets)
  digest = photos.digest()
  fit.check_finished(workdir, digest, begin)
  workdir.open()
  for line in [*_opening_lines(config, photos, dev, targets, variance, streams, frozen),
               *(f'forecast: {sentence}' for sentence in words)]:
    print(line, flush=True)
  measures = Measures(model, normalizer, measured, _measured(dev) if dev else None, keys['measure'], len(photos), words)
  trained = fit.fit(
      workdir, loop.Schedule(**config.steps), trainer, begin, photos, digest, config.batch, keys['order'],
      [Evaluation(lambda state, step: measures.during(workdir, jax.device_get(state.result), step))],
      resident_mb=config.data.resident_mb)
  params = jax.device_get(trained.state.result)
  summary = trained.speed | {'seconds': workdir.seconds_spent()} | parallel.machine() | measures.at_end(
      params, trained.history) | _further(workdir.read_metrics(), targets, config.steps.total)
  measures.report(workdir, config, params, summary, trained.history)
  return summary


def _open_dev(config):
  """Photos of the dev part that were not trained on, or None where there are fewer than two."""
  if config.data.part == 'dev':
    return None
  try:
    return photos_of(config, part='dev', few_shot=0, max_broken=1.)
  except UserError as error:
    logging.warning('no held-out photos, so no dev_mse: %s', error)
    return None


def _standardise(photos):
  """Normalizer and the variance about the mean image, photo by photo as in dataset.mean_image."""
  center = dataset.mean_image(photos)
  variance = sum(np.mean(np.square(dataset.as_float(image) - center)) for image in photos) / len(photos)
  if variance < 1e-10:
    raise UserError('data: all photos are the same image, so there is nothing to learn; check data.path')
  return Normalizer(jnp.float32(center), jnp.float32(math.sqrt(variance))), float(variance)


def _measured(photos):
  """Images float32 `[n, S, S, C]` of at most _MEASURED photos, spread over the set."""
  rows = np.unique(np.linspace(0, len(photos) - 1, min(len(photos), _MEASURED)).astype(int))
  return np.stack([dataset.as_float(photos[row]) for row in rows])


def _components(images, count, seed):
  """Principal components `[K, S * S * C]` of images, at most `count`, and the standard deviations `[K]` along them."""
  components = pca.linear(images, count, seed).params['components']
  along = (images - images.mean(0)).reshape(len(images), -1) @ np.asarray(components).T
  return components, jnp.asarray(np.maximum(along.std(0), 1e-6), jnp.float32)


def _targets(config, variance, count):
  """{loss: target}, absolute, of KLD, MSE and the other losses of streams. Says what cannot be reached as stated."""
  chosen = config.targets
  if chosen.mse is not None and chosen.mse_of_variance is not None:
    logging.warning('targets.mse = %g is used, targets.mse_of_variance = %g is not', chosen.mse, chosen.mse_of_variance)
  mse = chosen.mse if chosen.mse is not None else chosen.mse_of_variance * variance
  if mse >= variance:
    logging.warning('targets: an MSE of %g is no less than the variance about the mean image, %g, which a collapsed '
                    'model reaches; lower it', mse, variance)
  if chosen.kld < math.log(count):
    logging.warning('targets.kld = %g nats is below log(%d) = %.2f: too low to tell the photos apart, so the MSE may '
                    'not come down', chosen.kld, count, math.log(count))
  targets = {'kld': chosen.kld, 'mse': mse}
  for name in sorted({stream.loss for stream in config.streams.values()} - targets.keys()):
    if not LOSSES[name].is_sum:
      targets[name] = chosen[name]
  return targets


def _keys(seed):
  names = ('params', 'order', 'train', 'measure')
  return dict(zip(names, jax.random.split(jax.random.key(seed), len(names)), strict=True))


def _trainer(config, model, streams, targets, keys):
  light, patch = config.data.augment.to_dict(), config.data.blotch.to_dict()
  corrupt = (lambda x, k: augment.noise_patch(x, k, **patch)) if patch['strength'] else None
  losses = {name: LOSSES[name] for name in dict.fromkeys([*targets, *(stream.loss for stream in streams.values())])}
  return Trainer(Autoencoder(model, lambda x, k: augment.augment(x, k, **light), corrupt), losses, streams,
                 keys['train'], control.Control(**config.control.to_dict()), config.average)


def _opening_lines(config, photos, dev, targets, variance, streams, frozen):
  """What the user should know before the run begins."""
  yield from (f'note: {line}' for line in dataset.lines(photos))
  yield (f'{len(photos)} photos of {", ".join(config.data.defects)}, part {config.data.part}, {config.data.size} px; '
         f'{len(dev) if dev else 0} held out; log N = {math.log(len(photos)):.2f} nats')
  yield (f'targets: KLD {targets["kld"]:.4g} nats, MSE {targets["mse"]:.4g} = {targets["mse"] / variance:.2%} of the '
         f'variance {variance:.4g}')
  for name, stream in streams.items():
    yield f'stream {name}: {stream.loss} moves {len(stream.paths)} arrays by {stream.optimizer}, lr {stream.lr:g}'
  if frozen:
    yield f'frozen, since no stream reaches them: {", ".join(frozen)}'
  yield f'{parallel.devices()} {jax.default_backend()} device(s)'


def _further(rows, targets, steps):
  """{loss, loss_target} of losses beside KLD and MSE: the mean over the last 10 % of the steps, and the last target."""
  rows = [row for row in rows if 'train/kld' in row and row['step'] > 0.9 * steps]
  return {key: value for name in targets.keys() - {'kld', 'mse'} for key, value in (
      (name, float(np.mean([row[f'train/{name}'] for row in rows]))), (f'{name}_target', rows[-1][f'target/{name}']))}
