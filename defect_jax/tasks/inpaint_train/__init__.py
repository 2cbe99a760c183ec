"""Trains an inpainting pipeline on real photos: autoencoder, then latent diffusion; saved as diffusers saves one."""

import typing

import jax
import numpy as np
from absl import logging

from defect_jax import __version__, parallel
from defect_jax.config import UserError, config_hash
from defect_jax.data import dataset, prepared
from defect_jax.diffusion import finetune
from defect_jax.report import inpaint_train as report
from defect_jax.tasks.inpaint_train import learners, material, measures, stages
from defect_jax.training import fit, loop
from defect_jax.training.callbacks import Evaluation
from defect_jax.training.trainer import as_tree

_DEV_AREAS = 64  # for the held-out loss


class Material(typing.NamedTuple):
  """Texts, the areas that are trained on, those held out or None, and the digest of the given weights or ''."""
  texts: material.Texts
  train: dataset.InMemory
  dev: dataset.InMemory | None
  weights: str

  def digest(self):
    """fit.digest of all that the training and its held-out loss come from."""
    areas = [np.frombuffer(bytes.fromhex(of.digest()), np.uint8) for of in (self.train, self.dev) if of is not None]
    return fit.digest(*areas, np.frombuffer(self.weights.encode(), np.uint8))


def run(config, workdir):
  """Trains as `config` says; returns the summary. Raises UserError, Stopped, Diverged or DiskFull."""
  if parallel.padded(config.batch) // parallel.devices() % config.optimizer.accumulate:
    raise UserError(f'optimizer.accumulate = {config.optimizer.accumulate}: the share of each of {parallel.devices()} '
                    f'devices in a batch of {config.batch} cannot be cut into so many equal pieces')
  texts, learner, stage = material.Texts(config), None, None
  if config.weights:
    learner = learners.of_weights(config, texts)
  else:
    parts = learners.configs_of(config, texts)
  train = material.open_areas(config, config.data.part, config.data.few_shot, config.data.areas, flip=True)
  dev = _open_dev(config)
  seen = Material(texts, train, dev, learner.model.digest if learner else '')
  fit.check_finished(workdir, seen.digest())
  parallel.keep_compiled(prepared.cache_folder() / 'compiled')
  workdir.open()
  for line in _opening_lines(config, train, dev):
    print(line, flush=True)
  if learner is None:
    learner, stage = learners.from_scratch(config, workdir, texts, train, *parts)
  return _learn(config, workdir, learner, seen, stage)


def _open_dev(config):
  """The held-out photos, an area each, or None where there are too few."""
  try:
    return material.open_areas(config, config.measure.part, 0, None, flip=False)
  except UserError as error:
    logging.warning('no held-out photos, so neither dev_loss nor KID: %s', error)
    return None


def _opening_lines(config, train, dev):
  yield from (f'note: {line}' for line in dataset.lines(train))
  counts = ', '.join(f'{train.labels.count(name)} {name}' for name in config.data.classes)
  yield (f'{len(train)} areas of {config.data.size} px ({counts}), part {config.data.part}; '
         f'{len(dev) if dev else 0} held out; {parallel.devices()} {jax.default_backend()} device(s)')


def _learn(config, workdir, learner, seen, stage):
  """Stage two, measures, files; returns the summary. `stage`: summary of the autoencoder's training, or None."""
  texts, train, dev, _ = seen
  model, keys = learner.model, jax.random.split(jax.random.key(config.seed + 1), 3)
  print(f'encoding {len(train)} areas', flush=True)
  data = stages.bank(model, train, texts)
  loss = finetune.Denoising(model, config.optimizer.outside, config.text_drop, learner.join, config.optimizer.again)
  trainer = stages.denoising_trainer(config, loss, keys[0], learner.moved)
  defects = material.defects(train)
  found = measures.places(material.good(train), defects, texts, config.measure.images, config.seed)
  fill = measures.Inpainter(config, model, texts, found)
  held_out = _held_out(loss, model, dev, texts, learner.frozen, keys[2])

  def evaluate(state, step):
    made = fill(learner.whole(state.average), min(measures.shown(), len(found.labels)))
    fill.show(workdir.sample(step, 'inpainted'), made)
    return held_out(state.average)

  trained = fit.fit(workdir, loop.Schedule(**config.steps), trainer, trainer.init(learner.moved, frozen=learner.frozen),
                    data, seen.digest(), config.batch, keys[1], [Evaluation(evaluate)], gather=stages.rows)
  state = trained.state
  learner.write(workdir, state.average)
  print('measuring', flush=True)
  rows = workdir.read_metrics()
  held = [row['eval/loss'] for row in rows if 'eval/loss' in row] or [None]
  summary = {'steps': config.steps.total, 'seconds': workdir.seconds_spent() + (stage['seconds'] if stage else 0.),
             **trained.speed, 'loss': trained.last_tenth(), 'dev_loss_before': held_out(learner.moved).get('eval/loss'),
             'dev_loss': held[-1], 'autoencoder': stage}
  made = fill(learner.whole(state.average), len(found.labels))

  def before():
    untrained = fill if learner.before is model else measures.Inpainter(config, learner.before, texts, found)
    return untrained(as_tree(learner.before.params), len(found.labels))

  summary |= _realism(config, before, found, made, defects, dev)
  summary |= parallel.machine()
  learner.record(workdir, {'config': config.to_dict(), 'config_hash': config_hash(config), 'version': __version__,
                           'weights': seen.weights or None, 'summary': summary})
  report.write(workdir.report_html, f'{workdir.root.name}: inpainting', config, summary, rows, trained.history.values,
               found, made)
  return summary


def _held_out(loss, model, dev, texts, frozen, key):
  """Function of parameters to {'eval/loss'} on held-out areas, with the same noise each time."""
  if dev is None:
    return lambda params: {}
  chosen = np.unique(np.linspace(0, len(dev) - 1, min(len(dev), _DEV_AREAS)).astype(int))
  data = stages.bank(model, dev.only(chosen), texts)
  slots = np.arange(len(chosen))
  keys = jax.vmap(jax.random.fold_in, (None, 0))(key, slots)
  mean = jax.jit(lambda params, frozen, data: loss.error(params, frozen, loss.inputs(data, keys, slots)).mean())
  return lambda params: {'eval/loss': float(mean(params, frozen, data))}


def _realism(config, before, found, made, defects, dev):
  """Measures of what was `made`, of what the function `before` gives, and of cut and paste; None where there are too
  few held-out defects."""
  real = None if dev is None else material.defects(dev)
  if real is None or not len(real):
    return dict.fromkeys(('kid_before', 'kid_after', 'kid_after_ci', 'kid_cutpaste', 'kid_of_training', 'novelty',
                          'memorised_fraction'))
  against, marks = measures.KidReference(config, defects, real), found.marks
  kid = {name: against.kid(images, marks) for name, images in (
      ('before', before() if against.enough else None), ('after', made), ('cutpaste', found.pasted()))}
  novelty, memorised = against.newness(made, marks)
  return {f'kid_{name}': value for name, (value, _) in kid.items()} | {
      'kid_after_ci': kid['after'][1], 'kid_of_training': against.kid_of_training, 'novelty': novelty,
      'memorised_fraction': memorised,
      'measured_against': f'{against.count} areas of {len(set(real.files))} photos of defects, part '
                          f'{config.measure.part}'}
