"""What the augmentation study compares: arms of several seeds, paired by seed and photo, and the tables of it."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from defect_jax.config import UserError
from defect_jax.evaluation import classification, paired
from defect_jax.report import plots
from defect_jax.runs.atomic import write_atomic
from experiments import augmentation_cells as cells
from experiments import results

BASE = '+classic'
_WORDS = {'real': 'real photos, no augmentation', BASE: 'classic augmentation (the baseline)',
          '+cutpaste': 'and defects cut and pasted', '+vae_joint': 'and images of the conventional VAE',
          '+vae_split': 'and images of the VAE by E1, E2, D', '+inpaint': 'and inpainted photos',
          '+vae_split+inpaint': 'and half of each of the last two'}

Row = dict[str, Any]


class Asked(NamedTuple):
  """What is measured with all seeds; of arms without made images ratio is None, without a filter candidates."""
  photos: int
  arm: str
  ratio: float | None
  candidates: int | None


@dataclasses.dataclass(frozen=True)
class Measured:
  """An arm on a part: its photos, and the probabilities of good and defective by each seed."""
  files: list[str]
  groups: list[str]
  labels: Int[np.ndarray, ' n']
  probabilities: Float[np.ndarray, 'seeds n 2']

  def figures(self) -> dict[str, float]:
    """Mean figures over the seeds: both classes of what is good and what is not, also where the classifier knows
    several defects."""
    by_seed = [classification.figures(self.labels, of_seed) for of_seed in self.probabilities]
    return {key: float(np.mean([figures[key] for figures in by_seed])) for key in by_seed[0]}

  def against(self, other: 'Measured') -> dict[str, paired.Difference]:
    """Differences to another arm, see paired.differences."""
    check_same(self.files, other.files)
    return paired.differences(self.labels, self.probabilities, other.probabilities, groups=self.groups)


def measured(predictions: Sequence[cells.Rows], groups: Mapping[str, str]) -> Measured:
  """Measured of the predictions of all seeds; groups: {file: group}."""
  files = sorted(predictions[0])
  for rows in predictions:
    check_same(files, sorted(rows))
  check_same(files, [file for file in files if file in groups])  # a measured photo may be gone since
  labels, probabilities = zip(*map(cells.probabilities, predictions), strict=True)
  return Measured(files, [groups[file] for file in files], labels[0], np.array(probabilities))


def check_same(files: Sequence[str], others: Sequence[str]) -> None:
  """UserError where they differ."""
  if files != others:
    odd = sorted(set(files) ^ set(others))
    raise UserError(f'seeds and arms were measured on different photos, such as {odd[0]}; put the photos back as they '
                    'were, or start again with another --root')


def compare(name: str, by_asked: Mapping[Asked, Measured]) -> Iterator[Row]:
  """Rows of a set.

  An arm's differences are to `+classic` of as many real photos; those of `+classic` itself to that of the first number
  of photos: what real photos instead of made ones would give.
  """
  first = next(iter(by_asked)).photos
  for asked, ours in by_asked.items():
    row = {'set': name, **asked._asdict(), 'seeds': len(ours.probabilities), 'tested': len(ours.labels),
           'figures': ours.figures()}
    base = asked.photos if asked.arm != BASE else first if asked.photos != first else None
    if theirs := by_asked.get(Asked(base, BASE, None, None)):
      row['against'] = f'{BASE}, {base or "all"} photos'
      row['differences'] = {key: {'mean': difference.mean, 'interval': difference.interval,
                                  'by_seed': difference.by_seed, 'verdict': difference.verdict}
                            for key, difference in ours.against(theirs).items()}
    yield row


def table(rows: Sequence[Row]) -> results.Table:
  """Every row, with its difference in balanced accuracy."""
  columns = ['set', 'photos', 'ratio', 'arm', *classification.NAMES, 'balanced accuracy, points (95 %)', 'against',
             'verdict']
  return results.Table(columns, [[
      row['set'], str(row['photos'] or 'all'), '–' if row['ratio'] is None else f'{row["ratio"]:g}', _arm(row),
      *_figures(row), _points(row), row.get('against', '–'), _difference(row).get('verdict', '–')] for row in rows])


def published(rows: Sequence[Row]) -> results.Table:
  """The table of docs/results.md, of one set."""
  columns = ['trained on', 'accuracy', 'balanced accuracy', 'F1', 'AUROC',
             'against classic, points of balanced accuracy (95 %)']
  several = [key for key in ('photos', 'ratio', 'candidates') if len({row[key] for row in rows} - {None}) > 1]
  words = [', '.join([_WORDS[row['arm']], *(f'{key} {row[key]:g}' for key in several if row[key])]) for row in rows]
  return results.Table(columns, [[name, *_figures(row), _points(row)] for name, row in zip(words, rows, strict=True)])


def _figures(row):
  return [f'{row["figures"][key]:.3f}' for key in classification.NAMES]


def _difference(row):
  return row.get('differences', {}).get('balanced_accuracy', {})


def _points(row):
  if not (difference := _difference(row)):
    return '–'
  return '{:+.1f} ({:+.1f} to {:+.1f})'.format(*(100 * x for x in (difference['mean'], *difference['interval'])))


def _arm(row):
  return row['arm'] + (f', best of {row["candidates"]}' if row['candidates'] else '')


def draw(rows: Sequence[Row], path: Path) -> None:
  """A PNG of the differences of balanced accuracy."""
  shown = {}
  for row in rows:
    if difference := _difference(row):
      low, high = difference['interval']
      ratio = '' if row['ratio'] is None else f', ratio {row["ratio"]:g}'
      shown[f'{_arm(row)}, {row["photos"] or "all"} photos{ratio}'] = 100 * low, 100 * difference['mean'], 100 * high
  if shown:
    figure = plots.intervals(shown, label='points of balanced accuracy', level=(0, 'no difference'))
    write_atomic(path, plots.encoded(figure, 'png'))
