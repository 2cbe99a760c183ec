"""The page of photos that were scored by a trained run: how their scores lie, and the highest with heat maps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from defect_jax.report import anomaly, page, plots
from defect_jax.trained.base import Prediction


def write(path: Path, *, title: str, config: Any, summary: Mapping[str, Any], notes: Sequence[str],
          scores: Sequence[float], good: Sequence[float], worst: Sequence[Prediction]) -> None:
  """Writes the page.

  Args:
    path: of the HTML file. config: ConfigDict. summary: of the task. notes: on photos that were skipped.
    scores: of the photos. good: scores of the photos that the threshold comes from. worst: highest score first.
  """
  groups = {'good, for the threshold': good, 'these photos': scores}
  histogram = plots.histogram({name: values for name, values in groups.items() if len(values)}, summary['threshold'],
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
