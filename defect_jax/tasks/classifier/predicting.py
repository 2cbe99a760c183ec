"""Predicts a folder of photos by a trained classifier: a row each in predictions.csv, heat maps, and a page."""

import dataclasses
import functools
import itertools
import pathlib
import time

import numpy as np

from defect_jax.data import samples
from defect_jax.evaluation import classification
from defect_jax.report import classifier as report
from defect_jax.report import heatmaps
from defect_jax.tasks import predictions
from defect_jax.trained import classifier as trained

MORE = ('class',)
_SHOWN = 24  # photos on the page
_AT_ONCE = 32  # photos


@dataclasses.dataclass(frozen=True)
class Seen:
  """A photo with its probabilities `[K]` and its saliency `[S, S]` or None; shown: reading.Shown."""
  shown: samples.Sample
  probabilities: np.ndarray
  saliency: np.ndarray | None

  @property
  def score(self):
    """Probability of being defective."""
    return 1 - float(self.probabilities[0])


def run(config, workdir):
  """Predicts all photos of `config.photos`; returns the summary. A photo that cannot be read becomes a row."""
  records = predictions.list_photos(config.photos, workdir)
  found = trained.open_classifier(config.classifier, prevalence=config.prevalence, mirrored=config.mirrored,
                                  threshold=config.threshold)
  view = found.tiling
  workdir.open()
  print(f'classes and geometry are those of {config.classifier}: {", ".join(found.classes)}', flush=True)
  for note in found.notes:
    print(f'note: {note}', flush=True)
  began = time.monotonic()
  rows, done = predictions.predict(
      workdir, records, view, lambda shown: seen(found, shown, config.heatmaps), config.threshold, found.digest,
      functools.partial(_row, config, workdir, found.classes), MORE)
  predictions.write(workdir, records, rows, MORE)
  summary = _summary(config, found, rows, time.monotonic() - began, done) | {'seconds': workdir.seconds_spent()}
  worst = sorted((row for row in rows.values() if row[1] != ''), key=lambda row: -float(row[1]))[:_SHOWN]
  by_file = {record.file: record for record in records}
  # One that was scored by a session before may be unreadable by now.
  again = seen(found, predictions.usable([by_file[row[0]] for row in worst], view, []), True)
  report.write_predictions(
      workdir.report_html, title=f'{workdir.root.name}: classes of {pathlib.Path(config.photos).name}', config=config,
      summary=summary, notes=[f'{row[0]}: {row[4]}' for row in rows.values() if row[3] == 'error'],
      scores=[float(row[1]) for row in rows.values() if row[1] != ''],
      worst=[(f'{one.score:.3f} {one.shown.record.file}', one.shown.image, one.saliency) for one in again])
  print(f'{summary["photos"]} photos: {summary["ok"]} ok, {summary["ng"]} ng, {summary["skipped"]} skipped since they '
        'could not be read', flush=True)
  return summary


def seen(found, shown, with_saliency):
  """Seen of every reading.Shown, in order, some at a time."""
  for lot in _lots(shown):
    images = np.stack([one.image for one in lot])
    saliency = found.saliency(images) if with_saliency else [None] * len(lot)
    for one, probabilities, of in zip(lot, found.probabilities(images, _AT_ONCE), saliency, strict=True):
      yield Seen(one, probabilities, of)


def _lots(iterable):
  iterator = iter(iterable)
  while lot := list(itertools.islice(iterator, _AT_ONCE)):
    yield lot


def _row(config, workdir, classes, one):
  """The row of a photo; draws and writes its heat map."""
  file, heatmap = one.shown.record.file, ''
  if config.heatmaps:
    drawn = heatmaps.overlay(one.shown.image, one.saliency, trained.scale_of(one.saliency))
    heatmap = predictions.write_heatmap(workdir, file, drawn)
  verdict = 'ng' if one.score > config.threshold else 'ok'
  return (file, f'{one.score:.6g}', predictions.shown_limit(config.threshold), verdict, '', heatmap,
          classes[int(one.probabilities.argmax())])


def _summary(config, found, rows, seconds, done):
  """The summary; figures that take labels are null."""
  return {**dict.fromkeys((*classification.NAMES, 'confusion', 'ci', 'part')),
          **predictions.summary(rows, seconds, done), 'classes': found.classes, 'threshold': config.threshold}
