"""The page of a classifier: what it is worth, how its training went, what it gets wrong and where it looks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve

from defect_jax.report import anomaly, grids, heatmaps, page, plots
from defect_jax.report.verdict import number, percent
from defect_jax.trained import classifier as trained

Looked = tuple[str, Float[np.ndarray, 'h w c'], Float[np.ndarray, 'h w']]  # words, image, saliency map
_MADE = 18  # made images on the page
_WORDS = {'accuracy': 'accuracy', 'balanced_accuracy': 'balanced accuracy', 'f1': 'F1 of the defects', 'auroc': 'AUROC'}


def write_evaluation(path: Path, *, title: str, config: str, summary: Mapping[str, Any], metrics: page.Metrics,
                     notes: Sequence[str], defective: Bool[np.ndarray, 'n'], scores: Float[np.ndarray, 'n'],
                     made: Float[np.ndarray, 'm s s c'], wrong: Sequence[Looked], looked_at: Sequence[Looked]) -> None:
  """Writes the page of a run on photos of known classes: `defective` and `scores` are of the tested ones, `made` images
  were trained on."""
  classes = summary['classes']
  page.write(path, title, [
      page.Section('Figures', [
          page.Text("Balanced accuracy is the mean of the classes' own accuracies, so that many good photos cannot "
                    'hide missed defects.'),
          page.Table([[(words, 'strong' if name == 'balanced_accuracy' else ''), *anomaly.with_interval(
              summary[name], summary['ci'][name])] for name, words in _WORDS.items()], ('Figure', 'Value', '95 %'))]),
      page.Section('Confusion', [
          page.Text('A row for each true class, a column for what it was taken for.'),
          page.Table([[name, *map(str, counts)] for name, counts in zip(classes, summary['confusion'], strict=True)],
                     ('True class', *classes))]),
      page.Section('Training and trade-offs', [
          page.Figures([*_curves(metrics, summary), *_tradeoffs(defective, scores, summary)])]),
      page.Section('Made images', [
          page.Text(f'The first {min(_MADE, len(made))} of {len(made)} that were trained on beside the real photos, '
                    'not chosen.'),
          page.Tiles([page.png(grids.grid([[image]])) for image in made[:_MADE]], 'made image {}')]),
      page.Section('What it gets wrong', [
          page.Text('The surest mistakes first, each beside its saliency: bright where small changes would change the '
                    'verdict most.'),
          page.Pairs(list(map(_pair, wrong)), 'saliency')]),
      page.Section('Where it looks', [
          page.Text('Defective photos, not chosen, each beside its saliency.'),
          page.Pairs(list(map(_pair, looked_at)), 'saliency')]),
      page.Section('Notes', [page.Lines(notes)])], config, verdict=_verdict(summary))


def _pair(looked):
  words, image, saliency = looked
  return page.Pair(words, page.png(heatmaps.outlined(image)),
                   page.png(heatmaps.overlay(image, saliency, trained.scale_of(saliency))))


def _verdict(summary):
  low, high = summary['ci']['balanced_accuracy']
  yield (f'Balanced accuracy {percent(summary["balanced_accuracy"])} ({percent(low)} to {percent(high)}, 95 %) on '
         f'{sum(map(sum, summary["confusion"]))} photos of the part {summary["part"]}; 50 % would be chance for two '
         'classes.')
  photos = summary['photos']
  yield ('Trained on ' + ' and '.join(f'{count} {name}' for name, count in photos['real'].items()) + ' photos'
         + (f', with {sum(photos["made"].values())} made images' if sum(photos['made'].values()) else '')
         + f'; early stopping looked at {sum(photos["validation"].values())} more.')
  calibrated = ('not calibrated, which takes more held-out photos' if summary['temperature'] == 1 else
                f'calibrated by the temperature {number(summary["temperature"])}')
  yield (f'Probabilities are {calibrated}; on the tested photos they are {percent(summary["calibration_error"])} off '
         'on average.')


def _curves(metrics, summary):
  """Loss and accuracy over the steps; none where an opened classifier was measured."""
  marks = [(summary['best_step'], 'kept')] if summary.get('best_step') else []
  for title, key, held_out, label in (('Loss', 'train/loss', 'eval/loss', 'cross entropy, nats'),
                                      ('Accuracy', 'train/accuracy', 'eval/balanced_accuracy', 'share')):
    if 'training' in (series := page.columns(metrics, {'training': key, 'held out': held_out})):
      yield page.figure(title, plots.lines(series, label=label, steps_total=series['training'][0][-1], marks=marks),
                        'Of training batches, as augmented, and of the held-out photos that early stopping looks at.')


def _tradeoffs(defective, scores, summary):
  if defective.all() or not defective.any():
    return
  fpr, tpr, _ = roc_curve(defective, scores)
  yield page.figure('ROC', plots.curve({f'AUROC {summary["auroc"]:.3f}': (fpr, tpr)}, across='share of good photos '
                                       'called defective', label='share of defects found',
                                       level=([0, 1], [0, 1], 'chance')))
  precision, recall, _ = precision_recall_curve(defective, scores)
  share = float(defective.mean())
  yield page.figure('Precision and recall', plots.curve(
      {f'average {average_precision_score(defective, scores):.3f}': (recall, precision)},
      across='recall: share of defects found', label='precision', level=([0, 1], [share, share], 'chance')))
