"""Scores photos by anything that was trained: rows in predictions.csv, heat maps, and a page of the highest scores."""

import collections
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any

from ml_collections import ConfigDict

from defect_jax import parallel
from defect_jax.data import coverage, depth, parts, samples, seen, tiles
from defect_jax.data.sources import tree, words
from defect_jax.errors import UserError
from defect_jax.imagesets import writer
from defect_jax.report import heatmaps, reasons
from defect_jax.report import predictions as report
from defect_jax.report.answers import verdict_of
from defect_jax.runs import predictions
from defect_jax.runs.atomic import write_atomic
from defect_jax.runs.folder import Workdir
from defect_jax.runs.progress import ProgressBar, speed
from defect_jax.trained import base

_SHOWN = 24  # photos on the page
_LONGEST = 200  # bytes of a heat map's name; a file system takes 255, and a name beside it while it is written
_WRITERS = 2  # threads that draw and write heat maps
_WAITING = 64  # photos whose heat maps are on their way, at most


def run(config: ConfigDict, workdir: Workdir) -> dict[str, Any]:
  """Predicts by the run that the config names; returns the summary. Raises UserError, Stopped or DiskFull."""
  records = list_photos(config.photos, workdir)
  predictor = base.open(config.run, threshold=config.threshold.value, at_once=config.batch)
  if predictor.tiling and predictor.threshold is None:  # a run that scores no photos has no tiling, and says so
    raise UserError(f'threshold.value: is not set, and {config.run} has no threshold of its own; set the score above '
                    'which a photo is defective')
  workdir.open()
  return predict(workdir, predictor, records, config.heatmaps)


def predict(workdir: Workdir, predictor: base.Predictor, records: Sequence[parts.Record], with_heatmaps: bool
            ) -> dict[str, Any]:
  """Scores photos in an open workdir that has `photos` in its config; returns the summary."""
  known = seen.Seen.read(predictor.workdir)
  records, lines = as_trained(records, known)
  if cut := predictor.tiling:
    lines = [*lines, *coverage.lines(records, cut.geometry.fit, cut.geometry.region, cut.tiled)]
  for note in (*predictor.notes, *lines):
    print(f'note: {note}', flush=True)
  began, threshold = time.monotonic(), predictor.threshold
  assert threshold is not None  # see run
  table, count = score(workdir, predictor, records, threshold.value, with_heatmaps, known)
  seconds = time.monotonic() - began
  table.finish()
  rows = [table.rows[record.file] for record in records]
  verdicts = [row['verdict'] for row in rows]
  summary = {
      'steps': len(rows), 'seconds': workdir.seconds_spent(), 'compile_seconds': None,
      'images_per_second': count / max(seconds, 1e-9), 'photos': len(rows), 'skipped': verdicts.count('error'),
      'ok': verdicts.count('ok'), 'ng': verdicts.count('ng'),
      'trained_on': sum(row.get('trained_on') == '1' for row in rows) if known else None,
      'unlike': sum(bool(row.get('note')) for row in rows) if known else None, **threshold.figures(), **predictor.about,
      **parallel.machine()}
  answers = report.not_usable(predictor.workdir.root, predictor.workdir.read_summary(), predictor.config)
  summary |= verdict_of(answers)
  _report(workdir, predictor, records, rows, summary, answers)
  for answer in answers:
    print(f'note: {answer.sentence}', flush=True)
  for line in report.about_known(rows):
    print(f'note: {line}', flush=True)
  rate = f'; {speed(count / seconds, "photo")}' if count else ''
  print(f'{len(rows)} photos: {summary["ok"]} ok, {summary["ng"]} ng, {summary["skipped"]} skipped since they could '
        f'not be read{rate}', flush=True)
  return summary


def list_photos(root: str | None, workdir: Workdir) -> list[parts.Record]:
  """The photo `root`, or every photo below that folder, sorted; UserError where there are none.

  Left out are the run's own, and, with a line, masks: those beside photos and in folders of masks.
  """
  if not root:
    raise UserError('photos: is not set; name a folder of photos, or one photo')
  path = pathlib.Path(root)
  if path.is_file():
    return [parts.Record(path.name, '', path.name, path)]
  if not path.is_dir():
    raise UserError(f'photos: {root} is not a folder or photo; name a folder of photos, or one photo')
  own = workdir.root.resolve()
  every = {photo for photo in tree.photos_below(path) if own not in photo.resolve().parents}
  photos, _ = tree.without_masks(path, every & {*tree.photos_below(path, words.is_marks)})
  if masks := every - photos:
    print(f'note: {len(masks)} files are left out as masks of photos, such as {min(masks).relative_to(path)}',
          flush=True)
  found = sorted([*photos, *(path / problem.file for problem in tree.unread(path))])
  if not found:
    raise UserError(f'photos: {root} holds no photos ({tree.TYPES})')
  return [parts.Record(file := photo.relative_to(path).as_posix(), '', file, photo) for photo in found]


def as_trained(records: Sequence[parts.Record], known: seen.Seen | None) -> tuple[list[parts.Record], list[str]]:
  """The records with the bits that their camera uses, by the files or as of the photos trained on, and lines on it."""
  bits, line = depth.bits_of(records, None)
  if known and 8 < known.bits < 16 and bits < known.bits:  # dark photos look as if of fewer bits
    bits, line = known.bits, f'{known.bits} of the 16 bits of a value are used, as of the photos trained on'
  return parts.with_bits(records, bits), [line] if line else []


def score(workdir: Workdir, predictor: base.Predictor, records: Sequence[parts.Record], threshold: float,
          with_heatmaps: bool, known: seen.Seen | None = None) -> tuple[predictions.Predictions, int]:
  """The rows of photos, not finished yet, and how many this session scored. What cannot be read becomes a row too."""
  classes, files = bool(predictor.classes), {record.file for record in records}
  columns = ('class',) * classes + ('trained_on', 'note')

  def row_of(prediction):
    sample, more = prediction.sample, {'class': prediction.label} if classes else {}
    file = sample.record.file
    more['reason'] = reasons.why(prediction.score, threshold, prediction.anomaly_map)
    if known:
      more |= {'trained_on': str(int(sample.sha256 in known.sha256)), 'note': known.note(sample.traits)}
    if with_heatmaps:
      drawn = heatmaps.overlay(sample.image, prediction.anomaly_map, prediction.scale)
      more['heatmap'] = _write_heatmap(workdir, file, drawn, files)
    return predictions.row(file, prediction.score, threshold, **more)

  table = predictions.Predictions(workdir, {record.file: record.photo for record in records}, predictor.digest,
                                  threshold, columns)
  pending = [record for record in records if record.file not in table.rows]
  progress, waiting = ProgressBar(workdir, 'photo', len(table.rows)), collections.deque()

  def put(row):
    table.add(row)
    progress.count(len(records))

  def put_broken(sample):
    put(predictions.error_row(sample.record.file, threshold, sample.reason))

  with table, futures.ThreadPoolExecutor(_WRITERS) as pool:
    for prediction in predictor.predict(_usable(pending, predictor.tiling, put_broken), with_heatmaps):
      waiting.append(pool.submit(row_of, prediction))
      while len(waiting) >= _WAITING or (waiting and waiting[0].done()):
        put(waiting.popleft().result())
    for future in waiting:
      put(future.result())
  return table, len(pending)


def _usable(records: Sequence[parts.Record], tiling: tiles.Tiling, refuse: Callable[[samples.Sample], None]
            ) -> Iterator[samples.Sample]:
  """Samples that can be used; `refuse` is called with the others."""
  for sample in samples.read_all(records, tiling):
    if sample.reason:
      refuse(sample)
    else:
      yield sample


def _write_heatmap(workdir, file, drawn, files):
  """Writes the heat map of one of the photos `files`; returns its path relative to the workdir."""
  # That of a.png is a.png, unless it is that of a photo named a.
  named = file.endswith('.png') and file.removesuffix('.png') not in files
  path = workdir.path(predictions.HEATMAPS) / (file if named else f'{file}.png')
  if len(os.fsencode(path.name)) > _LONGEST:
    path = path.with_name(f'{parts.digest(file).hex()}.png')
  path.parent.mkdir(parents=True, exist_ok=True)
  write_atomic(path, writer.encode_png(drawn), sync=False)
  return path.relative_to(workdir.root).as_posix()


def _report(workdir, predictor, records, rows, summary, answers):
  scored = sorted((row for row in rows if row['verdict'] != 'error'), key=lambda row: -float(row['score']))
  broken = [row for row in rows if row['verdict'] == 'error']
  record_of = {record.file: record for record in records}
  # A photo that was scored by a session before may be unreadable by now.
  worst = [record_of[row['file']] for row in scored[:_SHOWN]]
  again = predictor.predict(_usable(worst, predictor.tiling, lambda _: None), True)
  title = f'{workdir.root.name}: {pathlib.Path(workdir.read_config().photos).name}'
  report.write(
      workdir.report_html, title=title, config=workdir.config_text, summary=summary,
      notes=[f'{row["file"]}: {row["reason"]}' for row in broken],
      listed=[(record_of[row['file']], row) for row in scored + broken],
      scores=[float(row['score']) for row in scored], good=predictor.good_scores, worst=list(again), answers=answers)
