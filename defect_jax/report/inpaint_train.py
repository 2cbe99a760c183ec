"""The page of an inpainting pipeline's training: its losses, what it makes, and how near that is to real defects."""

import numpy as np

from defect_jax.report import grids, page, plots
from defect_jax.report.page import figure, png
from defect_jax.report.verdict import copies, number

_SHEET = 48  # places on the contact sheet
_ROW = 12


def write(path, title, config, summary, rows, history, places, made):
  """Writes the page; it is whole or not there.

  Args:
    path: of the HTML file. title: text. config: ConfigDict. summary: of the task. rows: of metrics.jsonl.
    history: {'train/loss': `[steps]`}. places: with images, marks, labels. made: float32 `[N, S, S, 3]` in [0, 1].
  """
  page.write(
    path, 'inpaint_train.html', config, title=title, verdict=verdict(summary),
    facts=_facts(summary), losses=list(_losses(rows, history)),
    sheets=[png(sheet(places, made, first)) for first in range(0, min(len(made), _SHEET), _ROW)])


def sheet(places, made, first):
  """uint8 picture of a row of places: as the model sees them, above what it made of them, above the real defect."""
  rows = slice(first, first + _ROW)
  hidden = np.where(places.marks[rows, ..., None], 0.5, places.images[rows])
  return grids.grid([hidden, made[rows], places.donors[rows]])


def verdict(summary):
  """Sentences on the losses and on realism."""
  if summary['dev_loss'] is not None:
    first, last = summary['dev_loss_before'], summary['dev_loss']
    yield f'The loss on held-out photos went from {number(first)} to {number(last)}.'
  after, before = summary['kid_after'], summary['kid_before']
  if after is None:
    yield 'Realism was not measured: it takes 100 held-out real defects.'
  else:
    yield (f'KID of the made defects {after:.2f} against {summary["measured_against"]}; {before:.2f} before training, '
           f'{summary["kid_cutpaste"]:.2f} by cut and paste, {summary["kid_of_training"]:.2f} of the real defects that '
           'were trained on.')
  yield from copies(summary, 'real defect', 'defects')


def _losses(rows, history):
  measured = [(row['step'], row['eval/loss']) for row in rows if 'eval/loss' in row]
  dots = (*map(list, zip(*measured, strict=True)), 'held-out photos') if measured else None
  drawn = plots.loss(history['train/loss'], name='mse', label='loss', target=None, log=True, dots=dots)
  names = sorted({key for row in rows for key in row if key.startswith('train/loss_t')})
  series = {name.removeprefix('train/loss_'): tuple(map(np.array, zip(*(
      (row['step'], row[name]) for row in rows if name in row), strict=True))) for name in names}
  yield figure('Loss', drawn, 'Error of what the UNet predicts, mostly within the masks. Should fall; dots far above '
               'the line: the training photos are learnt by heart.')
  if series:
    yield figure('By timestep', plots.lines(series, label='loss', steps_total=len(history['train/loss']), log=True),
                 't0 is the quarter of the schedule with the least noise, t3 that with the most.')


def _facts(summary):
  names = [('Loss', 'loss'), ('Loss on held-out photos', 'dev_loss'), ('KID before', 'kid_before'),
           ('KID after', 'kid_after'), ('KID of cut and paste', 'kid_cutpaste'),
           ('KID of the training defects', 'kid_of_training'), ('Novelty', 'novelty'),
           ('Memorised', 'memorised_fraction'), ('Steps', 'steps'), ('Seconds', 'seconds'),
           ('Images a second', 'images_per_second'), ('Seconds to compile', 'compile_seconds')]
  return [(words, number(summary[name])) for words, name in names]
