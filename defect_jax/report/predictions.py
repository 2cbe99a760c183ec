"""The page of photos that were scored by a trained run: how their scores lie, the highest with heat maps, and a list of
all of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from defect_jax.data import parts
from defect_jax.report import anomaly, page, plots, reasons
from defect_jax.runs.predictions import Row
from defect_jax.trained.base import Prediction


def write(path: Path, *, title: str, config: str, summary: Mapping[str, Any], notes: Sequence[str],
          scores: Sequence[float], good: Sequence[float], worst: Sequence[Prediction],
          listed: Sequence[tuple[parts.Record, Row]]) -> None:
  """Writes the page; `good`: scores of the photos that the threshold comes from, `worst`: highest score first,
  `listed`: all photos in the order of the list."""
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
          _called(record, row, path.parent if place < anomaly.PICTURES else None)
          for place, (record, row) in enumerate(listed)])]),
      page.Section('Not read', [page.Lines(notes)])], config, verdict=[
          f'{summary["photos"]} photos: {summary["ok"]} ok, {summary["ng"]} above the threshold, {summary["skipped"]} '
          'that could not be read.', *anomaly.threshold_words(summary)])


def _called(record: parts.Record, row: Row, folder: Path | None) -> page.Called:
  """A photo in the list, with its heat map, if it has one, in the folder of the run; None: without."""
  if row['verdict'] == 'error':
    return page.Called(record.file, 'error', row['reason'])
  picture = ''
  if folder and row.get('heatmap'):
    with Image.open(folder / row['heatmap']) as heatmap:
      picture = page.thumbnail(np.asarray(heatmap.convert('RGB')))
  return reasons.called(record, float(row['score']), row['verdict'] == 'ng', row['reason'], picture=picture)
