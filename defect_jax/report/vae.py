"""The page of a VAE run: what came of it, its losses, images and settings, in one file that needs no network."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from defect_jax.evaluation.latent import BAND
from defect_jax.report import grids, page, plots
from defect_jax.report.latent import Latent
from defect_jax.report.latent import figures as figures_of_latent
from defect_jax.report.verdict import DETAIL, RIPPLE, missed, number, percent

History = Mapping[str, Float[np.ndarray, 'steps']]
Images = Float[np.ndarray, 'n s s c']
# Bytes of images on the page before compression; of large photos fewer are shown.
_RECON_BYTES, _PRIOR_BYTES = 800_000, 300_000
_LEAST, _MOST_PRIOR = 3, 24
_SMALL = 64  # px


def write(path: Path, *, title: str, verdict: Sequence[str], summary: Mapping[str, Any], config: Any,
          metrics: Sequence[Mapping[str, Any]], history: History, targets: Mapping[str, float | None], photos: Images,
          recon: Images, prior: Images, nearest: Images, latent: Latent, forecast: Iterable[str], log_n: float) -> None:
  """Writes the page.

  Args:
    path: of the HTML file. title: text. verdict: see `verdict.verdict`. summary: of the task. config: ConfigDict or
      dict. metrics: lines of metrics.jsonl.
    history: of every step: 'train/kld', 'train/mse', and 'target/kld', 'target/mse' where they changed.
    targets: of kld and mse as the run ended. photos, recon: photos and their reconstructions.
    prior, nearest: samples, and the training photo nearest to each. forecast: what the targets ask for.
    log_n: log of the number of training photos, in nats.
  """
  fewer = min(len(photos), _count(photos, 3, _RECON_BYTES, grids.MOST))
  samples = _count(prior, 2, _PRIOR_BYTES, _MOST_PRIOR)
  page.write(path, title, [
      page.Section('Alarms', [page.Sentences(_alarms(metrics), 'missed')], 'alarms'),
      page.Section('', [page.Table(_facts(summary), ('Key figure', 'Value', 'Asked for', ''), wide=False)], 'figures'),
      page.Section('Forecast before training', [
          page.Sentences([f'{sentence[0].upper()}{sentence[1:]}.' for sentence in forecast])], 'forecast'),
      page.Section('Losses', [page.Figures(_losses(metrics, history, targets, summary, log_n))], 'losses'),
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
      page.Section('Latent space', _latent_space(latent, metrics, history, log_n), 'latent'),
      page.Section('Control', [page.Figures(_control(metrics, history))], 'control'),
      page.Section('Gradients', [page.Figures(_gradients(metrics, history))], 'gradients')],
      config, verdict=verdict, about=_about(summary),
      reached=summary.get('steps_to_targets') is not None and not summary.get('collapsed'))


def _latent_space(latent, metrics, history, log_n):
  dimensions = ', '.join(map(str, latent.dimensions))
  return [page.Figures([page.figure(*parts) for parts in figures_of_latent(latent, metrics, history, log_n)]),
          page.Text('Traversals', 'h3'),
          page.Text(f"The first photo's latents with one dimension at a time set to {latent.offsets[0]:g} to "
                    f'{latent.offsets[-1]:g}: the dimensions of the largest KLD, one per row ({dimensions}). A row '
                    'that does not change is a dimension that the decoder ignores.'),
          page.Pictures([(page.png(grids.grid(_small(latent.traversals))), '')],
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
  """Rows of the table: what, value, what is asked for, whether it is met, empty where that cannot be said."""
  off = missed(summary)
  kld, mse = summary.get('kld_target'), summary.get('mse_target')
  latent, active = summary.get('latent_dim'), summary.get('active_units')
  since, kept = summary.get('steps_to_targets'), summary.get('detail_kept')
  variance = summary.get('variance')
  share = percent(summary['mse'] / variance) if variance else '–'
  return [
    ('KLD, nats per image', number(summary.get('kld')), f'{number(kld)} ±{percent(BAND)}',
     _met(None if kld is None else 'kld' not in off)),
    ('MSE', number(summary.get('mse')), f'≤ {number(mse if mse is None else mse * (1 + BAND))}',
     _met(None if mse is None else 'mse' not in off)),
    ('MSE / variance of the photos', share, '', ''),
    *((f'Ripple of {name.upper()} / target', number(summary.get(f'{name}_ripple')), f'≤ {most}',
       _at_most(summary.get(f'{name}_ripple'), most)) for name, most in RIPPLE.items()),
    ('At both targets from step', number(since), '', _met(None if None in (kld, mse) else since is not None)),
    ('Active latent dimensions', f'{number(active)} of {number(latent)}', '≥ half',
     _met(None if None in (active, latent) else active >= latent / 2)),
    ('Collapsed', number(summary.get('collapsed')), 'no', _met(not summary.get('collapsed'))),
    ('Fine detail kept', number(kept), f'≥ {DETAIL}', _met(None if kept is None else kept >= DETAIL)),
    ('MSE on dev photos', number(summary.get('dev_mse')), '', ''),
    *(_further_fact(summary, name) for name in _further(summary)),
    ('log N, nats', number(summary.get('log_n')), '', ''),
  ]


def _further(summary):
  """Losses beside KLD and MSE that have a target."""
  with_target = {key.removesuffix('_target') for key in summary if key.endswith('_target')}
  return sorted(with_target - {'kld', 'mse'})


def _further_fact(summary, name):
  most = summary[f'{name}_target'] * (1 + BAND)
  return name.upper(), number(summary[name]), f'≤ {number(most)}', _at_most(summary[name], most)


def _at_most(value, most):
  return _met(None if value is None else value <= most)


def _met(met):
  return '' if met is None else ('✓ met', 'met') if met else ('✗ missed', 'missed')


def _about(summary):
  """One line on the run itself."""
  parts = [('steps', ' steps'), ('seconds', ' s'), ('compile_seconds', ' s of them compiling'),
           ('images_per_second', ' images/s'), ('devices', ' device(s)')]
  words = [number(summary[key]) + unit for key, unit in parts if summary.get(key) is not None]
  words += [str(summary['platform'])] if summary.get('platform') else []
  words += [f'defect_jax {summary["version"]}'] if summary.get('version') else []
  words += [f'config {summary["config_hash"][:12]}'] if summary.get('config_hash') else []
  return ' · '.join(words)


def _losses(metrics, history, targets, summary, log_n):
  marks, since = _requests(metrics), summary.get('steps_to_targets')
  goals = {name: _target(history, name, targets) for name in ('kld', 'mse')}
  kld = plots.loss(history['train/kld'], name='kld', label='KLD, nats per image', level=(log_n, 'log N'),
                   target=goals['kld'], since=since, marks=marks)
  mse = plots.loss(history['train/mse'], name='mse', label='MSE', log=True, target=goals['mse'], since=since,
                   marks=marks, dots=(*page.column(metrics, 'eval/mse'), 'dev photos'))
  figures = [
    page.figure('KLD', kld, 'Should settle in the green band around its target, above log N: below, the code is too '
                'small to tell the training photos apart. A spike of the first steps may leave the frame.'),
    page.figure('MSE', mse, 'Should fall to the green band and stay; below it is fine too. Dots far above the line: '
                'the training photos are learnt by heart.'),
  ]
  for name in _further(summary):
    series = {'P': page.column(metrics, f'train/{name}'), 'target': page.column(metrics, f'target/{name}')}
    figures.append(page.figure(name.upper(), plots.lines(
      series, label=name.upper(), steps_total=len(history['train/kld']), marks=marks, log=True),
      'Should fall to its target; below it is fine too.'))
  ratios = {name: history[f'train/{name}'] / goal for name, goal in goals.items() if goal is not None}
  if ratios:
    figures.append(page.figure('How well the targets are held', plots.closeness(ratios, marks=marks), 'Close-up: each '
                               'loss over its target, as means of 50 steps. Should enter the band and stay; MSE may be '
                               'below.'))
  return figures


def _control(metrics, history):
  steps = len(history['train/kld'])
  return _several(metrics, steps, [
    ('gain/', 'Gains', 'gain', {'bounds': (-0.03, 1.08)}, 'How much of each stream’s update is applied. Towards '
     'the end gains should be small but not nailed to 0: they still correct.'),
    ('weight/', 'Loss weights', 'weight', {'log': True}, 'What each loss is multiplied by before its gradient is '
     'taken. Lines should level off; one that keeps climbing pulls at a target that cannot be reached.'),
    ('cosine/', 'Do KLD and MSE pull the same way?', 'cosine', {'bounds': (-1.05, 1.05)}, 'Angle between the two '
     'gradients on the encoder, whole (E1_E2) and by layer: -1 is a tug of war, 0 no conflict. Below 0 is normal once '
     'both targets press.'),
  ])


def _gradients(metrics, history):
  return _several(metrics, len(history['train/kld']), [
    ('norm/', 'Gradient norms', 'norm', {'log': True}, 'Size of each stream’s gradient. Should stay within a few '
     'powers of ten; a jump upwards is an instability.'),
    ('update/', 'Update norms', 'norm', {'log': True}, 'How far each stream moves its parameters in a step. Should '
     'shrink as the targets are reached.'),
  ])


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


def _several(metrics, steps, wanted):
  """Figures of those prefixes that the metrics have."""
  figures = []
  for prefix, title, label, style, caption in wanted:
    names = sorted({key for row in metrics for key in row if key.startswith(prefix)}, key=_by_colour)
    series = {name.removeprefix(prefix): page.column(metrics, name) for name in names}
    series = {name: column for name, column in series.items() if len(column[0])}
    if series:
      drawn = plots.lines(series, label=label, steps_total=steps, marks=_requests(metrics), **style)
      figures.append(page.figure(title, drawn, caption))
  return figures


def _by_colour(name):
  """E1, E2, D and the rest in the order of the colours, whatever the order in the metrics."""
  short, known = name.partition('/')[2], list(plots.COLOURS)
  return (known.index(short) if short in known else len(known), short)


def _target(history, name, targets):
  """A target at every step; None without one."""
  if targets.get(name) is None:
    return None
  return np.broadcast_to(history.get(f'target/{name}', targets[name]), np.shape(history[f'train/{name}']))


def _requests(metrics):
  """(step, words) of what a person asked for in the live run."""
  marks = []
  for row in metrics:
    if request := row.get('request'):
      changed = [f'{name.upper()} {number(value)}' for name, value in (request.get('targets') or {}).items()]
      words = changed + [word for word in ('pause', 'stop') if request.get(word)]
      marks.append((row['step'], ', '.join(words) or 'go on'))
  return marks
