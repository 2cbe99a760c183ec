"""Scores a folder of photos: a row each in predictions.csv as they come, so that a stopped job goes on."""

import csv
import io
import os
import pathlib
from concurrent import futures

from defect_jax import parallel
from defect_jax.config import UserError
from defect_jax.data import parts, samples
from defect_jax.data.sources import folder
from defect_jax.imagesets import writer
from defect_jax.runs.atomic import write_atomic
from defect_jax.runs.predictions import HEATMAPS, PART, PREDICTIONS
from defect_jax.runs.progress import ProgressBar

COLUMNS = ('file', 'score', 'threshold', 'verdict', 'reason', 'heatmap')
_LONGEST = 200  # bytes of a heat map's name; a file system takes 255, and a name beside it while it is written
_WRITERS = 2  # threads that draw and write heat maps
_WAITING = 64  # photos whose heat maps are on their way, at most


def list_photos(root, workdir):
  """parts.Record of every PNG, JPEG, BMP and TIFF below a folder but the run's own, sorted; UserError where there are
  none."""
  if not root:
    raise UserError('photos: is not set; name the folder of the photos that are to be predicted')
  root = pathlib.Path(root)
  if not root.is_dir():
    raise UserError(f'photos: {root} is not a folder; name the folder of the photos that are to be predicted')
  own = workdir.root.resolve()
  found = sorted(path for path in folder.photos_below(root) if own not in path.resolve().parents)
  if not found:
    raise UserError(f'photos: {root} holds no photos (PNG, JPEG, BMP, TIFF)')
  files = [path.relative_to(root).as_posix() for path in found]
  return [parts.Record(file, '', file, path) for file, path in zip(files, found, strict=True)]


def predict(workdir, records, view, scored, limit, model, row_of, more=()):
  """Scores photos in an open workdir.

  Args:
    records: list of parts.Record. view: tiles.View. scored: function of an iterable of reading.Shown to one of objects
      with `shown`, in the same order. limit: threshold. model: a text that tells by what photos are scored. Rows of a
      session that was stopped are kept where both are the same. row_of: function of such an object to its row, texts as
      in COLUMNS and `more`, which also writes its heat map; called in threads. more: further columns.

  Returns ({file: row}, how many photos this session did). Photos that cannot be read have the verdict error.
  """
  columns = (*COLUMNS, *more)
  # A photo that is gone since an earlier session is not told of, another of the same name is scored anew.
  stamps = {record.file: _stamp(record.photo) for record in records}
  rows = _read_part(workdir.path(PART), model, limit, columns, stamps)
  pending = [record for record in records if record.file not in rows]
  progress = ProgressBar(workdir, 'photo', len(rows))
  broken, waiting = [], []
  with open(workdir.path(PART), 'a', newline='') as part, futures.ThreadPoolExecutor(_WRITERS) as pool:
    def put(row):
      rows[row[0]] = row
      part.write(text([(stamps[row[0]], *row)]))
      part.flush()
      progress.count(len(records))

    def put_broken(shown):
      put((shown.record.file, '', shown_limit(limit), 'error', shown.reason, '', *('' for _ in more)))

    for one in scored(usable(pending, view, broken)):
      waiting.append(pool.submit(row_of, one))
      while broken:
        put_broken(broken.pop(0))
      while len(waiting) >= _WAITING or (waiting and waiting[0].done()):
        put(waiting.pop(0).result())
    for future in waiting:
      put(future.result())
    for shown in broken:
      put_broken(shown)
  return rows, len(pending)


def write(workdir, records, rows, more=()):
  """Writes predictions.csv, rows in the order of the records; ends what was kept for going on."""
  write_atomic(workdir.path(PREDICTIONS), text([(*COLUMNS, *more), *(rows[record.file] for record in records)]))
  workdir.path(PART).unlink(missing_ok=True)


def write_heatmap(workdir, file, drawn):
  """Writes uint8 `[H, W, 3]` as the heat map of a photo; returns its path relative to the workdir."""
  path = workdir.path(HEATMAPS) / f'{file}.png'
  if len(os.fsencode(path.name)) > _LONGEST:
    path = path.with_name(f'{parts.digest(file).hex()}.png')
  path.parent.mkdir(parents=True, exist_ok=True)
  write_atomic(path, writer.encode_png(drawn), sync=False)
  return path.relative_to(workdir.root).as_posix()


def usable(records, view, broken):
  """Shown that can be used; the others are added to `broken`."""
  for shown in samples.read_all(records, view):
    if shown.reason:
      broken.append(shown)
    else:
      yield shown


def shown_limit(limit):
  return f'{limit:.6g}'


def summary(rows, seconds, done):
  """What every summary of predictions tells.

  Args: rows: {file: row}. seconds: that this session took for `done` photos.
  """
  verdicts = [row[3] for row in rows.values()]
  return {'steps': len(rows), 'compile_seconds': None, 'images_per_second': done / max(seconds, 1e-9),
          'photos': len(rows), 'skipped': verdicts.count('error'), 'ok': verdicts.count('ok'),
          'ng': verdicts.count('ng'), **parallel.machine()}


def text(rows):
  """CSV of rows."""
  buffer = io.StringIO()
  csv.writer(buffer, lineterminator='\n').writerows(rows)
  return buffer.getvalue()


def _stamp(path):
  """A text that is another once a file is another, without reading it; '' for one that is gone."""
  try:
    found = os.stat(path)
  except OSError:
    return ''
  return f'{found.st_size} {found.st_mtime_ns}'


def _read_part(path, model, limit, columns, stamps):
  """{file: row} of a session that was stopped; of model, threshold and photos as they are now, and without what it half
  wrote or could not read. The file has the model in its first row, and before each other row the photo's stamp."""
  kept = path.read_text() if os.path.exists(path) else ''
  found = list(csv.reader(io.StringIO(kept[:kept.rfind('\n') + 1])))
  rows = {file: (file, *others) for stamp, file, *others in found[1:]
          if len(others) == len(columns) - 1 and others[1] == shown_limit(limit) and others[2] != 'error'
          and stamp == stamps.get(file)} if found[:1] == [[model]] else {}
  write_atomic(path, text([(model,), *((stamps[file], *row) for file, row in rows.items())]))
  return rows
