"""The page of a VAE run: what came of it, its losses, images and settings, in one file that needs no network."""

import collections
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from defect_jax.evaluation.latent import BAND
from defect_jax.report import explained, grids, latent, page, plots
from defect_jax.report.answers import Answer
from defect_jax.report.verdict import DETAIL, HEART, RIPPLE, missed, number, percent

History = Mapping[str, Float[np.ndarray, 'steps']]
Images = Float[np.ndarray, 'n s s c']
# Bytes of images on the page before compression; of large photos fewer are shown.
_RECON_BYTES, _PRIOR_BYTES = 800_000, 300_000
_LEAST, _MOST_PRIOR = 3, 24
_SMALL = 64  # px
# Prefix of the metrics, title, label and style of the axis, caption.
_CONTROL = (
    ('gain/', 'Gains', 'gain', {'bounds': (-0.03, 1.08)}, 'How much of each stream’s update is applied. Towards the '
     'end gains should be small but not nailed to 0: they still correct.'),
    ('weight/', 'Loss weights', 'weight', {'log': True}, 'What each loss is multiplied by before its gradient is '
     'taken. Lines should level off; one that keeps climbing pulls at a target that cannot be reached.'),
    ('cosine/', 'Do KLD and MSE pull the same way?', 'cosine', {'bounds': (-1.05, 1.05)}, 'Angle between the two '
     'gradients on the encoder, whole (E1_E2) and by layer: -1 is a tug of war, 0 no conflict. Below 0 is normal once '
     'both targets press.'))
_GRADIENTS = (
    ('norm/', 'Gradient norms', 'norm', {'log': True}, 'Size of each stream’s gradient. Should stay within a few '
     'powers of ten; a jump upwards is an instability.'),
    ('update/', 'Update norms', 'norm', {'log': True}, 'How far each stream moves its parameters in a step. Should '
     'shrink as the targets are reached.'))


def write(path: Path, *, title: str, verdict: Sequence[str], summary: Mapping[str, Any], config: str,
          metrics: page.Metrics, history: History, targets: Mapping[str, float | None], photos: Images, recon: Images,
          prior: Images, nearest: Images, latents: latent.Latent, forecast: Iterable[str], log_n: float,
          answers: Sequence[Answer] = (),
          next_step: Answer | None = None, mixed: page.Section | None = None) -> None:
  """Writes the page.

  metrics: lines of metrics.jsonl. history: of every step 'train/<loss>', and 'target/<loss>' where it changed. targets:
  of kld and mse as the run ended. nearest: the training photo nearest to each sample of the prior. log_n: log of the
  number of training photos, in nats. mixed: see mixture.section.
  """
  fewer = min(len(photos), _count(photos, 3, _RECON_BYTES, grids.MOST))
  samples = _count(prior, 2, _PRIOR_BYTES, _MOST_PRIOR)
  page.write(path, title, [
      *filter(None, [mixed]), page.Section('Alarms', [page.Sentences(_alarms(metrics), 'missed')], 'alarms'),
      page.Section('', page.leading(_facts(summary), ('Key figure', 'Value', 'Asked for', '', 'What it says')),
                   'figures'),
      page.Section('Forecast before training', [
          page.Sentences([f'{sentence[0].upper()}{sentence[1:]}.' for sentence in forecast])], 'forecast'),
      page.Section('Losses', [page.Figures([*_losses(metrics, history, targets, summary, log_n)])], 'losses'),
      page.Section('Reconstructions', [
          page.Text('Each tile: photo, reconstruction, and what the reconstruction adds (bright) or lacks (dark); grey '
                    'is equal. The residuals should look like noise: a crack or a hole that can be seen in one is '
                    'missing in the reconstruction.'
                    + (f' The first {fewer} of {len(photos)} photos.' if fewer < len(photos) else '')),
          page.Tiles([page.png(grids.grid([[photo], [made], [grids.residual(photo, made)]]))
                      for photo, made in zip(photos[:fewer], recon[:fewer], strict=True)],
                     'photo {}, its reconstruction and residual')], 'reconstructions'),
      page.Section('Samples of the prior', [
          page.Text('Each tile: the decoding of random latents, and the training photo nearest to it. The first should '
                    'look like a new photo of the same kind; blurred or broken ones mean that the photos fill only '
                    'part of the prior, the more so the further the KLD is above log N.'),
          page.Tiles([page.png(grids.grid([pair])) for pair in list(zip(prior, nearest, strict=True))[:samples]],
                     'sample {} and the nearest training photo')], 'prior'),
      page.Section('Latent space', _latent_space(latents, metrics, history, log_n), 'latent'),
      page.Section('Control', [page.Figures([*_several(metrics, history, _CONTROL)])], 'control'),
      page.Section('Gradients', [page.Figures([*_several(metrics, history, _GRADIENTS)])], 'gradients')],
      config, verdict=verdict, about=_about(summary), answers=answers, next_step=next_step,
      measured='Were the targets met?',
      reached=summary.get('steps_to_targets') is not None and not summary.get('collapsed'))


def _latent_space(latents, metrics, history, log_n):
  dimensions, (first, *_, last) = ', '.join(map(str, latents.dimensions)), latents.offsets
  return [page.Figures([page.figure(*parts) for parts in latent.figures(latents, metrics, history, log_n)]),
          page.Text('Traversals', 'h3'),
          page.Text(f"The first photo's latents with one dimension at a time set to {first:g} to {last:g}: the "
                    f'dimensions of the largest KLD, one per row ({dimensions}). A row that does not change is a '
                    'dimension that the decoder ignores.'),
          page.Pictures([(page.png(grids.grid(_small(latents.traversals))), '')],
                        f'traversals of the dimensions {dimensions}', narrow=True)]


def _count(images, each, most_bytes, most):
  """How many of the images fit the page, each shown as `each` pictures."""
  return max(_LEAST, min(most, most_bytes // max(1, each * int(np.prod(np.shape(images)[1:])))))


def _small(images):
  """Images `[..., S, S, C]` of more than 64 px as means of squares of pixels, about 64 px: many fit the page."""
  side = images.shape[-2]
  factor = next(factor for factor in range(max(1, side // _SMALL), 0, -1) if side % factor == 0)
  split = (*images.shape[:-3], side // factor, factor, side // factor, factor, images.shape[-1])
  return images.reshape(split).mean((-4, -2))


def _facts(summary):
  """Rows of the table: what, value, what is asked for, whether it is met (empty where that cannot be said), and what it
  says. The three that matter most come first."""
  off, summary = missed(summary), collections.defaultdict(lambda: None, summary)
  kld, mse, variance = (summary[key] for key in ('kld_target', 'mse_target', 'variance'))
  latent_dim, active = summary['latent_dim'], summary['active_units']
  since, kept = summary['steps_to_targets'], summary['detail_kept']
  rows = [
    ('Fine detail kept', 'detail_kept', number(kept), f'≥ {DETAIL}', _met(None if kept is None else kept >= DETAIL)),
    ('MSE', 'mse', number(summary['mse']), f'≤ {number(mse if mse is None else mse * (1 + BAND))}',
     _met(None if mse is None else 'mse' not in off)),
    ('KLD, nats per image', 'kld', number(summary['kld']), f'{number(kld)} ±{percent(BAND)}',
     _met(None if kld is None else 'kld' not in off)),
    ('MSE / variance of the photos', 'variance', percent(summary['mse'] / variance) if variance else '–', '', ''),
    ('MSE on held-out photos', 'dev_mse', number(summary['dev_mse']), '', ''),
    ('MSE on held-out photos / on those trained on', 'known_ratio', number(summary['known_ratio']), f'≤ {HEART:g}',
     _met(None if summary['known_ratio'] is None else summary['known_ratio'] <= HEART)),
    ('Distance of new images', 'sample_distance', number(summary['sample_distance']), '', ''),
    ('At both targets from step', 'steps_to_targets', number(since), '',
     _met(None if None in (kld, mse) else since is not None)),
    *(_at_most(f'Ripple of {name.upper()} / target', f'{name}_ripple', summary[f'{name}_ripple'], most, str(most))
      for name, most in RIPPLE.items()),
    ('Active latent dimensions', 'active_units', f'{number(active)} of {number(latent_dim)}', '≥ half',
     _met(None if None in (active, latent_dim) else active >= latent_dim / 2)),
    ('Collapsed', 'collapsed', number(summary['collapsed']), 'no', _met(not summary['collapsed'])),
    *(_at_most(name.upper(), name, summary[name], most, number(most)) for name in _further(summary)
      for most in [summary[f'{name}_target'] * (1 + BAND)]),
    ('log N, nats', 'log_n', number(summary['log_n']), '', '')]
  return [(words, value, asked, met, explained.of(key)) for words, key, value, asked, met in rows]


def _further(summary):
  """Losses beside KLD and MSE that have a target."""
  return sorted({key.removesuffix('_target') for key in summary if key.endswith('_target')} - {'kld', 'mse'})


def _at_most(words, key, value, most, shown):
  return words, key, number(value), f'≤ {shown}', _met(None if value is None else value <= most)


def _met(met):
  return '' if met is None else ('✓ met', 'met') if met else ('✗ missed', 'missed')


def _about(summary):
  """One line on the run itself."""
  parts = {'steps': '{} steps', 'seconds': '{} s', 'compile_seconds': '{} s of them compiling', 'images_per_second':
           '{} images/s', 'devices': '{} device(s)', 'platform': '{}', 'version': 'defect_jax {}', 'config_hash':
           'config {:.12}'}
  return ' · '.join(words.format(number(summary[key])) for key, words in parts.items() if summary.get(key) is not None)


def _losses(metrics, history, targets, summary, log_n):
  marks, since = _requests(metrics), summary.get('steps_to_targets')
  goals = {name: None if target is None else np.broadcast_to(
      history.get(f'target/{name}', target), np.shape(history[f'train/{name}'])) for name, target in targets.items()}
  kld = plots.loss(history['train/kld'], name='kld', label='KLD, nats per image', level=(log_n, 'log N'),
                   target=goals['kld'], since=since, marks=marks)
  mse = plots.loss(history['train/mse'], name='mse', label='MSE', log=True, target=goals['mse'], since=since,
                   marks=marks, dots=(*page.column(metrics, 'eval/mse'), 'dev photos'))
  yield page.figure('KLD', kld, 'Should settle in the green band around its target, above log N: below, the code is '
                    'too small to tell the training photos apart. A spike of the first steps may leave the frame.')
  yield page.figure('MSE', mse, 'Should fall to the green band and stay; below it is fine too. Dots far above the '
                    'line: the training photos are learnt by heart.')
  for name in _further(summary):
    series = page.columns(metrics, {name.upper(): f'train/{name}', 'target': f'target/{name}'})
    drawn = plots.lines(series, label=name.upper(), steps_total=len(history['train/kld']), marks=marks, log=True)
    yield page.figure(name.upper(), drawn, 'Should fall to its target; below it is fine too.')
  if ratios := {name: history[f'train/{name}'] / goal for name, goal in goals.items() if goal is not None}:
    yield page.figure('How well the targets are held', plots.closeness(ratios, marks=marks), 'Close-up: each loss over '
                      'its target, as means of 50 steps. Should enter the band and stay; MSE may be below.')


def _alarms(metrics):
  """A sentence on each stretch of steps with an alarm, with its newest words."""
  stretches: list[list] = []
  for row in (row for row in metrics if 'latent/active_units' in row):
    words = row.get('alarm')
    if stretches and bool(stretches[-1][2]) == bool(words):
      stretches[-1][1:] = row['step'], words
    else:
      stretches.append([row['step'], row['step'], words])
  return [f'Steps {first} to {last}: posterior collapse: {words}.' for first, last, words in stretches if words]


def _several(metrics, history, wanted):
  """Figures of those prefixes that the metrics have; E1, E2, D and the rest in the order of their colours."""
  order = {name: place for place, name in enumerate(plots.COLOURS)}
  for prefix, title, label, style, caption in wanted:
    names = sorted({key.removeprefix(prefix) for row in metrics for key in row if key.startswith(prefix)},
                   key=lambda name: (order.get(name, len(order)), name))
    if series := page.columns(metrics, {name: prefix + name for name in names}):
      drawn = plots.lines(series, label=label, steps_total=len(history['train/kld']), marks=_requests(metrics), **style)
      yield page.figure(title, drawn, caption)


def _requests(metrics):
  """(step, words) of what a person asked for in the live run."""
  return [(row['step'], ', '.join([
      *(f'{name.upper()} {number(value)}' for name, value in (row['request'].get('targets') or {}).items()),
      *(word for word in ('pause', 'stop') if row['request'].get(word))]) or 'go on')
          for row in metrics if row.get('request')]
