"""Predicts a folder of photos: a row each in predictions.csv, heat maps, and a page with the highest scores."""

import csv
import dataclasses
import io
import os
import pathlib
import resource
import time
from concurrent import futures

import jax
import numpy as np

from defect_jax import parallel
from defect_jax.atomic import write_atomic
from defect_jax.config import UserError
from defect_jax.data import folder, parts, reading
from defect_jax.evaluation import detector
from defect_jax.imagesets import writer
from defect_jax.report import anomaly as report
from defect_jax.report import heatmaps
from defect_jax.tasks.anomaly import fitting, photos, scoring
from defect_jax.tasks.anomaly.progress import Progress

COLUMNS = ('file', 'score', 'threshold', 'verdict', 'reason', 'heatmap')
_SHOWN = 24  # photos on the page
_WRITERS = 2  # threads that draw and write heat maps
_WAITING = 64  # photos whose heat maps are on their way, at most


@dataclasses.dataclass(frozen=True)
class Ready:
  """What photos are scored with: detector.Detector, the config's scoring.Score, its threshold.Threshold.

  settings: of scoring.scored. scale: of heat maps. good: scores of the photos that the threshold comes from.
  """
  found: detector.Detector
  score: scoring.Score
  limit: object
  settings: dict
  scale: float
  good: list

  def scored(self, shown):
    return scoring.scored(self.found, shown, [self.score], self.settings)


def run(config, workdir):
  """Predicts all photos of `config.photos`; returns the summary. A photo that cannot be read becomes a row."""
  records = list_photos(config.photos)
  prepared = opened(config)
  if prepared is None:
    prepared = _prepare(config, workdir)
  else:
    workdir.open()
    print(f'data, tiles and score are those of {config.vae}', flush=True)
  began = time.monotonic()
  rows, done = predict(config, workdir, prepared, records)
  seconds = time.monotonic() - began
  write_atomic(workdir.predictions_csv, _text([COLUMNS, *(rows[record.file] for record in records)]))
  workdir.predictions_part.unlink(missing_ok=True)
  summary = _summary(prepared, rows, seconds, done) | {
      'seconds': workdir.seconds_spent() + fitting.training_seconds(workdir)}
  worst = sorted((row for row in rows.values() if row[1] != ''), key=lambda row: -float(row[1]))[:_SHOWN]
  by_file = {record.file: record for record in records}
  again = prepared.scored(_usable([by_file[row[0]] for row in worst], prepared.found.view, []))
  report.write_predictions(
      workdir.report_html, title=f'{workdir.root.name}: anomalies in {pathlib.Path(config.photos).name}', config=config,
      summary=summary, notes=[f'{row[0]}: {row[4]}' for row in rows.values() if row[3] == 'error'],
      scores=[float(row[1]) for row in rows.values() if row[1] != ''], good=prepared.good, scale=prepared.scale,
      worst=[(one.shown.record.file, one.scores[prepared.score.name], one.shown.image, one.maps[prepared.score.map])
             for one in again])
  print(f'{summary["photos"]} photos: {summary["ok"]} ok, {summary["ng"]} ng, {summary["skipped"]} skipped since they '
        f'could not be read; {summary["images_per_second"]:.0f} photos/s', flush=True)
  return summary


def list_photos(root):
  """parts.Record of every PNG, JPEG, BMP and TIFF below a folder, sorted; UserError where there are none."""
  if not root:
    raise UserError('photos: is not set; name the folder of the photos that are to be predicted')
  root = pathlib.Path(root)
  if not root.is_dir():
    raise UserError(f'photos: {root} is not a folder; name the folder of the photos that are to be predicted')
  found = sorted(path for path in root.rglob('*')
                 if path.suffix.lower() in folder.SUFFIXES and not path.name.startswith('.') and path.is_file())
  if not found:
    raise UserError(f'photos: {root} holds no photos (PNG, JPEG, BMP, TIFF)')
  files = [path.relative_to(root).as_posix() for path in found]
  return [parts.Record(file, '', file, path) for file, path in zip(files, found, strict=True)]


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
  """Scores photos and draws their heat maps, in an open workdir.

  Returns ({file: row as in COLUMNS, all texts}, how many photos this session did). Rows are kept as they come, so that
  a stopped job goes on.
  """
  rows = _read_part(workdir.predictions_part, prepared)
  pending = [record for record in records if record.file not in rows]
  progress = Progress(workdir, len(records), len(rows))
  broken, waiting = [], []
  with open(workdir.predictions_part, 'a', newline='') as part, futures.ThreadPoolExecutor(_WRITERS) as pool:
    def put(row):
      rows[row[0]] = row
      part.write(_text([row]))
      part.flush()
      progress()

    for one in prepared.scored(_usable(pending, prepared.found.view, broken)):
      waiting.append(pool.submit(_row, config, workdir, prepared, one))
      while broken:
        put(_error(prepared, broken.pop(0)))
      while len(waiting) >= _WAITING or (waiting and waiting[0].done()):
        put(waiting.pop(0).result())
    for future in waiting:
      put(future.result())
    for shown in broken:
      put(_error(prepared, shown))
  return rows, len(pending)


def _usable(records, view, broken):
  """Shown that can be used; the others are added to `broken`."""
  for shown in reading.read_all(records, view):
    if shown.reason:
      broken.append(shown)
    else:
      yield shown


def _row(config, workdir, prepared, one):
  """The row of a photo; draws and writes its heat map."""
  file, heatmap = one.shown.record.file, ''
  score = one.scores[prepared.score.name]
  if config.heatmaps:
    path = workdir.heatmaps / f'{file}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = heatmaps.overlay(one.shown.image, one.maps[prepared.score.map], prepared.scale)
    write_atomic(path, writer.encode_png(drawn), sync=False)
    heatmap = path.relative_to(workdir.root).as_posix()
  verdict = 'ng' if score > prepared.limit.value else 'ok'
  return (file, f'{score:.6g}', f'{prepared.limit.value:.6g}', verdict, '', heatmap)


def _error(prepared, shown):
  return (shown.record.file, '', f'{prepared.limit.value:.6g}', 'error', shown.reason, '')


def _read_part(path, prepared):
  """Rows of a session that was stopped; of the threshold as it is now, and without what it half wrote."""
  if not os.path.exists(path):
    return {}
  text = path.read_text()
  whole = text[:text.rfind('\n') + 1]
  rows = {row[0]: tuple(row) for row in csv.reader(io.StringIO(whole))
          if len(row) == len(COLUMNS) and row[2] == f'{prepared.limit.value:.6g}'}
  write_atomic(path, _text(rows.values()))
  return rows


def _text(rows):
  buffer = io.StringIO()
  csv.writer(buffer, lineterminator='\n').writerows(rows)
  return buffer.getvalue()


def _summary(prepared, rows, seconds, done):
  """The summary; figures that take labels are null."""
  verdicts = [row[3] for row in rows.values()]
  limit = prepared.limit
  return {**dict.fromkeys(('image_auroc', 'image_auroc_ci', 'image_aupr', 'image_f1_max', 'pixel_auroc', 'aupro')),
          'steps': len(rows), 'compile_seconds': None, 'images_per_second': done / max(seconds, 1e-9),
          'devices': parallel.devices(), 'platform': jax.default_backend(), 'score': prepared.score.name, 'scores': {},
          'threshold': limit.value, 'threshold_source': limit.source, 'false_alarm_rate': limit.false_alarm_rate,
          'false_alarm_ci': limit.false_alarm_ci, 'photos': len(rows), 'skipped': verdicts.count('error'),
          'ok': verdicts.count('ok'), 'ng': verdicts.count('ng'),
          'peak_memory_mb': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
