"""The page of an anomaly run: what scores and threshold are worth, and the highest scores with heat maps."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from defect_jax import detectors
from defect_jax.data import parts
from defect_jax.data.samples import Sample
from defect_jax.report import album, heatmaps, page, plots, reasons
from defect_jax.report.answers import Answer
from defect_jax.report.verdict import number, percent

_SHOWN = 24  # photos with the highest scores
LIST = ('The highest score first. Go through them, mark what was called wrongly, and save the list as CSV: file, '
        'sha256, verdict, right (1 or 0).')
_SIDE = 256  # px of pictures on the page, at most
_PASTED = {'blotch': 'pasted spot', 'cutpaste': 'pasted piece'}
_WHERE = {parts.ALL: 'on photos that their detector has not seen', parts.TEST: 'on the photos of test/'}
_LED = 3  # scores that the table begins with
_KINDS = {'vae': 'VAE: what it cannot rebuild', 'pca': 'PCA: what is no mixture of usual changes',
          'mean_image': 'difference from the mean image', 'neighbours': 'no such patch on a good photo'}
_COLUMNS = 'Score', 'What is unusual', 'Defects found', 'Good ones called defective', 'AUROC', '95 %'
_LEADING = ('In bold the score that judges, below it the highest. Found and called defective: at a '
            'threshold from the same good photos. AUROC: of a defective and a good photo, the chance that the '
            'defective one scores higher; 0.5 is chance, 1 is never wrong.')
_ALL = ('Sorted by AUROC. PCA, mean image and knn (nearest patches of good photos on frozen VGG16 features) need no '
        'VAE: where one of them is on top, a VAE is not the best choice for these photos. AUPR: mean precision over '
        'all thresholds. F1: at the threshold from good photos, of what is found and what is rightly called defective; '
        'its maximum is chosen on the very labels it is measured by, so it is optimistic. pixel AUROC and AUPRO: how '
        'well the map tells the pixels of a defect, and its whole area, from the rest, by masks.')
_FIGURES = ('image_aupr', 'f1', 'image_f1_max', 'pixel_auroc', 'aupro')


def write_evaluation(path: Path, *, title: str, config: str, summary: Mapping[str, Any], notes: Sequence[str],
                     labels: Sequence[str], scores: Sequence[float], good: Sequence[float], scale: float,
                     ranked: Sequence[tuple[Sample, float, Float[np.ndarray, 'h w']]],
                     answers: Sequence[Answer] = (), advised: Sequence[tuple[str, str, str]] = (),
                     earlier: Mapping[str, Mapping[str, Any]] | None = None,
                     mixed: page.Section | None = None) -> None:
  """Writes the page of a run on photos of known classes, or with pasted defects.

  labels, scores: of the tested photos. good: scores of the photos that the threshold comes from. scale: value of the
  map shown at full strength. ranked: (photo, score, anomaly map) of the tested photos, highest score first. answers:
  to whether it can be used. advised: see page.Commands. earlier: summaries of what was measured in the
  run before, by measure.part. mixed: see mixture.section.
  """
  tested, defective = np.array(scores), np.array(labels) != 'good'
  groups = {'good, for the threshold': good, 'good, tested': tested[~defective], 'defective': tested[defective]}
  pairs = [pair(f'{_label(sample.record.label, summary)}: {sample.record.file}', score, sample.image, anomaly_map,
                scale, summary, sample.mask) for sample, score, anomaly_map in ranked[:_SHOWN]]
  histogram = plots.histogram(groups, summary['threshold'], label=f'score ({summary["score"]})')
  page.write(path, title, [
      *filter(None, [mixed]), page.Section('How it was measured', [page.Sentences([
          *_measured(summary), *how(summary['folds'], summary['counts'], summary['part']),
          *threshold_words(summary), *_earlier(earlier or {})])]),
      page.Section('Scores and threshold', [page.Figures([page.figure(
          'Scores', histogram, 'Share of the photos of each kind. What lies right of the line is called defective. The '
          'less good and defective photos overlap, the better.')])]),
      page.Section('Ways to judge a photo', [
          page.Text(_LEADING), page.Table(list(_leading(summary)), _COLUMNS), page.Commands(advised),
          page.Folded(f'All {len(summary["scores"])} scores', [page.Text(_ALL), page.Table(list(_table(summary)), (
              'Score', 'AUROC', '95 %', 'AUPR', 'F1', 'F1 max (optimistic)', 'pixel AUROC', 'AUPRO'))])]),
      page.Section('By class, each against the good photos', [
          page.Table([[_label(label, summary), str(row['photos']), *(
              _three(row[key]) for key in ('image_auroc', 'pixel_auroc', 'aupro'))]
                      for label, row in summary['scores'][summary['score']]['by_class'].items()],
                     ('Class', 'Photos', 'AUROC', 'pixel AUROC', 'AUPRO'))]),
      page.Section('Highest scores', [
          page.Text('Each photo (a defect mask outlined in green) and its heat map: clear where nothing is unusual, '
                    'yellow where the map is at least as high as the highest place of a typical good photo (the median '
                    'of those that the threshold comes from).'),
          page.Pairs(pairs, 'heat map')]),
      page.Section('All tested photos', [page.Text(LIST), page.Verdicts(list(_called(path, ranked, scale, summary)))]),
      page.Section('Not read', [page.Lines(notes)])], config, answers=answers)


def _measured(summary):
  if is_pasted := summary['part'] == 'synthetic':
    yield ('Measured on pasted defects, not on real ones: spots, and pieces of other places, were pasted on good '
           'photos. Real defects may be found more or less often. Once there are photos of some, the same command with '
           '--config.measure.part=dev measures on these, without training anew.')
  if summary['image_auroc'] is None:
    if summary['found'] is None:
      yield 'Not measured: there are not both good and defective photos.'
    else:
      yield f'At the threshold {percent(summary["found"])} of the defective photos are found; no good ones were tested.'
    return
  low, high = summary['image_auroc_ci']
  where = 'with pasted defects' if is_pasted else _WHERE.get(summary['part'], f'on the part {summary["part"]}')
  yield (f'AUROC {summary["image_auroc"]:.3f} ({low:.3f} to {high:.3f}, 95 %) by {summary["score"]} {where}: of a '
         'defective and a good photo, the chance that the defective one scores higher.')
  alarms = (f'{percent(summary["false_alarms"])} of the good ones, from which it comes, called defective'
            if summary['folds'] and summary['part'] != parts.TEST else
            f'{percent(summary["false_alarms"])} of the good ones called defective')
  what = 'pasted defects' if is_pasted else 'defective photos'
  yield f'At the threshold {percent(summary["found"])} of the {what} are found and {alarms}; F1 {summary["f1"]:.2f}.'


def threshold_words(summary: Mapping[str, Any]) -> Iterator[str]:
  """What the threshold is and means."""
  words = f'Threshold {number(summary["threshold"])}: {summary["threshold_source"]}.'
  if summary['false_alarm_rate'] is not None:
    low, high = summary['false_alarm_ci']
    words += (f' Of good photos like those, {percent(summary["false_alarm_rate"])} are expected above it (95 % '
              f'interval {percent(low)} to {percent(high)}). No defective photo was used to find it; '
              '--config.threshold.value sets another.')
  yield words


def how(folds: int, counts: Mapping[str, int], part: str | None) -> Iterator[str]:
  """How the threshold and the figures are had: by so many `folds`, of how many photos that are trained on ('train'),
  give the threshold ('calibrate') and are tested ('test'), in the `part` if there is any."""
  if folds:
    yield (f'{counts["train"]} good photos trained on, all by the detector that stays; for the threshold each is '
           f'scored by one of {folds} others, trained without its group.')
  else:
    yield f'{counts["train"]} good photos trained on, {counts["calibrate"]} others for the threshold.'
  if part == 'synthetic':
    yield ('Tested are good photos, as they are and with a pasted defect'
           + (', each by a detector that was trained without its group.' if folds else '.'))
  elif part and folds and part != parts.TEST:
    yield f'{counts["test"]} photos tested, each by the detector that was trained without its group.'
  elif part:
    yield f'{counts["test"]} photos tested, of the part {part}.'


def _called(path, ranked, scale, summary):
  threshold, scores = summary['threshold'], np.array([score for _, score, _ in ranked])
  right = [(score > threshold) == (sample.record.label != parts.GOOD) for sample, score, _ in ranked]
  pictures = album.Album(path, album.telling(scores, threshold, right))
  for place, (sample, score, anomaly_map) in enumerate(ranked):
    picture = pictures.source(place, heatmaps.overlay(sample.image, anomaly_map, scale))
    why = reasons.why(score, threshold, anomaly_map)
    # A copy with a made defect has no digest, since there is no file of it.
    yield reasons.called(sample.record.file, score, score > threshold, why, sha256=sample.sha256,
                         truth=_label(sample.record.label, summary), picture=picture)


def _earlier(summaries):
  for part, summary in summaries.items():
    what = 'pasted defects' if part == 'synthetic' else 'defective photos'
    found = '' if summary['found'] is None else f' {percent(summary["found"])} of the {what} were found;'
    yield f'Before, measure.part={part} was measured:{found} see measured/{part}/report.html in the folder of the run.'


def _label(label, summary):
  """A class in words, of what was pasted too."""
  return _PASTED.get(label, label) if summary['part'] == 'synthetic' else label


def _sorted(summary):
  return sorted(summary['scores'].items(), key=lambda item: -(item[1]['image_auroc'] or 0))


def _leading(summary):
  """The row of the run's own score, the highest, and the highest of other detectors."""
  if summary['found'] is None:  # nothing but dashes
    return
  own, highest = summary['score'], {}
  for name, _ in _sorted(summary):
    highest.setdefault(_detector(name), name)
  others = [name for name in highest.values() if _detector(name) != _detector(own)]
  for name in [*dict.fromkeys((own, _sorted(summary)[0][0], *others))][:_LED]:
    row = summary['scores'][name]
    yield [(name, 'strong' if name == own else ''), _KINDS.get(_detector(name), _detector(name)), *(
        '–' if row.get(key) is None else percent(row[key]) for key in ('found', 'false_alarms')), *with_interval(
            row['image_auroc'], row['image_auroc_ci'])]


def _detector(score):
  return detectors.owner_of(detectors.score_of(score, detectors.REDUCTION)[0])


def _table(summary):
  if summary['found'] is None:
    return
  for name, row in _sorted(summary):
    yield [(name, 'strong' if name == summary['score'] else ''), *with_interval(
        row['image_auroc'], row['image_auroc_ci']), *(_three(row[key]) for key in _FIGURES)]


def with_interval(value: float | None, interval: tuple[float, float] | None) -> list[str]:
  """The cells of a figure and of its interval."""
  return [_three(value), '–' if interval is None else '{:.3f} to {:.3f}'.format(*interval)]


def _three(value):
  return '–' if value is None else f'{value:.3f}'


def pair(words: str, score: float, image: Float[np.ndarray, 'h w c'], anomaly_map: Float[np.ndarray, 'h w'],
         scale: float, summary: Mapping[str, Any], mask: Bool[np.ndarray, 'h w'] | None = None) -> page.Pair:
  """The photo, with its mask's outline, beside its heat map."""
  factor = -(-max(image.shape[:2]) // _SIDE)
  photo, heatmap = (page.picture(levels[::factor, ::factor])
                    for levels in (heatmaps.outlined(image, mask), heatmaps.overlay(image, anomaly_map, scale)))
  return page.Pair(words, photo, heatmap, number(score), score > summary['threshold'])
