"""Several runs of the task vae on one page: their key figures, curves, reconstructions and what differs in their
configs."""

from collections.abc import Iterable
from pathlib import Path

from defect_jax.config import UserError
from defect_jax.report import page, plots
from defect_jax.report.verdict import missed, number
from defect_jax.runs.folder import Workdir
from defect_jax.schema import flatten

_FIGURES = (('KLD', 'kld'), ('MSE', 'mse'), ('At both targets from step', 'steps_to_targets'),
            ('KLD ripple', 'kld_ripple'), ('Active units', 'active_units'), ('Collapsed', 'collapsed'),
            ('Fine detail kept', 'detail_kept'), ('MSE on held-out photos', 'dev_mse'),
            ('Mutual information', 'mutual_information'), ('KL(q(z) || p(z))', 'marginal_kl'), ('Seconds', 'seconds'))
# Title, key of metrics.jsonl, label, whether the axis is logarithmic.
_CURVES = (('KLD', 'train/kld', 'KLD, nats per image', False), ('MSE', 'train/mse', 'MSE', True),
           ('MSE on held-out photos', 'eval/mse', 'MSE', True),
           ('Active units', 'latent/active_units', 'dimensions', False),
           ('Mutual information', 'latent/mutual_information', 'nats', False))


def write(path: Path, roots: Iterable[str | Path]) -> None:
  """Writes the page of the runs in the workdirs `roots`; UserError for one that holds no finished run of a VAE."""
  runs = {name: _open(root) for name, root in _names(roots).items()}
  differing, summaries = _differing(runs), [run['summary'] for run in runs.values()]
  samples = [page.Figure(f'{name}: {kind}', page.png(newest))
             for name, run in runs.items() for kind in ('recon', 'prior') if (newest := _newest(run, kind))]
  page.write(path, f'{len(runs)} runs compared', [
      page.Section('', [page.Table([[words, *((number(summary.get(key)), 'missed' if key in missed(summary) else '')
                                              for summary in summaries)] for words, key in _FIGURES],
                                   ('Key figure', *runs)),
                        page.Text('Red: not at its target.', style='quiet')], 'figures'),
      page.Section('What differs in the configs', [
          page.Table(differing, ('Key', *runs)) if differing else page.Sentences(['Nothing.'])], 'differing'),
      page.Section('Curves', [page.Figures(list(_curves(runs)))], 'curves'),
      page.Section('Reconstructions and samples of the prior, at the end', [page.Figures(samples)], 'samples')])


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
  return {'workdir': workdir, 'config': config, 'summary': summary, 'metrics': workdir.read_metrics()}


def _differing(runs):
  """Rows of the config's keys that are not the same in all runs."""
  flat = [flatten(run['config']) for run in runs.values()]
  rows = {key: [values.get(key, '–') for values in flat] for key in sorted({key for run in flat for key in run})}
  return [(key, *map(str, values)) for key, values in rows.items() if any(value != values[0] for value in values)]


def _curves(runs):
  for title, key, label, log in _CURVES:
    series = {name: page.column(run['metrics'], key) for name, run in runs.items()}
    if series := {name: column for name, column in series.items() if len(column[0])}:
      last = max(steps[-1] for steps, _ in series.values())
      yield page.figure(title, plots.lines(series, label=label, steps_total=last, log=log))


def _newest(run, kind):
  """Path of the last sample grid; None without one."""
  return max(run['workdir'].samples.glob(f'*_{kind}.png'), key=lambda path: int(path.name.partition('_')[0]),
             default=None)
