"""Predicts a folder of photos: a row each in predictions.csv, heat maps, and a page with the highest scores."""

import dataclasses
import functools
import pathlib
import time

import numpy as np

from defect_jax.data import parts
from defect_jax.detectors import reconstruction
from defect_jax.report import anomaly as report
from defect_jax.report import heatmaps
from defect_jax.tasks import predictions
from defect_jax.tasks.anomaly import fitting, photos, scoring

_SHOWN = 24  # photos on the page


@dataclasses.dataclass(frozen=True)
class Ready:
  """What photos are scored with: detector.Detector, the config's scoring.Score, its threshold.Threshold.

  settings: of scoring.scored. scale: of heat maps. good: scores of the photos that the threshold comes from.
  """
  found: reconstruction.Detector
  score: scoring.Score
  limit: object
  settings: dict
  scale: float
  good: list

  def scored(self, shown):
    return scoring.scored(self.found, shown, [self.score], self.settings)

  def digest(self):
    """A text that tells detectors apart, by what they say of their good photos."""
    return parts.digest(' '.join(f'{score:.5g}' for score in self.good)).hex()


def run(config, workdir):
  """Predicts all photos of `config.photos`; returns the summary. A photo that cannot be read becomes a row."""
  records = predictions.list_photos(config.photos, workdir)
  prepared = opened(config)
  if prepared is None:
    prepared = _prepare(config, workdir)
  else:
    workdir.open()
    print(f'data, tiles and score are those of {config.vae}', flush=True)
  began = time.monotonic()
  rows, done = predict(config, workdir, prepared, records)
  seconds = time.monotonic() - began
  predictions.write(workdir, records, rows)
  summary = _summary(prepared, rows, seconds, done) | {
      'seconds': workdir.seconds_spent() + fitting.training_seconds(workdir)}
  worst = sorted((row for row in rows.values() if row[1] != ''), key=lambda row: -float(row[1]))[:_SHOWN]
  by_file = {record.file: record for record in records}
  again = prepared.scored(predictions.usable([by_file[row[0]] for row in worst], prepared.found.view, []))
  report.write_predictions(
      workdir.report_html, title=f'{workdir.root.name}: anomalies in {pathlib.Path(config.photos).name}', config=config,
      summary=summary, notes=[f'{row[0]}: {row[4]}' for row in rows.values() if row[3] == 'error'],
      scores=[float(row[1]) for row in rows.values() if row[1] != ''], good=prepared.good, scale=prepared.scale,
      worst=[(one.shown.record.file, one.scores[prepared.score.name], one.shown.image, one.maps[prepared.score.map])
             for one in again])
  print(f'{summary["photos"]} photos: {summary["ok"]} ok, {summary["ng"]} ng, {summary["skipped"]} skipped since they '
        f'could not be read; {summary["images_per_second"]:.0f} photos/s', flush=True)
  return summary


def opened(config):
  """Ready of the anomaly run that `config.vae` names; None where it names another run or none."""
  settings, kept = fitting.saved_detector(config)
  if kept is None:
    return None
  vae = fitting.open_vae(settings)
  return _ready(settings, vae, kept['good_scores'], {'vae': np.float32(kept['spread'])}, kept['scale'])


def _prepare(config, workdir):
  """Ready, with all that has to be trained and measured on good photos first; saved as the run's detector."""
  view, split, notes = photos.view_of(config), photos.split(config), []
  vae = fitting.open_vae(config)
  good = fitting.tiles_of(config, split.train, view, config.tiles.most, notes)
  held_out = fitting.tiles_of(config, split.calibrate, view, fitting.HELD_OUT, notes)
  workdir.open()
  vae = vae or fitting.train(config, workdir, good, held_out)
  found, score = fitting.fit(config, vae, view, good), scoring.chosen(config)
  shown = photos.usable(split.calibrate, view, config.data.max_broken, notes)
  scores, largest = [], []
  for one in scoring.scored(found, shown, [score], config.score):
    scores.append(one.scores[score.name])
    largest.append(one.maps[score.map].max())
  scale = float(np.median(largest))
  fitting.save(workdir, scores, found.spread['vae'], scale)
  return _ready(config, vae, scores, found.spread, scale)


def _ready(config, vae, good, spread, scale):
  found = fitting.assemble(config, vae, photos.view_of(config), spread)
  return Ready(found, scoring.chosen(config), fitting.limit(config, good), config.score, scale, good)


def predict(config, workdir, prepared, records):
  """Scores photos and draws their heat maps, in an open workdir; see predictions.predict."""
  return predictions.predict(workdir, records, prepared.found.view, prepared.scored, prepared.limit.value,
                             prepared.digest(), functools.partial(_row, config, workdir, prepared))


def _row(config, workdir, prepared, one):
  """The row of a photo; draws and writes its heat map."""
  file, heatmap = one.shown.record.file, ''
  score = one.scores[prepared.score.name]
  if config.heatmaps:
    drawn = heatmaps.overlay(one.shown.image, one.maps[prepared.score.map], prepared.scale)
    heatmap = predictions.write_heatmap(workdir, file, drawn)
  verdict = 'ng' if score > prepared.limit.value else 'ok'
  return (file, f'{score:.6g}', predictions.shown_limit(prepared.limit.value), verdict, '', heatmap)


def _summary(prepared, rows, seconds, done):
  """The summary; figures that take labels are null."""
  limit = prepared.limit
  return {**dict.fromkeys(('image_auroc', 'image_auroc_ci', 'image_aupr', 'image_f1_max', 'pixel_auroc', 'aupro')),
          **predictions.summary(rows, seconds, done), 'score': prepared.score.name, 'scores': {},
          'threshold': limit.value, 'threshold_source': limit.source, 'false_alarm_rate': limit.false_alarm_rate,
          'false_alarm_ci': limit.false_alarm_ci}
