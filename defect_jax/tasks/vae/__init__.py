"""Trains a VAE so that KLD and MSE reach their targets: photos, streams, controller, loop, measures, report."""

import functools
import math
import time

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from defect_jax import parallel
from defect_jax.config import UserError
from defect_jax.data import augment, dataset
from defect_jax.detectors import baselines
from defect_jax.evaluation import forecast
from defect_jax.models import features
from defect_jax.models import vae as models
from defect_jax.runs.progress import ProgressBar
from defect_jax.tasks.vae.measures import Measures
from defect_jax.trained.vae import model_of, open_vae, photos_of
from defect_jax.training import control, events, feeding, loop, routing
from defect_jax.training import state as training

__all__ = ['run', 'train']

_FUSED = 10  # steps a call on accelerators
_MEASURED = 1024  # photos that measures are taken on


def run(config, workdir):
  """Trains as `config` says, in `workdir`; returns the summary. Raises UserError, Stopped, Diverged or DiskFull."""
  model_of(config)  # before the photos are read
  return train(config, workdir, photos_of(config), _open_dev(config))


def train(config, workdir, photos, dev):
  """`run` on a set of photos that is open, and one that is held out or None: each a Dataset."""
  model = model_of(config)
  standard, variance = _standardise(photos)
  targets = _targets(config, variance, len(photos))
  measured = _measured(photos)
  outlook = forecast.forecast(measured, targets['mse'], len(photos))
  words = list(forecast.sentences(outlook, targets, config.model.latent, config.control.beta))
  keys = _keys(config.seed)
  params = model.init(keys['params'])
  if model.linear:
    params = model.begin_linear(params, standard, *_components(measured, model.latent, config.seed))
  streams, frozen = routing.resolve(config.streams.to_dict(), params)
  trainer = _trainer(config, model, streams, keys)
  if workdir.read_summary() is not None:  # before it is opened: nothing of a finished run is lost by a refusal
    dataset.check_same(photos, None, open_vae(workdir.root).standard.center)
  workdir.open()
  for line in [*_opening_lines(config, photos, dev, targets, variance, streams, frozen),
               *(f'forecast: {sentence}' for sentence in words)]:
    print(line, flush=True)
  measures = Measures(model, standard, measured, _measured(dev) if dev else None, keys['measure'], len(photos), words)
  return _train(config, workdir, trainer, trainer.init(params, standard, targets), photos, measures, keys)


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
  """Standard and the variance about the mean image, photo by photo as in dataset.mean_image."""
  center = dataset.mean_image(photos)
  variance = sum(np.mean(np.square(dataset.as_float(image) - center)) for image in photos) / len(photos)
  if variance < 1e-10:
    raise UserError('data: all photos are the same image, so there is nothing to learn; check data.path')
  return models.Standard(jnp.float32(center), jnp.float32(math.sqrt(variance))), float(variance)


def _measured(photos):
  """Images float32 `[n, S, S, C]` of at most _MEASURED photos, spread over the set."""
  rows = np.unique(np.linspace(0, len(photos) - 1, min(len(photos), _MEASURED)).astype(int))
  return np.stack([dataset.as_float(photos[row]) for row in rows])


def _components(images, count, seed):
  """Principal components `[K, S * S * C]` of images, at most `count`, and the standard deviations `[K]` along them."""
  fitted = baselines.Linear.fit(images, count, seed)
  along = (images - images.mean(0)).reshape(len(images), -1) @ np.asarray(fitted.components).T
  return fitted.components, jnp.asarray(np.maximum(along.std(0), 1e-6), jnp.float32)


def _targets(config, variance, count):
  """{'kld', 'mse'}, absolute. Says what cannot be reached as stated."""
  chosen = config.targets
  if chosen.mse is None and chosen.mse_of_variance is None:
    raise UserError('targets.mse, targets.mse_of_variance: one of them is needed')
  if chosen.mse is not None and chosen.mse_of_variance is not None:
    logging.warning('targets.mse = %g is used, targets.mse_of_variance = %g is not', chosen.mse, chosen.mse_of_variance)
  mse = chosen.mse if chosen.mse is not None else chosen.mse_of_variance * variance
  if mse >= variance:
    logging.warning('targets: an MSE of %g is no less than the variance about the mean image, %g, which a collapsed '
                    'model reaches; lower it', mse, variance)
  if chosen.kld < math.log(count):
    logging.warning('targets.kld = %g nats is below log(%d) = %.2f: too low to tell the photos apart, so the MSE may '
                    'not come down', chosen.kld, count, math.log(count))
  perceptual = any(stream.loss == 'lpips' for stream in config.streams.values())
  if perceptual and chosen.lpips is None:
    raise UserError('targets.lpips: is needed, since a stream has the loss lpips; set it, such as 0.02')
  return {'kld': chosen.kld, 'mse': mse} | ({'lpips': chosen.lpips} if perceptual else {})


def _keys(seed):
  names = ('params', 'order', 'train', 'measure')
  return dict(zip(names, jax.random.split(jax.random.key(seed), len(names)), strict=True))


def _trainer(config, model, streams, keys):
  policy = control.Control(**config.control.to_dict())
  light, blotch = config.data.augment.to_dict(), config.data.blotch.to_dict()
  corrupt = (lambda x, k: augment.blotch(x, k, **blotch)) if blotch['strength'] else None
  return training.Trainer(model, streams, policy, keys['train'], lambda x, k: augment.augment(x, k, **light),
                          _lpips(streams), corrupt, config.average)


def _lpips(streams):
  """LPIPS by AlexNet, where a stream wants it."""
  if not any(stream.loss == 'lpips' for stream in streams.values()):
    return None
  return functools.partial(features.lpips, features.load('alexnet'))


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


def _train(config, workdir, trainer, fresh, photos, measures, keys):
  """Resumes or begins, trains to the end, measures and reports; returns the summary."""
  schedule = loop.Schedule(**config.steps)
  host, first, history, request = loop.resume(workdir, flax.serialization.to_state_dict(jax.device_get(fresh)))
  feed = _feed(config, trainer, photos, keys['order'], first)
  board = events.Events(workdir.root)
  bar = ProgressBar(workdir, 'step')

  def on_log(row, rate):
    board.add(row)
    bar.show(row['step'], schedule.total, f'KLD {row["train/kld"]:.2f} (target {row["target/kld"]:.4g})  '
             f'MSE {row["train/mse"]:.3e} (target {row["target/mse"]:.3e})', rate)

  runner = loop.Loop(
      workdir=workdir, schedule=schedule, advance=feed.advance, on_log=on_log,
      evaluate=lambda state, step: measures.during(workdir, _params(state), step),
      to_host=lambda state: flax.serialization.to_state_dict(jax.device_get(parallel.first(state))),
      set_targets=_set_targets)
  began = time.monotonic()
  try:
    begun = flax.serialization.from_state_dict(fresh, host)
    dataset.check_same(photos, None, begun.standard.center)
    state = parallel.replicate(begun)
    state, history = runner.run(state, first, history, request)
  finally:
    feed.close()
    board.close()
  seconds = time.monotonic() - began - feed.compile_seconds  # of this session
  speed = {'steps': schedule.total, 'seconds': workdir.seconds_spent(), 'compile_seconds': feed.compile_seconds,
           'images_per_second': min(config.batch, len(photos)) * (schedule.total - first) / max(seconds, 1e-9),
           **parallel.machine()}
  summary = speed | measures.at_end(_params(state), history) | _perceptual(workdir.read_metrics(), schedule.total)
  measures.report(workdir, config, _params(state), summary, history)
  return summary


def _perceptual(rows, steps):
  """LPIPS, the mean over the last 10 % of the steps, and its target; {} where no stream has that loss."""
  rows = [row for row in rows if 'train/lpips' in row and row['step'] > 0.9 * steps]
  if not rows:
    return {}
  return {'lpips': float(np.mean([row['train/lpips'] for row in rows])), 'lpips_target': rows[-1]['target/lpips']}


def _feed(config, trainer, photos, key, first):
  """Where batches come from: the device, or the cache for a set that is larger than data.resident_mb."""
  size = 2 * photos.nbytes / 2**20  # as float32
  if size > config.data.resident_mb:
    print(f'{size:.0f} MB of photos are streamed (data.resident_mb = {config.data.resident_mb:g})', flush=True)
    return feeding.StreamedFeed(trainer, photos, config.batch, key, first)
  fused = 1 if jax.default_backend() == 'cpu' else _FUSED
  return feeding.ResidentFeed(trainer, photos.images(), config.batch, key, fused)


def _params(state):
  return jax.device_get(parallel.first(state.result))


def _set_targets(state, targets):
  """A replicated state with new targets of losses that it has targets of."""
  known = state.control['targets']
  if unknown := targets.keys() - known.keys():
    logging.warning('a request asks for targets of %s, which this training has not', ', '.join(sorted(unknown)))
  new = parallel.replicate({name: jnp.float32(targets[name]) for name in targets if name in known})
  return state.replace(control=state.control | {'targets': state.control['targets'] | new})

