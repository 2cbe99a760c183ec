"""The page of an inpainting pipeline's training: its losses, what it makes, and how near that is to real defects."""

import collections
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from defect_jax.diffusion.places import Places
from defect_jax.report import grids, page, plots
from defect_jax.report.answers import Answer
from defect_jax.report.verdict import copies, number

_SHEET = 48  # places on the contact sheet
_ROW = 12
_FACTS = {'Loss': 'loss', 'Loss on held-out photos': 'dev_loss', 'KID before': 'kid_before', 'KID after': 'kid_after',
          'Made defects that show': 'visible', 'Real defects that show by that measure': 'visible_real',
          'KID of cut and paste': 'kid_cutpaste', 'KID of the training defects': 'kid_of_training',
          'Novelty': 'novelty', 'Memorised': 'memorised_fraction', 'Steps': 'steps', 'Seconds': 'seconds',
          'Images per second': 'images_per_second', 'Seconds to compile': 'compile_seconds'}


def write(path: Path, title: str, config: str, summary: Mapping[str, Any], metrics: page.Metrics,
          history: Mapping[str, Float[np.ndarray, 'n']], places: Places, made: Float[np.ndarray, 'n s s 3'],
          answers: Sequence[Answer] = ()) -> None:
  """Writes the page; metrics: lines of metrics.jsonl, history: with 'train/loss' of every step."""
  sheets = [(page.picture(sheet(places, made, first)), '') for first in range(0, min(len(made), _SHEET), _ROW)]
  page.write(path, title, [
      page.facts(collections.defaultdict(lambda: None, summary), _FACTS),
      page.Section('Contact sheet', [
          page.Text('Good areas with what is to be made anew in grey, above what was made of them, above the real '
                    'defect that the mask is of; the first ones, not chosen.'),
          page.Pictures(sheets, 'contact sheet {}', narrow=True)]),
      page.Section('Losses', [page.Figures(list(_losses(metrics, history)))])], config, verdict=verdict(summary),
             answers=answers)


def sheet(places: Places, made: Float[np.ndarray, 'n s s 3'], first: int) -> UInt8[np.ndarray, 'h w 3']:
  """A row of places: as the model sees them, above what it made of them, above the real defect."""
  rows = slice(first, first + _ROW)
  hidden = np.where(places.masks[rows, ..., None], 0.5, places.images[rows])
  return grids.grid([hidden, made[rows], places.donors[rows]])


def verdict(summary: Mapping[str, Any]) -> Iterator[str]:
  """Sentences on the losses and on realism."""
  if (last := summary['dev_loss']) is not None:
    yield f'The loss on held-out photos went from {number(summary["dev_loss_before"])} to {number(last)}.'
  after, before = summary['kid_after'], summary['kid_before']
  if after is None:
    yield 'Realism was not measured: it takes 100 held-out real defects.'
  else:
    yield (f'KID of the made defects {after:.2f} against {summary["measured_against"]}; {before:.2f} before training, '
           f'{summary["kid_cutpaste"]:.2f} by cut and paste, {summary["kid_of_training"]:.2f} of the real defects that '
           'were trained on.')
  yield from copies(summary, 'real defect', 'defects')


def _losses(metrics, history):
  steps, losses = page.column(metrics, 'eval/loss')
  drawn = plots.loss(history['train/loss'], name='mse', label='loss', target=None, log=True,
                     dots=(steps, losses, 'held-out photos') if len(steps) else None)
  names = sorted({key for row in metrics for key in row if key.startswith('train/loss_t')})
  yield page.figure('Loss', drawn, 'Error of what the UNet predicts, mostly within the masks. Should fall; dots far '
                    'above the line: the training photos are learnt by heart.')
  if series := page.columns(metrics, {name.removeprefix('train/loss_'): name for name in names}):
    drawn = plots.lines(series, label='loss', steps_total=len(history['train/loss']), log=True)
    yield page.figure('By timestep', drawn, 't0 is the quarter of the schedule with the least noise, t3 that with the '
                      'most.')
