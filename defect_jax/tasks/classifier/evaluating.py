"""Trains a classifier, or opens one, and measures it on photos of known classes."""

import time

import jax
import numpy as np

from defect_jax import parallel
from defect_jax.config import UserError, config_hash
from defect_jax.data import prepared
from defect_jax.evaluation import classification
from defect_jax.imagesets import manifest
from defect_jax.report import classifier as report
from defect_jax.runs import predictions
from defect_jax.runs.folder import Workdir
from defect_jax.tasks.classifier import learning
from defect_jax.tasks.classifier.material import open_material
from defect_jax.trained import classifier as trained
from defect_jax.training import fit

_NAMED = 3  # files that a refusal names
_WRONG = 12  # photos on the page that it gets wrong
_LOOKED_AT = 6  # photos whose saliency is on the page


def run(config, workdir):
  """Returns the summary; writes a row of every tested photo to predictions.csv."""
  opened = trained.open_classifier(config.classifier, prevalence=config.prevalence, mirrored=config.mirrored
                                   ) if config.classifier else None
  material = open_material(config)
  if opened:
    _check_opened(config, opened, material)
  else:
    fit.check_finished(workdir, learning.digest(material))
  photos = _photos(config, material)
  parallel.keep_compiled(prepared.cache_folder() / 'compiled')
  workdir.open()
  for line in _opening_lines(config, material, photos):
    print(line, flush=True)
  began = time.monotonic()
  if opened:
    found, speed = opened, {'steps': 0, 'compile_seconds': None, 'images_per_second': None}
    workdir.cut_back(-1)
  else:
    found, speed = learning.train(config, workdir, material)
  probabilities = found.probabilities(material.test.images())
  if opened:
    speed['images_per_second'] = len(material.test) / (time.monotonic() - began)
    workdir.append_metrics({'step': 0, 'seconds': time.monotonic() - began})
  _write_rows(config, workdir, material, probabilities)
  summary = speed | {
      'seconds': workdir.seconds_spent(),
      **classification.measure(material.test.labels, probabilities, config.seed, material.test.groups),
      'part': config.measure.part,
      'classes': material.classes, 'temperature': found.temperature,
      'calibration_error': classification.calibration_error(material.test.labels, probabilities, found.prior),
      'photos': photos, 'config_hash': config_hash(config, made_sets=[*map(manifest.digest, config.made.sets)]),
      'skipped': len(material.skipped),
      **parallel.machine()}
  _report(config, workdir, material, found, probabilities, summary)
  print(', '.join(f'{name} {summary[name]:.3f}' for name in classification.NAMES if summary[name] is not None),
        flush=True)
  return summary


def _check_opened(config, found, material):
  if found.classes != material.classes:
    raise UserError(f'classifier: {config.classifier} knows {", ".join(found.classes)}, these photos are '
                    f'{", ".join(material.classes)}; name the same classes in data.defects')
  known = [file for file, sha in zip(material.test.files, material.test.sha256, strict=True) if sha in found.seen]
  if known:
    raise UserError(f'measure.part: {", ".join(known[:_NAMED])}{" and more" * (len(known) > _NAMED)} of the part '
                    f'{config.measure.part} were trained on by {config.classifier}, or its made images come from them; '
                    'train it anew with these parts')
  for key in ('size', 'channels', 'region', 'box', 'fit'):
    if found.config.data[key] != config.data[key]:
      raise UserError(f'data.{key} = {config.data[key]}: {config.classifier} was trained with '
                      f'{found.config.data[key]}; set it so')


def _photos(config, material):
  """{lot: {class: photos}}: tested ones, and those that the classifier was or will be trained on; UserError."""
  found = {name: _counts(getattr(material, name), material.classes) for name in ('real', 'made', 'validation', 'test')}
  if config.classifier:
    trained = Workdir(config.classifier).read_summary()
    if trained is None:
      raise UserError(f'classifier: {config.classifier} has no summary.json; run it to its end first')
    found = trained['photos'] | {'test': found['test']}
  return found


def _opening_lines(config, material, photos):
  yield from (f'note: {line}' for line in material.lines)
  for name, words in (('real', 'real photos to train on'), ('made', 'made ones'), ('validation', 'held out'),
                      ('test', f'tested, of the part {config.measure.part}')):
    if not config.classifier or name == 'test':
      yield f'{words}: {", ".join(f"{count} {label}" for label, count in photos[name].items())}'
  yield f'{parallel.devices()} {jax.default_backend()} device(s)'


def _counts(lot, classes):
  return {name: int(np.sum(lot.labels == label)) for label, name in enumerate(classes)}


def _write_rows(config, workdir, material, probabilities):
  rows = [predictions.row(file, 1 - float(row[0]), config.threshold, **{'class': material.classes[int(row.argmax())],
                                                                        'truth': material.classes[label]})
          for file, label, row in zip(material.test.files, material.test.labels, probabilities, strict=True)]
  predictions.write(workdir, rows, ('class', 'truth'))


def _report(config, workdir, material, found, probabilities, summary):
  test = material.test
  scores, wrong = 1 - probabilities[:, 0], np.flatnonzero(probabilities.argmax(1) != test.labels)
  # The surest of the mistakes first.
  wrong = wrong[np.argsort(probabilities[wrong, test.labels[wrong]])][:_WRONG]
  rng = np.random.default_rng(config.seed)
  defective = rng.permutation(np.flatnonzero(test.labels > 0))[:_LOOKED_AT]
  shown = {'wrong': wrong, 'looked_at': defective}
  words = {row: f'{material.classes[test.labels[row]]}, taken for {material.classes[probabilities[row].argmax()]}'
                f' ({probabilities[row].max():.2f}): {test.files[row]}' for rows in shown.values() for row in rows}
  maps = {name: found.saliency(test.images()[rows]) if len(rows) else [] for name, rows in shown.items()}
  report.write_evaluation(
      workdir.report_html, title=f'{workdir.root.name}: classifier', config=config, summary=summary,
      metrics=workdir.read_metrics(), notes=material.lines, defective=test.labels > 0, scores=scores,
      made=material.made.images(), **{name: [(words[row], test.images()[row], of) for row, of in
                                           zip(rows, maps[name], strict=True)] for name, rows in shown.items()})
