"""predictions.csv: a row per photo, kept as it comes, so that a stopped job goes on."""

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

from defect_jax.runs.artefacts import Artefact
from defect_jax.runs.atomic import write_atomic
from defect_jax.runs.folder import Workdir

PREDICTIONS = Artefact('predictions.csv')
PART = Artefact('predictions.part.csv')  # rows so far
HEATMAPS = Artefact('heatmaps')
COLUMNS = ('file', 'score', 'threshold', 'verdict', 'reason', 'heatmap')
Row = Mapping[str, str]  # a text per column; those left out are empty


def row(file: str, score: float, threshold: float, **more: str) -> Row:
  """The row of a photo that was scored."""
  return {'file': file, 'score': _text(score), 'threshold': _text(threshold),
          'verdict': 'ng' if score > threshold else 'ok'} | more


def error_row(file: str, threshold: float, reason: str) -> Row:
  """The row of a photo that could not be read."""
  return {'file': file, 'threshold': _text(threshold), 'verdict': 'error', 'reason': reason}


def write(workdir: Workdir, rows: Iterable[Row], more: Sequence[str] = ()) -> None:
  """Writes predictions.csv; `more`: columns after COLUMNS."""
  columns = (*COLUMNS, *more)
  write_atomic(workdir.path(PREDICTIONS), _csv([columns, *(_cells(row, columns) for row in rows)]))


class Predictions:
  """The rows of a job on their way, by file; a context in which rows are added.

  The file so far has the model in its first line, and before each other row the photo's stamp. The rows of a session
  that was stopped are among `rows` if model, threshold and photo are the same, and the photo could be read.
  """

  def __init__(self, workdir: Workdir, photos: Mapping[str, Path], model: str, threshold: float,
               more: Sequence[str] = ()) -> None:
    """photos: by file. model: a text that says by what they are scored. more: columns after COLUMNS."""
    self._workdir, self._more, self._columns = workdir, more, (*COLUMNS, *more)
    # A photo that is gone since an earlier session is left out, another of the same name is scored anew.
    self._stamps = {file: _stamp(path) for file, path in photos.items()}
    self.rows = self._kept(model, _text(threshold))
    write_atomic(workdir.path(PART), _csv([(model,), *map(self._line, self.rows.values())]))

  def __enter__(self) -> Self:
    self._file = open(self._workdir.path(PART), 'a', newline='')
    return self

  def __exit__(self, *_: object) -> None:
    self._file.close()

  def add(self, row: Row) -> None:
    """Adds the row of a photo; it is in the file when this returns."""
    self.rows[row['file']] = row
    self._file.write(_csv([self._line(row)]))
    self._file.flush()

  def finish(self) -> None:
    """Writes predictions.csv, in the order of the photos, and drops what was kept for going on."""
    write(self._workdir, (self.rows[file] for file in self._stamps), self._more)
    self._workdir.path(PART).unlink(missing_ok=True)

  def _kept(self, model: str, threshold: str) -> dict[str, Row]:
    path = self._workdir.path(PART)
    text = path.read_text() if path.exists() else ''
    lines = list(csv.reader(io.StringIO(text[:text.rfind('\n') + 1])))  # without what was half written
    if lines[:1] != [[model]]:
      return {}
    rows = [(stamp, dict(zip(self._columns, cells, strict=True))) for stamp, *cells in lines[1:]
            if len(cells) == len(self._columns)]
    return {row['file']: row for stamp, row in rows
            if row['threshold'] == threshold and row['verdict'] != 'error' and stamp == self._stamps.get(row['file'])}

  def _line(self, row):
    return self._stamps[row['file']], *_cells(row, self._columns)


def _cells(row, columns):
  return [row.get(column, '') for column in columns]


def _text(number):
  return f'{number:.6g}'


def _csv(lines):
  buffer = io.StringIO()
  csv.writer(buffer, lineterminator='\n').writerows(lines)
  return buffer.getvalue()


def _stamp(path):
  """A text that changes with the file, without reading it; '' for one that is gone."""
  try:
    stat = os.stat(path)
  except OSError:
    return ''
  return f'{stat.st_size} {stat.st_mtime_ns}'
