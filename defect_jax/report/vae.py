"""The page of a VAE run: what came of it, its losses, images and settings, in one file that needs no network."""

import numpy as np

from defect_jax.evaluation.latent import BAND
from defect_jax.report import grids, page, plots
from defect_jax.report.latent import figures as figures_of_latent
from defect_jax.report.page import figure, png
from defect_jax.report.verdict import DETAIL, RIPPLE, missed, number, percent

# Bytes of images on the page before compression; of large photos fewer are shown.
_RECON_BYTES, _PRIOR_BYTES = 800_000, 300_000
_LEAST, _MOST_PRIOR = 3, 24
_SMALL = 64  # px


def write(path, *, title, verdict, summary, config, rows, history, targets, photos, recon, prior, nearest,
          latent, forecast, log_n):
  """Writes the page; it is whole or not there.

  Args:
    path: of the HTML file.
    title: text. verdict: list of sentences, see `verdict.verdict`.
    summary: a vae summary. config: the resolved config, ConfigDict or dict.
    rows: of metrics.jsonl.
    history: {'train/kld', 'train/mse'}, each `[steps]`; 'target/kld', 'target/mse' too where they changed.
    targets: {'kld', 'mse'}, as the run ended; None where there is none.
    photos, recon, prior: `[N, S, S, C]` in [0, 1]; recon belongs to photos.
    nearest: `[N, S, S, C]`, the training photo nearest to each image of prior. latent: report.latent.Latent.
    forecast: sentences on what the targets ask for, told before training.
    log_n: log of the number of training photos, in nats.
  """
  fewer = min(len(photos), _count(photos, 3, _RECON_BYTES, grids.MOST))
  samples = _count(prior, 2, _PRIOR_BYTES, _MOST_PRIOR)
  page.write(
    path, 'report.html', config, title=title, verdict=verdict,
    reached=summary.get('steps_to_targets') is not None and not summary.get('collapsed'),
    facts=_facts(summary), about=_about(summary),
    losses=_losses(rows, history, targets, summary, log_n), control=_control(rows, history),
    gradients=_gradients(rows, history),
    recon=[png(grids.grid([[photo], [made], [grids.residual(photo, made)]]))
           for photo, made in zip(photos[:fewer], recon[:fewer], strict=True)], of=len(photos),
    prior=[png(grids.grid([pair])) for pair in list(zip(prior, nearest, strict=True))[:samples]],
    latent=[figure(*parts) for parts in figures_of_latent(latent, rows, history, log_n)],
    traversals=png(grids.grid(_small(latent.traversals))), dimensions=', '.join(map(str, latent.dimensions)),
    offsets=f'{latent.offsets[0]:g} to {latent.offsets[-1]:g}', alarms=_alarms(rows), forecast=forecast)


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
  """The table: (what, value, what is asked for, whether it is met or None where that cannot be said)."""
  off = missed(summary)
  kld, mse = summary.get('kld_target'), summary.get('mse_target')
  latent, active = summary.get('latent_dim'), summary.get('active_units')
  since, kept = summary.get('steps_to_targets'), summary.get('detail_kept')
  variance = summary.get('variance')
  share = percent(summary['mse'] / variance) if variance else '–'
  return [
    ('KLD, nats an image', number(summary.get('kld')), f'{number(kld)} ±{percent(BAND)}',
     None if kld is None else 'kld' not in off),
    ('MSE', number(summary.get('mse')), f'≤ {number(mse if mse is None else mse * (1 + BAND))}',
     None if mse is None else 'mse' not in off),
    ('MSE / variance of the photos', share, '', None),
    *((f'Ripple of {name.upper()} / target', number(summary.get(f'{name}_ripple')), f'≤ {limit}',
       _at_most(summary.get(f'{name}_ripple'), limit)) for name, limit in RIPPLE.items()),
    ('At both targets from step', number(since), '', None if None in (kld, mse) else since is not None),
    ('Active latent dimensions', f'{number(active)} of {number(latent)}', '≥ half',
     None if None in (active, latent) else active >= latent / 2),
    ('Collapsed', number(summary.get('collapsed')), 'no', not summary.get('collapsed')),
    ('Fine detail kept', number(kept), f'≥ {DETAIL}', None if kept is None else kept >= DETAIL),
    ('MSE on dev photos', number(summary.get('dev_mse')), '', None),
    *_perceptual_fact(summary),
    ('log N, nats', number(summary.get('log_n')), '', None),
  ]


def _perceptual_fact(summary):
  if 'lpips' not in summary:
    return []
  most = summary['lpips_target'] * (1 + BAND)
  return [('LPIPS', number(summary['lpips']), f'≤ {number(most)}', summary['lpips'] <= most)]


def _at_most(value, limit):
  return None if value is None else value <= limit


def _about(summary):
  """One line on the run itself."""
  parts = [('steps', ' steps'), ('seconds', ' s'), ('compile_seconds', ' s of them compiling'),
           ('images_per_second', ' images/s'), ('devices', ' device(s)')]
  words = [number(summary[key]) + unit for key, unit in parts if summary.get(key) is not None]
  words += [str(summary['platform'])] if summary.get('platform') else []
  words += [f'defect_jax {summary["version"]}'] if summary.get('version') else []
  words += [f'config {summary["config_hash"][:12]}'] if summary.get('config_hash') else []
  return ' · '.join(words)


def _losses(rows, history, targets, summary, log_n):
  marks, since = _requests(rows), summary.get('steps_to_targets')
  goals = {name: _target(history, name, targets) for name in ('kld', 'mse')}
  kld = plots.loss(history['train/kld'], name='kld', label='KLD, nats an image', level=(log_n, 'log N'),
                   target=goals['kld'], since=since, marks=marks)
  mse = plots.loss(history['train/mse'], name='mse', label='MSE', log=True, target=goals['mse'], since=since,
                   marks=marks, dots=(*_column(rows, 'eval/mse'), 'dev photos'))
  figures = [
    figure('KLD', kld, 'Should settle in the green band around its target, above log N: below, the code is too small '
            'to tell the training photos apart. A spike of the first steps may leave the frame.'),
    figure('MSE', mse, 'Should fall to the green band and stay; below it is fine too. Dots far above the line: the '
            'training photos are learnt by heart.'),
  ]
  steps, values = _column(rows, 'train/lpips')
  if len(steps):
    figures.append(figure('LPIPS', plots.lines(
      {'P': (steps, values), 'target': _column(rows, 'target/lpips')}, label='LPIPS',
      steps_total=len(history['train/kld']), marks=marks, log=True),
      'Perceptual distance of photo and reconstruction. Should fall to its target.'))
  ratios = {name: history[f'train/{name}'] / goal for name, goal in goals.items() if goal is not None}
  if ratios:
    figures.append(figure('How well the targets are held', plots.closeness(ratios, marks=marks), 'Close-up: each loss '
                           'over its target, as means of 50 steps. Should enter the band and stay; MSE may be below.'))
  return figures


def _control(rows, history):
  steps = len(history['train/kld'])
  return _several(rows, steps, [
    ('gain/', 'Gains', 'gain', {'bounds': (-0.03, 1.08)}, 'How much of each stream’s update is applied. Towards '
     'the end gains should be small but not nailed to 0: they still correct.'),
    ('weight/', 'Loss weights', 'weight', {'log': True}, 'What each loss is multiplied by before its gradient is '
     'taken. Lines should level off; one that keeps climbing pulls at a target that cannot be reached.'),
    ('cosine/', 'Do KLD and MSE pull the same way?', 'cosine', {'bounds': (-1.05, 1.05)}, 'Angle between the two '
     'gradients on the encoder, whole (E1_E2) and by layer: -1 is a tug of war, 0 no conflict. Below 0 is normal once '
     'both targets press.'),
  ])


def _gradients(rows, history):
  return _several(rows, len(history['train/kld']), [
    ('norm/', 'Gradient norms', 'norm', {'log': True}, 'Size of each stream’s gradient. Should stay within a few '
     'powers of ten; a jump upwards is an instability.'),
    ('update/', 'Update norms', 'norm', {'log': True}, 'How far each stream moves its parameters in a step. Should '
     'shrink as the targets are reached.'),
  ])


def _alarms(rows):
  """(first step, last step, newest words) of each stretch of alarms."""
  stretches = []
  for row in (row for row in rows if 'latent/active_units' in row):
    words = row.get('alarm')
    if stretches and bool(stretches[-1][2]) == bool(words):
      stretches[-1][1:] = row['step'], words
    else:
      stretches.append([row['step'], row['step'], words])
  return [stretch for stretch in stretches if stretch[2]]


def _several(rows, steps, wanted):
  """Figures of those prefixes that the rows have."""
  figures = []
  for prefix, title, label, style, caption in wanted:
    names = sorted({key for row in rows for key in row if key.startswith(prefix)}, key=_by_colour)
    series = {name.removeprefix(prefix): _column(rows, name) for name in names}
    series = {name: column for name, column in series.items() if len(column[0])}
    if series:
      drawn = plots.lines(series, label=label, steps_total=steps, marks=_requests(rows), **style)
      figures.append(figure(title, drawn, caption))
  return figures


def _by_colour(name):
  """E1, E2, D and the rest in the order of the colours, whatever the order in the rows."""
  short, known = name.partition('/')[2], list(plots.COLOURS)
  return (known.index(short) if short in known else len(known), short)


def _column(rows, key):
  """(steps, values) of the rows that have a number under `key`."""
  found = [(row['step'], row[key]) for row in rows if row.get(key) is not None]
  return np.array([step for step, _ in found], int), np.array([value for _, value in found], float)


def _target(history, name, targets):
  """A target at every step; None without one."""
  if targets.get(name) is None:
    return None
  return np.broadcast_to(history.get(f'target/{name}', targets[name]), np.shape(history[f'train/{name}']))


def _requests(rows):
  """(step, words) of what a person asked for in the live run."""
  marks = []
  for row in rows:
    if request := row.get('request'):
      changed = [f'{name.upper()} {number(value)}' for name, value in (request.get('targets') or {}).items()]
      words = changed + [word for word in ('pause', 'stop') if request.get(word)]
      marks.append((row['step'], ', '.join(words) or 'go on'))
  return marks
