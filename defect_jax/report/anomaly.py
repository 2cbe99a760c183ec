"""The page of an anomaly run: what scores and threshold are worth, and the highest scores with heat maps."""

import numpy as np

from defect_jax.report import heatmaps, page, plots
from defect_jax.report.page import figure, png
from defect_jax.report.verdict import number, percent

_SIDE = 256  # px of pictures on the page, at most
_MOST_NOTES = 50


def write_evaluation(path, *, title, config, summary, notes, labels, scores, good, scale, worst):
  """Writes the page of a run on photos of known classes; it is whole or not there.

  Args:
    path: of the HTML file. title: text. config: ConfigDict. summary: of the task. notes: on photos that were skipped.
    labels, scores: `[n]` of the tested photos. good: scores of the photos that the threshold comes from.
    scale: value of the map shown at full strength.
    worst: tuples of file, label, score, image `[h, w, C]`, anomaly map `[h, w]` and mask `[h, w]`, highest score first.
  """
  groups = {'good, for the threshold': good}
  for words, defective in (('good, tested', False), ('defective', True)):
    groups[words] = [score for score, label in zip(scores, labels, strict=True) if (label != 'good') == defective]
  shown = [(f'{label}: {file}', score, *_pictures(image, of, scale, mask))
           for file, label, score, image, of, mask in worst]
  _write(path, title, config, summary, notes, shown, groups, verdict=[*_measured(summary), *_threshold(summary)],
         table=list(_table(summary)), classes=list(_classes(summary)))


def write_predictions(path, *, title, config, summary, notes, scores, good, scale, worst):
  """Writes the page of a run on a folder of photos; arguments as of `write_evaluation`, `worst` without labels and
  masks."""
  words = (f'{summary["photos"]} photos: {summary["ok"]} ok, {summary["ng"]} above the threshold, '
           f'{summary["skipped"]} that could not be read.')
  shown = [(file, score, *_pictures(image, of, scale)) for file, score, image, of in worst]
  _write(path, title, config, summary, notes, shown, {'good, for the threshold': good, 'these photos': scores},
         verdict=[words, *_threshold(summary)], table=[], classes=[])


def _write(path, title, config, summary, notes, shown, groups, **parts):
  histogram = plots.histogram({name: of for name, of in groups.items() if len(of)}, summary['threshold'],
                              label=f'score ({summary["score"]})')
  page.write(
      path, 'anomaly.html', config, title=title, shown=[(words, number(score), score > summary['threshold'], *pictures)
                          for words, score, *pictures in shown],
      histogram=figure('Scores', histogram, 'Share of the photos of each kind. What lies right of the line is called '
                       'defective. The less good and defective photos overlap, the better.'),
      notes=notes[:_MOST_NOTES], more=max(0, len(notes) - _MOST_NOTES), **parts)


def _measured(summary):
  if summary['image_auroc'] is None:
    yield 'Not measured: there are not both good and defective photos.'
    return
  low, high = summary['image_auroc_ci']
  yield (f'AUROC {summary["image_auroc"]:.3f} ({low:.3f} to {high:.3f}, 95 %) by {summary["score"]} on the part '
         f'{summary["part"]}: of a defective and a good photo, the chance that the defective one scores higher.')
  if summary['found'] is not None:
    yield (f'At the threshold {percent(summary["found"])} of the defective photos are found and '
           f'{percent(summary["false_alarms"])} of the good ones called defective; F1 {summary["f1"]:.2f}.')
  best = max((name for name in summary['scores']), key=lambda name: summary['scores'][name]['image_auroc'] or 0)
  if best != summary['score']:
    yield f'The highest AUROC of the table is that of {best}, {summary["scores"][best]["image_auroc"]:.3f}.'


def _threshold(summary):
  """What the threshold is and means."""
  words = f'Threshold {number(summary["threshold"])}: {summary["threshold_source"]}.'
  if summary['false_alarm_rate'] is not None:
    low, high = summary['false_alarm_ci']
    words += (f' Of good photos like those, {percent(summary["false_alarm_rate"])} are expected above it (95 % '
              f'interval {percent(low)} to {percent(high)}). No defective photo was used to find it; '
              '--config.threshold.value sets another.')
  yield words


def _table(summary):
  """Rows: name, whether it is the chosen one, figures."""
  rows = sorted(summary['scores'].items(), key=lambda item: -(item[1]['image_auroc'] or 0))
  for name, row in rows:
    interval = '–' if row['image_auroc_ci'] is None else '{:.3f} to {:.3f}'.format(*row['image_auroc_ci'])
    yield name, name == summary['score'], [
        *(_three(row['image_auroc']), interval), *(_three(row[key]) for key in (
            'image_aupr', 'f1', 'image_f1_max', 'pixel_auroc', 'aupro'))]


def _classes(summary):
  for label, row in summary['scores'][summary['score']]['by_class'].items():
    yield label, False, [str(row['photos']), *(_three(row[key]) for key in ('image_auroc', 'pixel_auroc', 'aupro'))]


def _three(value):
  return '–' if value is None else f'{value:.3f}'


def _pictures(image, anomaly_map, scale, mask=None):
  """Sources of the photo, with its mask's outline, and of its heat map."""
  factor = -(-max(image.shape[:2]) // _SIDE)
  photo = heatmaps.outlined(image, np.zeros(image.shape[:2], bool) if mask is None else mask)
  return [png(levels[::factor, ::factor]) for levels in (photo, heatmaps.overlay(image, anomaly_map, scale))]
