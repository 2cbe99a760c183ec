"""The page of a classifier: what it is worth, how its training went, what it gets wrong and where it looks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve

from defect_jax.data import parts, splits
from defect_jax.data.dataset import InMemory
from defect_jax.report import album, anomaly, explained, grids, heatmaps, page, plots, reasons
from defect_jax.report.answers import Answer
from defect_jax.report.verdict import number, percent
from defect_jax.trained import classifier as trained

Saliency = Callable[[Float[np.ndarray, 'n h w c']], Float[np.ndarray, 'n h w']]
_WRONG, _LOOKED_AT = 12, 6  # photos that it gets wrong, and others beside their saliency
_NOTHING = page.Section('', [])
_WIDE = 0.25  # interval of the balanced accuracy from which on it comes first
_MADE = 18  # made images on the page
_WORDS = {'balanced_accuracy': 'balanced accuracy', 'f1': 'F1 of the defects', 'auroc': 'AUROC', 'accuracy': 'accuracy'}


def write_evaluation(path: Path, *, title: str, config: str, summary: Mapping[str, Any], metrics: page.Metrics,
                     notes: Sequence[str], test: InMemory, probabilities: Float[np.ndarray, 'n k'], threshold: float,
                     made: Float[np.ndarray, 'm s s c'], saliency: Saliency, seed: int,
                     answers: Sequence[Answer] = (), mixed: page.Section = _NOTHING) -> None:
  """Writes the page of a run on photos of known classes: `test` are the tested ones, of which there may be none, and
  `made` images were trained on; defective photos beside their saliency are drawn by `seed`. answers: whether it can be
  used. mixed: see mixture.section."""
  classes, scores = summary['classes'], 1 - probabilities[:, 0]
  figures = [
      page.Section('Figures', [
          page.Table([[(words, 'strong' if name == 'balanced_accuracy' else ''), *anomaly.with_interval(
              summary[name], summary['ci'][name]), explained.of(name)] for name, words in _WORDS.items()],
                     ('Figure', 'Value', '95 %', 'What it says'))]),
      page.Section('Confusion', [
          page.Text('A row for each true class, a column for what it was taken for.'),
          page.Table([[name, *map(str, counts)] for name, counts in zip(classes, summary['confusion'], strict=True)],
                     ('True class', *classes))])] if len(test) else []
  rows, more = _Rows(test, probabilities, classes, saliency), ' of the classifier that stays' * bool(summary['folds'])
  defective = np.asarray(test.labels) > 0
  tested = [
      page.Section('What it gets wrong', [
          page.Text(f'The surest mistakes first, each beside its saliency{more}: bright where small changes would '
                    'change the verdict most.'),
          page.Pairs(rows.pairs(rows.wrong()[:_WRONG]), 'saliency')]),
      page.Section('Where it looks', [
          page.Text(f'Defective photos, not chosen, each beside its saliency{more}.'),
          page.Pairs(rows.pairs(np.random.default_rng(seed).permutation(np.flatnonzero(defective))[:_LOOKED_AT]),
                     'saliency')]),
      page.Section('All tested photos', [page.Text(anomaly.LIST), page.Verdicts(list(rows.called(threshold, path)))])
  ] if len(test) else []
  page.write(path, title, [
      mixed, *figures,
      page.Section('Training and trade-offs', [
          page.Figures([*_curves(metrics, summary), *_tradeoffs(defective, scores, summary)])]),
      page.Section('Made images', [
          page.Text(f'The first {min(_MADE, len(made))} of {len(made)} that were trained on beside the real photos, '
                    'not chosen.'),
          page.Tiles([page.picture(grids.grid([[image]])) for image in made[:_MADE]], 'made image {}')]),
      *tested, page.Section('Notes', [page.Lines(notes)])], config,
      verdict=_verdict(summary, test), answers=answers)


class _Rows:
  """The tested photos, as they are shown."""

  def __init__(self, test: InMemory, probabilities: Float[np.ndarray, 'n k'], classes: Sequence[str],
               saliency: Saliency):
    self._test, self._images, self._classes, self._saliency = test, test.images(), classes, saliency
    self._probabilities, self._labels = probabilities, np.asarray(test.labels)

  def wrong(self) -> np.ndarray:
    """Mistakes, the surest first."""
    rows = np.flatnonzero(self._probabilities.argmax(1) != self._labels)
    return rows[np.argsort(self._probabilities[rows, self._labels[rows]])]

  def pairs(self, rows: np.ndarray) -> list[page.Pair]:
    """Photos beside their saliency."""
    maps = self._saliency(self._images[rows]) if len(rows) else []
    return [page.Pair(f'{self._classes[self._labels[row]]}, taken for {self._taken_for(row)}: {self._test.files[row]}',
                      page.picture(heatmaps.outlined(self._images[row])), page.picture(
                          heatmaps.overlay(self._images[row], saliency, trained.scale_of(saliency))))
            for row, saliency in zip(rows, maps, strict=True)]

  def called(self, threshold: float, path: Path) -> Iterator[page.Called]:
    """Every photo, the highest score first; `threshold`: of the probability of being defective. path: of the page, in
    which the most telling ones are shown with their saliency."""
    scores = 1 - self._probabilities[:, 0]
    right = (scores > threshold) == (np.asarray(self._labels) > 0)
    inside = album.telling(scores, threshold, right.tolist())
    maps, pictures = dict(zip(inside, self._saliency(self._images[inside]), strict=True)), album.Album(path, inside)
    for row in map(int, np.argsort(-scores, kind='stable')):
      score, saliency = float(scores[row]), maps.get(row)
      why = f'{self._taken_for(row)}; {reasons.why(score, threshold, saliency)}'
      picture = pictures.source(row, heatmaps.outlined(self._images[row]) if saliency is None else
                                heatmaps.overlay(self._images[row], saliency, trained.scale_of(saliency)))
      yield reasons.called(self._test.files[row], score, score > threshold, why, sha256=self._test.sha256[row],
                           truth=self._classes[self._labels[row]], picture=picture)

  def _taken_for(self, row):
    return f'{self._classes[self._probabilities[row].argmax()]} ({self._probabilities[row].max():.2f})'


def _verdict(summary, test):
  counts = summary['counts']
  if summary['ci'] is None:
    yield ('Nothing is measured: all photos are trained on, and none were held out. data.split=kfold measures by '
           'cross-validation, and trains on all as well.')
  else:
    low, high = summary['ci']['balanced_accuracy']
    value, count = percent(summary['balanced_accuracy']), sum(map(sum, summary['confusion']))
    figure = f'{value} ({percent(low)} to {percent(high)}, 95 %) on {count} photos of the part {summary["part"]}'
    if high - low > _WIDE:
      figure = (f'between {percent(low)} and {percent(high)} (95 %; {value} on the {count} photos of the part '
                f'{summary["part"]})')
    yield f'Balanced accuracy {figure}; 50 % would be chance for two classes.'
    yield from (f'{line[0].upper()}{line[1:]}.' for line in splits.few_workpieces(test, summary['classes']))
  made = sum(counts['made'].values())
  yield ('Trained on ' + ' and '.join(f'{count} {name}' for name, count in counts['real'].items()) + ' photos'
         + (f', with {made} made images' if made else '') + _stopping(summary))
  if summary['folds']:
    yield from _of_folds(summary, made)
  if summary['ci'] is not None:
    calibrated = ('not calibrated, which takes more held-out photos' if summary['temperature'] == 1 else
                  f'calibrated by the temperature {number(summary["temperature"])}')
    yield (f'Probabilities are {calibrated}; on the tested photos they are {percent(summary["calibration_error"])} off '
           'on average.')


def _stopping(summary):
  if summary['part'] == parts.ALL:
    return ', which are all; none are held out.'
  return f'; early stopping looked at {sum(summary["counts"]["validation"].values())} more.'


def _of_folds(summary, made):
  """How the figures of cross-validation are had."""
  yield (f'The figures are by {summary["folds"]}-fold cross-validation: each photo was tested once, by a classifier '
         'that was trained without its fold, so without any photo of its group. The classifier that stays was trained '
         f'on all for {summary["best_step"]} steps, the median of the folds, and is not measured itself.')
  if made and summary['per_fold']:
    yield ('The figures are with made images, of sets that know nothing of the photos that are tested.')
  elif made:
    yield ('The figures are without made images, on which the classifier that stays was trained too, since their '
           'generator knows the tested photos; made.per_fold=True measures with them.')


def _curves(metrics, summary):
  """Loss and accuracy over the steps; none where an opened classifier was measured."""
  marks = [(summary['best_step'], 'kept')] if summary.get('best_step') else []
  for title, key, held_out, label in (('Loss', 'train/loss', 'eval/loss', 'cross entropy, nats'),
                                      ('Accuracy', 'train/accuracy', 'eval/balanced_accuracy', 'share')):
    if 'training' in (series := page.columns(metrics, {'training': key, 'held out': held_out})):
      yield page.figure(title, plots.lines(series, label=label, steps_total=series['training'][0][-1], marks=marks),
                        'Of training batches, as augmented, and of the held-out photos that early stopping looks at.')


def _tradeoffs(defective, scores, summary):
  if not len(defective) or defective.all() or not defective.any():
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
