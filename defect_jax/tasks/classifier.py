"""Classifies photos by a CNN trained on few real photos and made ones: measures it, or predicts a folder of photos."""

import dataclasses
import functools
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from scipy import special

from defect_jax import parallel
from defect_jax.augmentation import made
from defect_jax.config import config_hash
from defect_jax.data import cache, dataset, regions, seen, splits, tiles
from defect_jax.data.parts import ALL
from defect_jax.detectors.threshold import share_above
from defect_jax.errors import UserError
from defect_jax.evaluation import classification, looked_at, looks, mixture
from defect_jax.imagesets import manifest
from defect_jax.report import advice
from defect_jax.report import classifier as report
from defect_jax.report import mixture as mixed_report
from defect_jax.report.answers import Facts, timed
from defect_jax.runs import predictions
from defect_jax.runs.artefacts import REPORT
from defect_jax.runs.folder import Workdir
from defect_jax.tasks import predict
from defect_jax.trained.classifier import ClassifierPredictor, model_of, open_classifier, prior_of, tta_axes_of
from defect_jax.training import classifier_fit, fit, loop

# Held-out photos of each class that a temperature takes: of 5 defects that were all found it made probabilities of 0.99
# that were right in 9 of 10 cases.
_CALIBRATING = 10
_NAMED = 3  # files that a refusal names


def run(config: ConfigDict, workdir: Workdir) -> dict[str, Any]:
  """Trains or opens a classifier and measures it, or predicts; returns the summary.

  Raises UserError, Stopped, Diverged or DiskFull.
  """
  root, data, sets = config.classifier, config.data.to_dict(), config.made.sets
  usage = {'prevalence': config.prevalence, 'mirrored': config.mirrored}
  if config.mode == 'predict':
    return _predict(workdir, root, config.photos, config.heatmaps, threshold=config.threshold, **usage)
  predictor = open_classifier(root, **usage) if root else None
  photos = splits.split(part=config.measure.part, share=config.validation.share, seed=config.seed,
                        test_only=bool(root), **data)
  images_of = functools.partial(made.load, ratio=config.made.ratio, seed=config.seed, **data)
  made_images = photos.train if root else images_of(sets=sets, photos=photos)
  splits.check_resident((photos.train, photos.validation, photos.test, made_images), config.data.resident_mb)
  digest = dataset.digest(photos.train, made_images, photos.validation)
  is_per_fold = bool(sets and config.made.per_fold)
  if predictor:
    _check_opened(predictor, photos, data)
  else:
    fit.check_finished(workdir, digest)
    model = model_of(len(photos.classes), size=config.data.size, channels=config.data.channels, dtype=config.dtype,
                     **config.model)
    for number in range(photos.folds if is_per_fold else 0):
      made.for_fold(sets, photos.fold(number, 0, config.seed), number, data['path'])
  counts = _counts(photos, made_images, predictor)
  parallel.keep_compiled(cache.cache_folder() / 'compiled')
  workdir.open()
  kept = [] if predictor else seen.keep(workdir, photos.train.records, [*photos.train.sha256, *made_images.sha256])
  _print_opening(dataset.lines(photos, made_images) + kept, counts, photos, bool(predictor))
  how = {'part': photos.part, 'split': config.data.split, 'folds': photos.folds,
         'photos': sum(counts['real'].values()), 'counts': counts}
  if predictor:
    workdir.cut_back(-1)
    began = time.monotonic()
    logits = predictor.logits(photos.test.images())
    seconds = time.monotonic() - began
    workdir.append_metrics({'step': 0, 'seconds': seconds})
    return _measure(config, workdir, predictor, photos.test, logits, photos, made_images, how | {
        'steps': 0, 'compile_seconds': None, 'images_per_second': len(photos.test) / seconds})

  def made_of(fold, number):
    return images_of(sets=made.for_fold(sets, fold, number, data['path']) if is_per_fold else (), photos=fold)

  predictor, tested, logits, trained = _train(config, workdir, model, photos, made_images, made_of, digest)
  predictor.save(workdir)
  return _measure(config, workdir, predictor, tested, logits, photos, made_images,
                  how | trained | {'per_fold': is_per_fold})


def _train(config, workdir, model, photos, made_images, made_of, digest):
  """The classifier that stays, the photos that are tested (perhaps none), their logits by what has not seen them, and
  what the summary says of the training. made_of: see classifier_fit.cross_validated."""
  recipe = classifier_fit.Recipe(
      model, config.seed, config.batch, config.model.views, config.data.augment.to_dict(),
      loop.Schedule(**config.steps), config.validation.patience, config.optimizer.to_dict(), _loss_of)
  examples, tta_axes = recipe.examples(photos.train, made_images), tta_axes_of(config.data.augment, config.mirrored)
  tested, pooled, more, steps = photos.test, None, {}, None
  if photos.folds:
    tested, (pooled, folds) = photos.train, classifier_fit.cross_validated(
        recipe, workdir, config, photos, examples, made_of, config.validation.share, tta_axes)
    best = [fold['best_step'] or fold['steps'] for fold in folds]
    steps = round(np.median(best))
    more = {'best_step': steps, 'fold_steps': best, 'fold_seconds': [fold['seconds'] for fold in folds]}
    print(f'the classifier that stays: all {len(photos.train)} photos, {steps} steps, the median of the folds '
          f'({", ".join(map(str, best))})', flush=True)
  trained = recipe.train(workdir, examples, photos.validation, digest, steps=steps)
  known = {*photos.train.sha256, *made_images.sha256, *photos.validation.sha256} - {''}
  predictor = ClassifierPredictor(
      photos.classes, model, trained.params, trained.normalizer, prior_of(config.prevalence, len(photos.classes)),
      tta_axes, seen=frozenset(known))
  if pooled is not None:
    predictor = _calibrated(predictor, pooled, photos.train.labels)
  elif len(photos.validation):
    predictor = _calibrated(predictor, predictor.logits(photos.validation.images()), photos.validation.labels)
  logits = predictor.logits(tested.images()) if pooled is None and len(tested) else pooled
  return predictor, tested, logits, trained.summary | more


def _measure(config, workdir, predictor, test, logits, photos, made_images, summary):
  """Writes rows and page of tested photos, of which there may be none, by their logits; returns the summary."""
  sets = [] if config.classifier else [*map(manifest.digest, config.made.sets)]
  names, nothing = photos.classes, dict.fromkeys((*classification.NAMES, 'confusion', 'ci', 'calibration_error'))
  probabilities = predictor.of_logits(logits) if len(test) else np.zeros((0, len(names)))
  predictions.write(workdir, [
      predictions.row(file, 1 - float(row[0]), config.threshold,
                      **{'class': names[int(row.argmax())], 'truth': names[label]})
      for file, label, row in zip(test.files, test.labels, probabilities, strict=True)], ('class', 'truth'))
  figures = classification.measure(test.labels, probabilities, config.seed, test.groups) | {
      'calibration_error': classification.calibration_error(test.labels, probabilities, predictor.prior)
  } if len(test) else nothing
  summary = summary | figures | {
      'seconds': workdir.seconds_spent() + sum(summary.get('fold_seconds', ())), 'classes': names,
      'temperature': predictor.temperature,
      'config_hash': config_hash(config, made_sets=sets), 'made_sets': sets,
      'skipped': len(photos.skipped) + len(made_images.skipped), **parallel.machine()}
  summary |= _found(test, 1 - probabilities[:, 0], config.threshold) | _looked(config, predictor, photos, test)
  answers, usable = advice.of('classifier', Facts.of(summary, config, workdir))
  summary |= usable
  report.write_evaluation(
      workdir.path(REPORT), title=f'{workdir.root.name}: classifier', config=workdir.config_text, summary=summary,
      metrics=workdir.read_metrics(), notes=dataset.lines(photos, made_images), test=test, probabilities=probabilities,
      threshold=config.threshold, made=made_images.images(), saliency=predictor.saliency, seed=config.seed,
      answers=answers, mixed=mixed_report.section(summary['mixture'], _records(photos, test)))
  print(', '.join(f'{name} {summary[name]:.3f}' for name in classification.NAMES if summary[name] is not None)
        or 'nothing measured, since no photos were held out (data.split=kfold does it by cross-validation)', flush=True)
  return summary


def _found(test, scores, threshold):
  """Shares of the tested defective and good photos above the threshold with their 95 % intervals, and how many there
  are; None where nothing is tested."""
  defective, groups = np.asarray(test.labels) > 0, np.asarray(test.groups)
  figures: dict[str, Any] = {'tested': {'good': int((~defective).sum()), 'defective': int(defective.sum())}}
  for name, rows in (('found', defective), ('false_alarms', ~defective)):
    share, interval = share_above(threshold, scores[rows], groups[rows].tolist()) if rows.any() else (None, None)
    figures |= {name: share, f'{name}_ci': interval}
  return figures


@timed
def _looked(config, predictor, photos, test):
  """What is looked at, of all photos; where the classifier looks, of the tested ones, else of those that it was trained
  on."""
  of = test if len(test) else photos.train
  drawn = np.random.default_rng(config.seed).permutation(len(of)) if of.records else []
  good, defective = ([of.records[row] for row in drawn if (of.labels[row] > 0) == wanted] for wanted in (False, True))
  every, tiling = _records(photos, test), tiles.Tiling(regions.Geometry.of(config.data))
  return looks.look(defective, good, tiling, predictor.saliency, predictor.log_odds) | {
      'looked_at': looked_at.of(every, tiling), 'mixture': mixture.find(every)}


def _records(photos, test):
  """Of all photos that are trained on, held out or tested, in order."""
  return [*{record.photo: record for of in (photos.train, photos.validation, test) for record in of.records
            }.values()]


def _predict(workdir, root, photos, heatmaps, **usage):
  """Predicts photos; figures that take labels are null."""
  records = predict.list_photos(photos, workdir)
  predictor = open_classifier(root, **usage)
  workdir.open()
  print(f'classes and geometry are those of {root}: {", ".join(predictor.classes)}', flush=True)
  return dict.fromkeys((*classification.NAMES, 'confusion', 'ci', 'part')) | predict.predict(
      workdir, predictor, records, heatmaps)  # type: ignore[arg-type]  # to mypy a protocol's members are settable


def _check_opened(predictor: ClassifierPredictor, photos: splits.Splits, data: Mapping[str, Any]) -> None:
  """Refuses photos of other classes or geometry than the classifier's, and those that it was trained on."""
  assert predictor.workdir is not None  # it was opened from one
  root = predictor.workdir.root
  if predictor.classes != photos.classes:
    raise UserError(f'classifier: {root} knows {", ".join(predictor.classes)}, these photos are '
                    f'{", ".join(photos.classes)}; name the same classes in data.defects')
  known = [file for file, sha256 in zip(photos.test.files, photos.test.sha256, strict=True) if sha256 in predictor.seen]
  if known:
    raise UserError(f'measure.part: {", ".join(known[:_NAMED])}{" and more" * (len(known) > _NAMED)} of the part '
                    f'{photos.part} were trained on by {root}, or its made images come from them; train it anew with '
                    'these parts')
  for key in ('size', 'channels', 'region', 'box', 'fit'):
    if predictor.config.data[key] != data[key]:
      raise UserError(f'data.{key} = {data[key]}: {root} was trained with {predictor.config.data[key]}; set it so')


def _counts(photos, made_images, predictor):
  """{what photos are for: {class: count}}: of the tested ones, and of those that are trained on, now or before."""
  sets = {'real': photos.train, 'made': made_images, 'validation': photos.validation,
          'test': photos.train if photos.folds else photos.test}
  counts = {purpose: {name: int(np.sum(photos_of.labels == label)) for label, name in enumerate(photos.classes)}
            for purpose, photos_of in sets.items()}
  if not predictor:
    return counts
  before = predictor.workdir.read_summary()
  return before.get('counts', before['photos']) | {'test': counts['test']}  # a number there since version 0.2


def _print_opening(lines: Sequence[str], counts: Mapping[str, Mapping[str, int]], photos: splits.Splits, opened: bool
                   ) -> None:
  words = {'test': f'tested, of the part {photos.part}'} if len(photos.test) else {}
  if not opened:
    held_out = {'validation': 'held out'} if photos.part != ALL else {}
    words = {'real': 'real photos to train on', 'made': 'made ones'} | held_out | words
  print(*(f'note: {line}' for line in lines),
        *(f'{text}: {", ".join(f"{count} {label}" for label, count in counts[purpose].items())}'
          for purpose, text in words.items()),
        f'{parallel.devices()} {jax.default_backend()} device(s)', sep='\n', flush=True)


def _loss_of(logits, labels):
  """The loss on held-out photos, each class counting the same, and metrics."""
  loss = classification.log_loss(logits, labels, classification.balanced_weights(labels))
  figures = classification.figures(labels, special.softmax(logits, -1))
  return loss, {'eval/loss': loss, 'eval/balanced_accuracy': figures['balanced_accuracy']}


def _calibrated(predictor, logits, labels):
  """The predictor with the temperature of held-out photos, where these are enough."""
  if np.bincount(labels, minlength=len(predictor.classes)).min() < _CALIBRATING:
    return predictor
  return dataclasses.replace(predictor, temperature=classification.temperature(logits, labels))
