"""The page of photos that were scored by a trained run: how their scores lie, and the highest with heat maps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from defect_jax.report import anomaly, page, plots
from defect_jax.trained.base import Prediction


def write(path: Path, *, title: str, config: str, summary: Mapping[str, Any], notes: Sequence[str],
          scores: Sequence[float], good: Sequence[float], worst: Sequence[Prediction]) -> None:
  """Writes the page; `good`: scores of the photos that the threshold comes from, `worst`: highest score first."""
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
      page.Section('Not read', [page.Lines(notes)])], config, verdict=[
          f'{summary["photos"]} photos: {summary["ok"]} ok, {summary["ng"]} above the threshold, {summary["skipped"]} '
          'that could not be read.', *anomaly.threshold_words(summary)])
