"""Trains an inpainting pipeline on real photos: autoencoder, then latent diffusion; saved as diffusers saves one."""

import functools
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from defect_jax import __version__, parallel
from defect_jax.config import config_hash
from defect_jax.data import batches, cache, dataset, listing
from defect_jax.diffusion import examples, finetune, finetuner, pipeline, taught
from defect_jax.diffusion.places import Inpainter, Places
from defect_jax.diffusion.vocabulary import Texts
from defect_jax.errors import UserError
from defect_jax.evaluation import generation, inpainting, visibility
from defect_jax.models import features
from defect_jax.report import advice, grids
from defect_jax.report import inpaint_train as report
from defect_jax.report.answers import Facts, timed
from defect_jax.runs.artefacts import Artefact
from defect_jax.runs.folder import Workdir
from defect_jax.runs.forecast import Forecast
from defect_jax.training import fit, loop, routing
from defect_jax.training.callbacks import Evaluation
from defect_jax.training.trainer import Trainer, TrainState

AUTOENCODER = Artefact('vae')  # workdir of its training
_DEV_AREAS = 64  # for the held-out loss
_SHOWN, _RECONSTRUCTED = 12, 9  # places in a sample grid, areas in one of reconstructions
_WARMUP = 20  # steps of the autoencoder
Evaluate = Callable[[TrainState, int], dict[str, float]]


def run(config: ConfigDict, workdir: Workdir) -> dict[str, Any]:
  """Trains as `config` says; returns the summary. Raises UserError, Stopped, Diverged or DiskFull."""
  data, seed, dtype, chosen = config.data, config.seed, config.dtype, config.optimizer
  measure, networks = config.measure, config.model.to_dict()
  if parallel.padded(config.batch) // parallel.devices() % chosen.accumulate:
    raise UserError(f'optimizer.accumulate = {chosen.accumulate}: the share of each of {parallel.devices()} devices in '
                    f'a batch of {config.batch} cannot be cut into so many equal pieces')
  texts = Texts(config.prompts, data.classes)
  given = finetuner.of_weights(config.weights, texts, data.size, dtype, config.save.dtype, seed,
                               **config.tune) if config.weights else None
  before = taught.of_weights(config.weights) if config.weights else None
  scratch = None if given else finetuner.Scratch.of(workdir.root.name, texts, data.size, dtype, seed, **networks)
  load = functools.partial(examples.load, data.to_dict(), config.masks.to_dict(), seed, generation.LEAST_REAL)
  train = load(part=data.part, few_shot=data.few_shot, count=data.areas, flip=True)
  dev = _held_out(load, listing.held_out(data.split, part=measure.part))
  came_from = digest(train, dev, given.model.digest if given else '')
  fit.check_finished(workdir, came_from)
  parallel.keep_compiled(cache.cache_folder() / 'compiled')
  workdir.open()
  workdir.forecast = Forecast(1, 'the training')
  counts = ', '.join(f'{train.labels.count(name)} {name}' for name in data.classes)
  print(*(f'note: {line}' for line in dataset.lines(train)),
        f'{len(train)} areas of {data.size} px ({counts}), part {data.part}; {len(dev) if dev else 0} held out; '
        f'{parallel.devices()} {jax.default_backend()} device(s)', sep='\n', flush=True)
  tuner, stage = given, None
  if scratch:
    inner = Workdir(workdir.path(AUTOENCODER), workdir)
    inner.check(ConfigDict({'task': 'inpaint_train', 'stage': 'autoencoder', 'seed': seed, 'dtype': dtype,
                            'data': data.to_dict(), 'model': networks['autoencoder'],
                            'steps': config.autoencoder.steps.to_dict(), 'autoencoder': config.autoencoder.to_dict()}))
    vae, stage = _autoencoder(inner, scratch, train, **config.autoencoder.to_dict())
    tuner = scratch.finetuner(vae, texts, train, config.save.dtype)
  assert tuner, 'there are weights, or it is from scratch'

  model, keys = tuner.model, jax.random.split(jax.random.key(seed + 1), 3)
  print(f'encoding {len(train)} areas', flush=True)
  areas = finetuner.encoded(model, train, texts)
  loss = finetune.Denoising(model, chosen.outside, config.text_drop, tuner.join, chosen.again)
  optimizer = finetuner.optimizer(chosen.lr, config.steps.total, chosen.warmup, chosen.clip)
  trainer = Trainer(loss, finetune.DENOISING_LOSSES, routing.whole('loss', tuner.moved, optimizer), keys[0],
                    decay=chosen.average, warm=True, microbatches=chosen.accumulate,
                    unroll=jax.default_backend() == 'cpu')
  defects = examples.defects(train)
  places = Places.of(examples.good(train), defects, texts, measure.images, seed)
  inpainter = functools.partial(Inpainter, texts=texts, places=places, seed=seed, batch=measure.batch,
                                steps=measure.steps, guidance=measure.guidance)
  inpaint, dev_loss = inpainter(model), _dev_loss(loss, dev, texts, tuner.frozen, keys[2])
  trained = fit.fit(workdir, loop.Schedule(**config.steps), trainer, trainer.init(tuner.moved, frozen=tuner.frozen),
                    areas, came_from, config.batch, keys[1],
                    [Evaluation(_inpainted(workdir, tuner, inpaint, dev_loss))], gather=batches.gather_columns)
  tuner.write(workdir, trained.state.average)

  print('measuring', flush=True)
  metrics, count = workdir.read_metrics(), len(places.labels)
  summary = {'steps': config.steps.total, 'seconds': workdir.seconds_spent() + (stage['seconds'] if stage else 0.),
             **trained.speed, 'loss': trained.last_tenth(), 'dev_loss_before': dev_loss(tuner.moved).get('eval/loss'),
             'dev_loss': [None, *(row['eval/loss'] for row in metrics if 'eval/loss' in row)][-1],
             'autoencoder': stage}
  made, real = inpaint(tuner.whole(trained.state.average), count), examples.defects(dev) if dev else None
  reference = inpainting.KidReference(defects, real, measure.margin, measure.size, seed) if real else None
  summary |= inpainting.realism(
      reference, made, places.pasted(), places.masks, lambda: (inpaint if tuner.before is model else inpainter(
          tuner.before))(parallel.to_host(tuner.before.params), count))
  if reference and real:
    summary['measured_against'] = (f'{reference.count} areas of {len(set(real.files))} photos of defects, part '
                                   f'{measure.part}')
  summary |= parallel.machine() | _looked_at(places, made, defects, measure, seed)
  answers, usable = advice.of('inpaint_train', Facts.of(summary, config, workdir))
  summary |= usable
  finetuner.record(workdir, {'config': config.to_dict(), 'config_hash': config_hash(config), 'version': __version__,
                             'weights': (given and given.model.digest) or None, 'summary': summary},
                   taught.Taught(tuple(data.classes), tuple(config.prompts), len(set(train.files)),
                                 before.licence if before else None))
  report.write(workdir.report_html, f'{workdir.root.name}: inpainting', workdir.config_text, summary, metrics,
               trained.history, places, made, answers)
  return summary


@timed
def _looked_at(places, made, defects, measure, seed):
  """What the summary says for the answers: whether made defects show, and how far they are from real ones."""
  figures = visibility.of_changes(places.images, made, places.masks, places.donors, seed)
  distance = inpainting.distance(made, places.masks, defects, measure.margin, measure.size)
  return {**figures, 'sample_distance': distance}


def digest(train: dataset.InMemory, dev: dataset.InMemory | None, weights: str) -> str:
  """Of all that a training and its held-out loss come from; weights: digest of the given ones, or ''."""
  areas = [bytes.fromhex(each.digest()) for each in (train, dev) if each is not None]
  return hashlib.sha256(b''.join([*areas, weights.encode()])).hexdigest()


def _held_out(load, of_parts):
  """The held-out photos of the first part that has any, an area each, or None if there are too few."""
  dev, reason = listing.first_of(of_parts, lambda part: load(part=part, few_shot=0, count=None, flip=False))
  if dev is None:
    logging.warning('no held-out photos, so neither dev_loss nor KID: %s',
                    reason or 'all photos are trained on (data.split)')
  return dev


def _autoencoder(workdir: Workdir, scratch: finetuner.Scratch, train: dataset.InMemory, lr: float, batch: int,
                 lpips: float, kld: float, steps: Mapping[str, int]) -> tuple[dict[str, Any], dict[str, Any] | None]:
  """Trains the autoencoder, or finds it trained: its parameters, and the summary of that run."""
  model = finetune.Autoencoding(pipeline.modules(scratch.configs, scratch.dtype)[1])
  keys, params = jax.random.split(jax.random.key(scratch.seed), 2), {'vae': scratch.begin()['vae']}
  streams = routing.whole('loss', params, finetuner.optimizer(lr, steps['total'], _WARMUP, 1.0))
  trainer = Trainer(model, finetune.autoencoding_losses(lpips, kld), streams, keys[0], decay=0.99, warm=True)
  done = workdir.finished()
  if done is None:
    workdir.open()
  with workdir.running():
    begin = trainer.init(params, frozen={'lpips': features.load('alexnet')})
    trained = fit.fit(workdir, loop.Schedule(**steps), trainer, begin, {'image': train.pixels}, train.digest(), batch,
                      keys[1], [Evaluation(_reconstructed(workdir, model, train))], gather=_as_float)
    if done is None:
      done = {'seconds': workdir.seconds_spent(), **trained.speed, 'loss': trained.last_tenth(),
              'mse': [row['eval/mse'] for row in workdir.read_metrics() if 'eval/mse' in row][-1]}
      workdir.finish(done)
      done = workdir.finished()  # as a run that goes on from here reads it
  return parallel.to_host(trained.state.average['vae']), done


def _as_float(data, indices, weights):
  return {'image': data['image'][indices].astype(jnp.float32) / 255, 'weight': weights}


def _reconstructed(workdir: Workdir, model: finetune.Autoencoding, train: dataset.InMemory) -> Evaluate:
  """Writes a grid of areas and their reconstructions; their squared error."""
  shown = np.float32(train.pixels[::-(-len(train) // _RECONSTRUCTED)]) / 255
  reconstruct = jax.jit(lambda params: model.reconstruct(params, shown))

  def evaluate(state, step):
    recon = np.clip(reconstruct(state.average['vae']), 0, 1)
    grids.write_png(workdir.sample(step, 'recon'), grids.recon_grid(shown, recon))
    return {'eval/mse': float(np.mean(np.square(recon - shown)))}

  return evaluate


def _inpainted(workdir: Workdir, tuner: finetuner.Finetuner, inpaint: Inpainter, dev_loss: Callable) -> Evaluate:
  """Writes a grid of places above what is made of them; the held-out loss."""
  def evaluate(state, step):
    made = inpaint(tuner.whole(state.average), min(_SHOWN, len(inpaint.places.labels)))
    grids.write_png(workdir.sample(step, 'inpainted'), grids.grid([inpaint.places.hidden(len(made)), made]))
    return dev_loss(state.average)

  return evaluate


def _dev_loss(loss, dev, texts, frozen, key):
  """(parameters) -> {'eval/loss'} on held-out areas, with the same noise each time."""
  if dev is None:
    return lambda params: {}
  areas = finetuner.encoded(loss.model, examples.few(dev, _DEV_AREAS), texts)
  slots = np.arange(len(areas['text']))
  keys = jax.vmap(jax.random.fold_in, (None, 0))(key, slots)
  mean = jax.jit(lambda params, frozen, areas: loss.error(params, frozen, loss.inputs(areas, keys, slots)).mean())
  return lambda params: {'eval/loss': float(mean(params, frozen, areas))}
