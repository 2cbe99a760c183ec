"""The page of a classifier: what it is worth, how its training went, what it gets wrong and where it looks."""

import numpy as np
from sklearn import metrics

from defect_jax.report import grids, heatmaps, page, plots
from defect_jax.report.page import figure, png
from defect_jax.report.verdict import number, percent

_MOST_NOTES = 50
_MADE = 18  # made images on the page
_BRIGHT = 0.99  # quantile of a saliency map that is shown at full strength
_WORDS = {'accuracy': 'accuracy', 'balanced_accuracy': 'balanced accuracy', 'f1': 'F1 of the defects', 'auroc': 'AUROC'}


def write_evaluation(path, *, title, config, summary, rows, notes, defective, scores, made, wrong, looked_at):
  """Writes the page of a run on photos of known classes; it is whole or not there.

  Args:
    path: of the HTML file. title: text. config: ConfigDict. summary: of the task. rows: of metrics.jsonl. notes: lines.
    defective: bool `[n]`, scores: `[n]` of the tested photos. made: `[m, S, S, C]` that were trained on.
    wrong, looked_at: tuples of words, image `[h, w, C]` and saliency map `[h, w]`.
  """
  page.write(
      path, 'classifier.html', config, title=title, verdict=list(_verdict(summary)),
      figures=[*_curves(rows, summary), *_tradeoffs(defective, scores, summary)], table=list(_table(summary)),
      classes=summary['classes'], confusion=list(_confusion(summary)),
      made=[png(grids.grid([[image]])) for image in made[:_MADE]], made_count=len(made), wrong=list(map(_pair, wrong)),
      looked_at=list(map(_pair, looked_at)), notes=notes[:_MOST_NOTES], more=max(0, len(notes) - _MOST_NOTES))


def write_predictions(path, *, title, config, summary, notes, scores, worst):
  """Writes the page of a run on a folder of photos; `scores`: `[n]`, the rest as of `write_evaluation`."""
  words = (f'{summary["photos"]} photos: {summary["ok"]} ok, {summary["ng"]} above the threshold '
           f'{number(summary["threshold"])}, {summary["skipped"]} that could not be read.')
  drawn = []
  if len(scores):
    drawn.append(figure('Probabilities', plots.histogram({'these photos': scores}, summary['threshold'],
                                                         label='probability of a defect')))
  page.write(path, 'classifier.html', config, title=title, verdict=[words], figures=drawn, table=[], classes=[],
             confusion=[], made=[], made_count=0, wrong=[], looked_at=list(map(_pair, worst)),
             notes=notes[:_MOST_NOTES], more=max(0, len(notes) - _MOST_NOTES))


def scale_of(saliency):
  """The value of a saliency map that is shown at full strength: each map has its own, only its places are compared."""
  return max(float(np.quantile(saliency, _BRIGHT)), 1e-12)


def _pair(item):
  words, image, saliency = item
  return words, png(heatmaps.outlined(image, np.zeros(image.shape[:2], bool))), \
      png(heatmaps.overlay(image, saliency, scale_of(saliency)))


def _verdict(summary):
  low, high = summary['ci']['balanced_accuracy']
  yield (f'Balanced accuracy {percent(summary["balanced_accuracy"])} ({percent(low)} to {percent(high)}, 95 %) on '
         f'{sum(map(sum, summary["confusion"]))} photos of the part {summary["part"]}; 50 % would be chance for two '
         'classes.')
  photos = summary['photos']
  yield ('Trained on ' + ' and '.join(f'{count} {name}' for name, count in photos['real'].items()) + ' photos'
         + (f', with {sum(photos["made"].values())} made images' if sum(photos['made'].values()) else '')
         + f'; early stopping looked at {sum(photos["validation"].values())} more.')
  if summary['temperature'] == 1:
    yield ('Probabilities are not calibrated, which takes more held-out photos; on the tested photos they are '
           f'{percent(summary["calibration_error"])} off on average.')
  else:
    yield (f'Probabilities are calibrated by the temperature {number(summary["temperature"])}; on the tested photos '
           f'they are {percent(summary["calibration_error"])} off on average.')


def _table(summary):
  for name, words in _WORDS.items():
    interval = summary['ci'][name]
    yield words, name == 'balanced_accuracy', ['–' if summary[name] is None else f'{summary[name]:.3f}',
                                               '–' if interval is None else '{:.3f} to {:.3f}'.format(*interval)]


def _confusion(summary):
  for name, counts in zip(summary['classes'], summary['confusion'], strict=True):
    yield name, False, list(map(str, counts))


def _curves(rows, summary):
  """Loss and accuracy over the steps; none where an opened classifier was measured."""
  trained = [row for row in rows if 'train/loss' in row]
  held = [row for row in rows if 'eval/loss' in row]
  if not trained:
    return
  marks = [(summary['best_step'], 'kept')] if summary.get('best_step') else []
  for title, key, label in (('Loss', 'loss', 'cross entropy, nats'), ('Accuracy', 'accuracy', 'share')):
    lines = {'training': ([row['step'] for row in trained], [row[f'train/{key}'] for row in trained])}
    of = 'eval/loss' if key == 'loss' else 'eval/balanced_accuracy'
    if held:
      lines['held out'] = [row['step'] for row in held], [row[of] for row in held]
    yield figure(title, plots.lines(lines, label=label, steps_total=trained[-1]['step'], marks=marks),
                 'Of training batches, as augmented, and of the held-out photos that early stopping looks at.')


def _tradeoffs(defective, scores, summary):
  if defective.all() or not defective.any():
    return
  fpr, tpr, _ = metrics.roc_curve(defective, scores)
  yield figure('ROC', plots.curve({f'AUROC {summary["auroc"]:.3f}': (fpr, tpr)}, across='share of good photos called '
                                  'defective', label='share of defects found', level=([0, 1], [0, 1], 'chance')))
  precision, recall, _ = metrics.precision_recall_curve(defective, scores)
  share = float(defective.mean())
  yield figure('Precision and recall', plots.curve(
      {f'average {metrics.average_precision_score(defective, scores):.3f}': (recall, precision)},
      across='recall: share of defects found', label='precision', level=([0, 1], [share, share], 'chance')))
