"""Classifies photos by a CNN trained on few real photos and made ones: measures it, or predicts a folder of photos."""

import dataclasses
import functools
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict
from scipy import special

from defect_jax import parallel
from defect_jax.augmentation import made
from defect_jax.config import config_hash
from defect_jax.data import batches, dataset, prepared, seen, splits
from defect_jax.errors import UserError
from defect_jax.evaluation import classification
from defect_jax.imagesets import manifest
from defect_jax.models import cnn, normalization
from defect_jax.report import classifier as report
from defect_jax.runs import predictions
from defect_jax.runs.artefacts import REPORT
from defect_jax.runs.folder import Workdir
from defect_jax.tasks import predict
from defect_jax.trained.classifier import ClassifierPredictor, model_of, open_classifier, prior_of, tta_axes_of
from defect_jax.training import callbacks, fit, loop
from defect_jax.training import classifier as training

# Held-out photos of each class that a temperature takes: of 5 defects that were all found it made probabilities of 0.99
# that were right in 9 of 10 cases.
_CALIBRATING = 10
_NAMED = 3  # files that a refusal names
_WRONG, _LOOKED_AT = 12, 6  # photos on the page that it gets wrong, and others whose saliency is there


def run(config: ConfigDict, workdir: Workdir) -> dict[str, Any]:
  """Trains or opens a classifier and measures it, or predicts; returns the summary.

  Raises UserError, Stopped, Diverged or DiskFull.
  """
  root, data = config.classifier, config.data.to_dict()
  usage = {'prevalence': config.prevalence, 'mirrored': config.mirrored}
  if config.mode == 'predict':
    return _predict(workdir, root, config.photos, config.heatmaps, threshold=config.threshold, **usage)
  predictor = open_classifier(root, **usage) if root else None
  photos = splits.split(part=config.measure.part, share=config.validation.share, seed=config.seed,
                        test_only=bool(root), **data)
  made_images = photos.train if root else made.load(config.made.sets, config.made.ratio, photos, seed=config.seed,
                                                    **data)
  splits.check_resident((photos.train, photos.validation, photos.test, made_images), config.data.resident_mb)
  digest = dataset.digest(photos.train, made_images, photos.validation)
  if predictor:
    _check_opened(predictor, photos, config.measure.part, data)
  else:
    fit.check_finished(workdir, digest)
    model = model_of(len(photos.classes), size=config.data.size, channels=config.data.channels, dtype=config.dtype,
                     **config.model)
  counts = _counts(photos, made_images, predictor)
  parallel.keep_compiled(prepared.cache_folder() / 'compiled')
  workdir.open()
  kept = [] if predictor else seen.keep(workdir, photos.train.records, [*photos.train.sha256, *made_images.sha256])
  _print_opening(dataset.lines(photos, made_images) + kept, counts, config.measure.part, bool(predictor))
  speed: dict[str, Any] = {'steps': 0, 'compile_seconds': None, 'images_per_second': None}
  if predictor:
    workdir.cut_back(-1)
  else:
    params, normalizer, speed = _train(
        workdir, model, photos, made_images, digest, seed=config.seed, batch=config.batch, copies=config.model.views,
        augmentation=data['augment'], schedule=loop.Schedule(**config.steps), patience=config.validation.patience,
        optimizer=config.optimizer.to_dict())
    known = {*photos.train.sha256, *made_images.sha256, *photos.validation.sha256} - {''}
    predictor = _calibrated(ClassifierPredictor(
        photos.classes, model, params, normalizer, prior_of(config.prevalence, len(photos.classes)),
        tta_axes_of(config.data.augment, config.mirrored), seen=frozenset(known)), photos.validation)
    predictor.save(workdir)
  return _measure(config, workdir, predictor, photos, made_images, counts, speed)


def _measure(config, workdir, predictor, photos, made_images, counts, speed):
  """Predicts the tested photos, writes rows and page; returns the summary."""
  test, names, began = photos.test, photos.classes, time.monotonic()
  probabilities = predictor.probabilities(test.images())
  if config.classifier:
    seconds = time.monotonic() - began
    speed['images_per_second'] = len(test) / seconds
    workdir.append_metrics({'step': 0, 'seconds': seconds})
  predictions.write(workdir, [
      predictions.row(file, 1 - float(row[0]), config.threshold,
                      **{'class': names[int(row.argmax())], 'truth': names[label]})
      for file, label, row in zip(test.files, test.labels, probabilities, strict=True)], ('class', 'truth'))
  summary = speed | {
      'seconds': workdir.seconds_spent(),
      **classification.measure(test.labels, probabilities, config.seed, test.groups),
      'part': config.measure.part, 'classes': names, 'temperature': predictor.temperature,
      'calibration_error': classification.calibration_error(test.labels, probabilities, predictor.prior),
      'photos': counts,
      'config_hash': config_hash(config, made_sets=[] if config.classifier else [
          *map(manifest.digest, config.made.sets)]),
      'skipped': len(photos.skipped) + len(made_images.skipped), **parallel.machine()}
  report.write_evaluation(
      workdir.path(REPORT), title=f'{workdir.root.name}: classifier', config=workdir.config_text, summary=summary,
      metrics=workdir.read_metrics(), notes=dataset.lines(photos, made_images),
      defective=np.asarray(test.labels) > 0, scores=1 - probabilities[:, 0], made=made_images.images(),
      **_looked_at(predictor, photos, probabilities, config.seed))
  print(', '.join(f'{name} {summary[name]:.3f}' for name in classification.NAMES if summary[name] is not None),
        flush=True)
  return summary


def _predict(workdir, root, photos, heatmaps, **usage):
  """Predicts photos; figures that take labels are null."""
  records = predict.list_photos(photos, workdir)
  predictor = open_classifier(root, **usage)
  workdir.open()
  print(f'classes and geometry are those of {root}: {", ".join(predictor.classes)}', flush=True)
  return dict.fromkeys((*classification.NAMES, 'confusion', 'ci', 'part')) | predict.predict(
      workdir, predictor, records, heatmaps)  # type: ignore[arg-type]  # to mypy a protocol's members are settable


def _check_opened(predictor: ClassifierPredictor, photos: splits.Splits, part: str, data: Mapping[str, Any]) -> None:
  """Refuses photos of other classes or geometry than the classifier's, and those that it was trained on."""
  assert predictor.workdir is not None  # it was opened from one
  root = predictor.workdir.root
  if predictor.classes != photos.classes:
    raise UserError(f'classifier: {root} knows {", ".join(predictor.classes)}, these photos are '
                    f'{", ".join(photos.classes)}; name the same classes in data.defects')
  known = [file for file, sha256 in zip(photos.test.files, photos.test.sha256, strict=True) if sha256 in predictor.seen]
  if known:
    raise UserError(f'measure.part: {", ".join(known[:_NAMED])}{" and more" * (len(known) > _NAMED)} of the part '
                    f'{part} were trained on by {root}, or its made images come from them; train it anew with these '
                    'parts')
  for key in ('size', 'channels', 'region', 'box', 'fit'):
    if predictor.config.data[key] != data[key]:
      raise UserError(f'data.{key} = {data[key]}: {root} was trained with {predictor.config.data[key]}; set it so')


def _counts(photos, made_images, predictor):
  """{what photos are for: {class: count}}: of the tested ones, and of those that are trained on, now or before."""
  sets = {'real': photos.train, 'made': made_images, 'validation': photos.validation, 'test': photos.test}
  counts = {purpose: {name: int(np.sum(photos_of.labels == label)) for label, name in enumerate(photos.classes)}
            for purpose, photos_of in sets.items()}
  return predictor.workdir.read_summary()['photos'] | {'test': counts['test']} if predictor else counts


def _print_opening(lines: Sequence[str], counts: Mapping[str, Mapping[str, int]], part: str, opened: bool) -> None:
  words = {'test': f'tested, of the part {part}'}
  if not opened:
    words = {'real': 'real photos to train on', 'made': 'made ones', 'validation': 'held out'} | words
  print(*(f'note: {line}' for line in lines),
        *(f'{text}: {", ".join(f"{count} {label}" for label, count in counts[purpose].items())}'
          for purpose, text in words.items()),
        f'{parallel.devices()} {jax.default_backend()} device(s)', sep='\n', flush=True)


def _train(workdir: Workdir, model: cnn.Classifier, photos: splits.Splits, made_images: dataset.InMemory, digest: str,
           *, seed: int, batch: int, copies: int, augmentation: Mapping[str, Any], schedule: loop.Schedule,
           patience: int, optimizer: Mapping[str, float]) -> tuple[Any, normalization.Normalizer, dict[str, Any]]:
  """Trains on class-balanced batches: the best parameters by held-out photos, and what the summary says of it."""
  keys = dict(zip(('params', 'order', 'train', 'views'), jax.random.split(jax.random.key(seed), 4), strict=True))
  train = dataset.InMemory.joined([photos.train, made_images])
  inputs, labels = train.images(), train.labels
  if model.kind == 'resnet':
    normalizer = training.normalizer_of(model.kind, inputs[:len(photos.train)])  # of the real photos
  else:
    inputs, labels = training.augmented_features(train, copies, augmentation, keys['views'])
    normalizer = training.normalizer_of(model.kind, inputs)
  params = jax.device_get(model.init(keys['params']))
  trainer = training.trainer_of(model, normalizer, augmentation, keys['train'], params, **optimizer)
  stopping = _early_stopping(model, normalizer, photos.validation, patience, params)
  members, counts = batches.members_of(labels)
  draw = functools.partial(batches.balanced, members=members, counts=counts)
  result = fit.fit(workdir, schedule, trainer, trainer.init(params), {'image': inputs, 'label': labels}, digest, batch,
                   keys['order'], stopping, gather=batches.gather_columns, draw=draw)
  step, loss, params = next(((best.step, best.loss, best.params) for best in stopping), (
      None, None, result.state.result))
  return jax.device_get(params), normalizer, result.speed | {'best_step': step, 'validation_loss': loss}


def _early_stopping(model, normalizer, validation, patience, params):
  """By the loss on held-out photos, each class counting the same; none where nothing is held out."""
  if not len(validation):
    return []
  inputs, labels = training.inputs_of(model.kind, validation.images()), validation.labels
  logits_of = jax.jit(lambda params, inputs: model.logits(params, normalizer, inputs))

  def measure(params):
    logits = np.asarray(logits_of(params, inputs))
    loss = classification.log_loss(logits, labels, classification.balanced_weights(labels))
    figures = classification.figures(labels, special.softmax(logits, -1))
    return loss, {'eval/loss': loss, 'eval/balanced_accuracy': figures['balanced_accuracy']}

  return [callbacks.EarlyStopping(measure, params, patience)]


def _calibrated(predictor, validation):
  """The predictor with the temperature of held-out photos, where these are enough."""
  if not len(validation) or np.bincount(validation.labels, minlength=len(predictor.classes)).min() < _CALIBRATING:
    return predictor
  logits = predictor.logits(validation.images())
  return dataclasses.replace(predictor, temperature=classification.temperature(logits, validation.labels))


def _looked_at(predictor: ClassifierPredictor, photos: splits.Splits, probabilities: Float[np.ndarray, 'n k'], seed: int
               ) -> dict[str, list[report.Looked]]:
  """Photos on the page, with words and saliency: the surest mistakes, and defective ones drawn by the seed."""
  test, names = photos.test, photos.classes
  images, wrong = test.images(), np.flatnonzero(probabilities.argmax(1) != test.labels)
  wrong = wrong[np.argsort(probabilities[wrong, test.labels[wrong]])][:_WRONG]
  defective = np.random.default_rng(seed).permutation(np.flatnonzero(np.asarray(test.labels) > 0))[:_LOOKED_AT]

  def looked(index, saliency):
    row = probabilities[index]
    return (f'{names[test.labels[index]]}, taken for {names[row.argmax()]} ({row.max():.2f}): {test.files[index]}',
            images[index], saliency)

  return {purpose: [looked(*pair) for pair in zip(indices, predictor.saliency(images[indices]), strict=True)]
          if len(indices) else [] for purpose, indices in (('wrong', wrong), ('looked_at', defective))}
