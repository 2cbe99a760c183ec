"""Measures the scores of the VAE and of the baselines on photos of known classes."""

import collections
import dataclasses
import time

import numpy as np

from defect_jax import parallel
from defect_jax.config import UserError
from defect_jax.data import samples
from defect_jax.evaluation import anomaly, classification, synthetic
from defect_jax.report import anomaly as report
from defect_jax.runs.progress import ProgressBar
from defect_jax.tasks.anomaly import fitting, photos, scoring

_SHOWN = 24  # photos on the page, the highest scores


def run(config, workdir):
  """Trains or opens the VAE, finds the threshold, measures; returns the summary."""
  view, split, notes = photos.view_of(config), photos.split(config), []
  vae = fitting.open_vae(config)
  good = fitting.tiles_of(config, split.train, view, config.tiles.most, notes)
  held_out = fitting.tiles_of(config, split.calibrate, view, fitting.HELD_OUT, notes)
  _check_masks(split.test, view)
  workdir.open()
  workdir.cut_back(-1)
  vae = vae or fitting.train(config, workdir, good, held_out)
  print(f'{len(split.train)} good photos trained on, {len(split.calibrate)} for the threshold, {len(split.test)} '
        f'tested, of the part {config.measure.part}', flush=True)
  found = fitting.fit_baselines(config, fitting.fit(config, vae, view, good), good)
  scores = scoring.every(config)
  calibrate, test = _Results(), _Results()
  progress = ProgressBar(workdir, 'photo')
  total = len(split.calibrate) + len(split.test) * (1 + (config.measure.part == 'synthetic'))
  began, score = time.monotonic(), scoring.chosen(config)
  for result, records in ((calibrate, split.calibrate), (test, split.test)):
    shown = photos.usable(records, view, config.data.max_broken, notes)
    if result is test and config.measure.part == 'synthetic':
      shown = _with_synthetic(shown, config.seed)
    for one in scoring.scored(found, shown, scores, config.score):
      result.add(one, keep=result is test)
      progress.count(total)
  scored_in = time.monotonic() - began
  print('measuring', flush=True)
  notes = list(dict.fromkeys(notes))  # good photos of dev are read twice
  for note in notes:
    print(f'note: {note}', flush=True)
  limits = {name: fitting.limit(config, of) if name == score.name else fitting.by_quantile(config, of)
            for name, of in calibrate.scores.items()}
  table = {each.name: _row(each, test, limits[each.name], config.seed) for each in scores}
  scale = float(np.median(calibrate.largest[score.map]))
  fitting.save(workdir, calibrate.scores[score.name], found.spread['vae'], scale)
  summary = _summary(config, score, limits[score.name], table) | {
      'steps': progress.done, 'seconds': workdir.seconds_spent() + fitting.training_seconds(workdir),
      'compile_seconds': None,  # not told apart from scoring
      'images_per_second': progress.done / scored_in, 'skipped': len(notes),
      'photos': {'train': len(split.train), 'calibrate': len(split.calibrate), 'test': len(test.shown)},
      **parallel.machine()}
  worst = np.argsort(-np.array(test.scores[score.name]))[:_SHOWN]
  report.write_evaluation(
      workdir.report_html, title=f'{workdir.root.name}: anomalies', config=config, summary=summary, notes=notes,
      labels=test.labels, scores=test.scores[score.name], good=calibrate.scores[score.name], scale=scale,
      worst=[(test.shown[row].record.file, test.labels[row], test.scores[score.name][row], test.shown[row].image,
              test.maps[score.map][row], test.shown[row].mask) for row in worst])
  return summary


def _check_masks(records, view):
  """A mask of another size is refused before anything is trained."""
  for record in records:
    if record.annotation and (shown := samples.read(record, view)).reason and 'mask' in shown.reason:
      raise UserError(f'{record.file}: {shown.reason}; put the right mask there or remove it')


def _with_synthetic(shown, seed):
  """Every good photo, and the same with a made defect and its mask."""
  for number, one in enumerate(shown):
    yield one
    image, mask, kind = synthetic.paste(one.image, np.random.default_rng((seed, number)))
    yield samples.Sample(dataclasses.replace(one.record, label=kind), image, mask)


class _Results:
  """Photos (`shown`) with their labels, scores {name: [n]}, largest value of each map, and maps where kept; `pixels`
  holds figures that are computed already."""

  def __init__(self):
    self.shown, self.labels, self.pixels = [], [], {}
    self.scores, self.largest, self.maps = (collections.defaultdict(list) for _ in range(3))

  def add(self, one, keep):
    self.shown.append(one.shown)
    self.labels.append(one.shown.record.label)
    for name, value in one.scores.items():
      self.scores[name].append(value)
    for name, of in one.maps.items():
      self.largest[name].append(of.max())
      if keep:
        self.maps[name].append(of)


def _row(score, test, limit, seed):
  """Figures of one score: of all photos, and by class."""
  labels, scores = np.array(test.labels), np.array(test.scores[score.name])
  defective = labels != 'good'
  row = anomaly.of_images(defective, scores, seed) | anomaly.at_threshold(defective, scores, limit.value)
  row |= {'threshold': limit.value, **_pixels(score, test, range(len(labels))), 'by_class': {}}
  for label in sorted(set(labels) - {'good'}):
    rows = np.flatnonzero(~defective | (labels == label))
    row['by_class'][label] = {'photos': int(np.sum(labels == label)),
                              'image_auroc': classification.auroc(defective[rows], scores[rows]),
                              **_pixels(score, test, rows)}
  return row


def _pixels(score, test, rows):
  """Figures of the pixels of good photos and of defective ones that have a mask."""
  rows = [row for row in rows if test.labels[row] == 'good' or test.shown[row].mask.any()]
  if not score.of_pixels:
    return {'pixel_auroc': None, 'aupro': None}
  key = score.map, tuple(rows)
  if key not in test.pixels:  # the same for every reduction of a map
    test.pixels[key] = anomaly.of_pixels([test.shown[row].mask for row in rows],
                                         [test.maps[score.map][row] for row in rows])
  return test.pixels[key]


def _summary(config, score, limit, table):
  """The summary's keys of anomaly."""
  chosen = table[score.name]
  return {**{key: value for key, value in chosen.items() if key not in ('threshold', 'f1_max_threshold')},
          'score': score.name, 'threshold': limit.value, 'threshold_source': limit.source,
          'false_alarm_rate': limit.false_alarm_rate, 'false_alarm_ci': limit.false_alarm_ci,
          'part': config.measure.part, 'scores': table}
