"""Several runs of the task vae on one page: their key figures, curves, reconstructions and what differs in their
configs."""

import numpy as np

from defect_jax.config import UserError
from defect_jax.report import page, plots
from defect_jax.report.verdict import missed, number
from defect_jax.runs.folder import Workdir
from defect_jax.schema import flatten

_FIGURES = (('KLD', 'kld'), ('MSE', 'mse'), ('At both targets from step', 'steps_to_targets'),
            ('KLD ripple', 'kld_ripple'), ('Active units', 'active_units'), ('Collapsed', 'collapsed'),
            ('Fine detail kept', 'detail_kept'), ('MSE on dev photos', 'dev_mse'),
            ('Mutual information', 'mutual_information'), ('KL(q(z) || p(z))', 'marginal_kl'), ('Seconds', 'seconds'))


def write(path, roots):
  """Writes the page of the runs in the workdirs `roots`; UserError for one that holds no finished run of a VAE."""
  runs = {name: _open(root) for name, root in _names(roots).items()}
  page.write(
    path, 'compare.html', title=f'{len(runs)} runs compared', runs=list(runs),
    figures=[_row(words, key, runs) for words, key in _FIGURES], differing=_differing(runs),
    curves=[_curve(runs, *parts) for parts in (
      ('KLD', 'train/kld', 'KLD, nats an image', False), ('MSE', 'train/mse', 'MSE', True),
      ('MSE on dev photos', 'eval/mse', 'MSE', True), ('Active units', 'latent/active_units', 'dimensions', False),
      ('Mutual information', 'latent/mutual_information', 'nats', False)) if _has(runs, parts[1])],
    samples=[{'title': f'{name}: {what}', 'source': page.png_file(newest), 'caption': ''}
             for name, run in runs.items() for what in ('recon', 'prior') if (newest := _newest(run, what))])


def _names(roots):
  """{shortest telling name: root}: the folder's name, or its path where two share it."""
  workdirs = [Workdir(root).root for root in roots]
  names = [root.name for root in workdirs]
  return {root.name if names.count(root.name) == 1 else str(root): root for root in workdirs}


def _open(root):
  workdir = Workdir(root)
  config, summary = workdir.read_config(), workdir.read_summary()
  if config is None or summary is None or summary.get('task') != 'vae':
    raise UserError(f'{root}: holds no finished run of the task vae; leave it out or finish it')
  return {'workdir': workdir, 'config': config, 'summary': summary, 'rows': workdir.read_metrics()}


def _row(words, key, runs):
  return words, [(number(run['summary'].get(key)), key in missed(run['summary'])) for run in runs.values()]


def _differing(runs):
  """(key, values) of the config's keys that are not the same in all runs."""
  flat = [flatten(run['config']) for run in runs.values()]
  keys = sorted({key for values in flat for key in values})
  rows = [(key, [values.get(key, '–') for values in flat]) for key in keys]
  return [(key, values) for key, values in rows if any(value != values[0] for value in values)]


def _has(runs, key):
  return any(row.get(key) is not None for run in runs.values() for row in run['rows'])


def _curve(runs, title, key, label, log):
  series = {}
  for name, run in runs.items():
    points = [(row['step'], row[key]) for row in run['rows'] if row.get(key) is not None]
    if points:
      series[name] = tuple(np.array(points, float).T)
  last = max(steps[-1] for steps, _ in series.values())
  return page.figure(title, plots.lines(series, label=label, steps_total=last, log=log))


def _newest(run, what):
  """Path of the last sample grid; None without one."""
  files = sorted(run['workdir'].samples.glob(f'*_{what}.png'), key=lambda path: int(path.name.partition('_')[0]))
  return files[-1] if files else None
