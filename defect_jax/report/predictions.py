"""The page of photos that were scored by a trained run: how their scores lie, the highest with heat maps, and a list of
all of them."""

import collections
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from defect_jax.data import parts
from defect_jax.data.photos import PhotoError
from defect_jax.report import advice, album, anomaly, page, plots, reasons
from defect_jax.report.answers import Answer, Facts
from defect_jax.runs.predictions import Row
from defect_jax.schema import flatten
from defect_jax.trained.base import Prediction


def not_usable(run: str | Path, summary: Mapping[str, Any] | None, config: ConfigDict) -> list[Answer]:
  """Why photos should not be judged by a run whose own summary says that it cannot be used; [] for any other."""
  if not summary or summary.get('usable') is not False:
    return []
  said, _ = advice.of(summary['task'], Facts(summary, flatten(config), lambda _: ''))
  why = ' '.join(answer.sentence for answer in said if answer.state is False)
  return [Answer('run_not_usable', False, f'{run}, which judges these photos, cannot be used as it is. {why}')]


def about_known(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
  """Sentences on the photos of rows of predictions.csv that were trained on, and on those that are unlike them."""
  trained, others = (collections.Counter(row['verdict'] for row in rows if (row.get('trained_on') == '1') == known)
                     for known in (True, False))
  if trained:
    yield (f'{trained.total()} of the photos were trained on ({trained["ok"]} ok, {trained["ng"]} ng); of how others '
           f'are judged they say nothing. Of the {others["ok"] + others["ng"]} others {others["ok"]} are ok and '
           f'{others["ng"]} ng.')
  if unlike := [row for row in rows if row.get('note')]:
    yield (f'{len(unlike)} of the photos are unlike those trained on, so take their scores with care, such as '
           f'{unlike[0]["file"]}: {unlike[0]["note"]}.')


def write(path: Path, *, title: str, config: str, summary: Mapping[str, Any], notes: Sequence[str],
          scores: Sequence[float], good: Sequence[float], worst: Sequence[Prediction],
          listed: Sequence[tuple[parts.Record, Row]], answers: Sequence[Answer] = ()) -> None:
  """Writes the page; `good`: scores of the photos that the threshold comes from, `worst`: highest score first,
  `listed`: all photos in the order of the list, `answers`: see not_usable."""
  rows, inside = [row for _, row in listed], {*album.telling(np.array(scores), summary['threshold'])}
  histogram = plots.histogram({'good, for the threshold': good, 'these photos': scores}, summary['threshold'],
                              label=f'score ({summary["score"]})' if 'score' in summary else 'probability of a defect')
  pairs = [anomaly.pair(prediction.sample.record.file, prediction.score, prediction.sample.image,
                        prediction.anomaly_map, prediction.scale, summary) for prediction in worst]
  page.write(path, title, [
      page.Section('Scores and threshold', [page.Figures([page.figure(
          'Scores', histogram, 'What lies right of the line is called defective.')] if len(scores) else [])]),
      page.Section('Highest scores', [
          page.Text('Each photo and its heat map: clear where nothing is unusual, yellow where the score comes from.'),
          page.Pairs(pairs, 'heat map')]),
      page.Section('All photos', [page.Text(anomaly.LIST), page.Verdicts([
          _called(record, row, path.parent, place in inside) for place, (record, row) in enumerate(listed)])]),
      page.Section('Unlike those trained on', [page.Lines([
          f'{row["file"]}: {row["note"]}' for row in rows if row.get('note')])]),
      page.Section('Not read', [page.Lines(notes)])], config, verdict=[
          f'{summary["photos"]} photos: {summary["ok"]} ok, {summary["ng"]} above the threshold, {summary["skipped"]} '
          'that could not be read.', *about_known(rows), *anomaly.threshold_words(summary)],
             answers=answers)


def _called(record: parts.Record, row: Row, folder: Path, inside: bool) -> page.Called:
  """A photo in the list, with its heat map, if it has one, in the folder of the run; inside: in the page itself."""
  if row['verdict'] == 'error':
    return page.Called(record.file, 'error', row['reason'])
  picture = row.get('heatmap') or ''
  if picture and inside:
    with Image.open(folder / picture) as heatmap:
      picture = page.thumbnail(np.asarray(heatmap.convert('RGB')))
  reason = '; '.join(filter(None, (row['reason'], row.get('note'))))
  sha256 = ''
  with contextlib.suppress(PhotoError):  # a photo that was there when it was scored may be gone
    sha256 = record.sha256()
  return reasons.called(record.file, float(row['score']), row['verdict'] == 'ng', reason, sha256=sha256,
                        picture=picture)
