"""Several runs of one task on one page: whether they can be used, their key figures, curves, newest images and what
differs in their configs."""

from collections.abc import Iterable
from pathlib import Path

from defect_jax.config import UserError
from defect_jax.report import page, plots
from defect_jax.report.verdict import missed, number
from defect_jax.runs.folder import Workdir
from defect_jax.schema import flatten

# Of each task the figures that are compared, those that matter most first.
_FIGURES: dict[str, tuple[tuple[str, str], ...]] = {
    'vae': (('KLD', 'kld'), ('MSE', 'mse'), ('At both targets from step', 'steps_to_targets'),
            ('KLD ripple', 'kld_ripple'), ('Active units', 'active_units'), ('Collapsed', 'collapsed'),
            ('Fine detail kept', 'detail_kept'), ('MSE on held-out photos', 'dev_mse'),
            ('Held-out over training error', 'known_ratio'), ('New images: distance', 'sample_distance'),
            ('Mutual information', 'mutual_information'), ('KL(q(z) || p(z))', 'marginal_kl')),
    'classifier': (('Balanced accuracy', 'balanced_accuracy'), ('95 %', 'ci/balanced_accuracy'),
                   ('F1 of the defects', 'f1'), ('AUROC', 'auroc'), ('Accuracy', 'accuracy'), ('Measured on', 'part'),
                   ('Photos trained on', 'photos')),
    'anomaly': (('Image AUROC', 'image_auroc'), ('95 %', 'image_auroc_ci'), ('Defects found', 'found'),
                ('False alarms', 'false_alarms'), ('Score', 'score'), ('Measured on', 'measured_on'),
                ('Pixel AUROC', 'pixel_auroc'), ('AUPRO', 'aupro'), ('Photos trained on', 'photos')),
    'generate': (('KID', 'kid'), ('Novelty', 'novelty'), ('Copies', 'memorised_fraction'),
                 ('Visible defects', 'visible'), ('Images', 'images')),
    'inpaint': (('KID', 'kid'), ('Novelty', 'novelty'), ('Copies', 'memorised_fraction'),
                ('Visible defects', 'visible'), ('Beside the part', 'beside_part'), ('Images', 'images')),
    'inpaint_train': (('KID after', 'kid_after'), ('KID before', 'kid_before'), ('Loss', 'loss'),
                      ('Held-out loss', 'dev_loss')),
    'predict': (('Photos', 'photos'), ('ok', 'ok'), ('ng', 'ng'), ('Trained on', 'trained_on'),
                ('Threshold', 'threshold'))}
_OF_ALL = ('Can it be used?', 'usable'), ('Reasons', 'reasons'), ('Seconds', 'seconds')
# Title, key of metrics.jsonl, label, whether the axis is logarithmic.
_CURVES = (('KLD', 'train/kld', 'KLD, nats per image', False), ('MSE', 'train/mse', 'MSE', True),
           ('MSE on held-out photos', 'eval/mse', 'MSE', True),
           ('Active units', 'latent/active_units', 'dimensions', False),
           ('Mutual information', 'latent/mutual_information', 'nats', False),
           ('Loss', 'train/loss', 'loss', False), ('Loss on held-out photos', 'eval/loss', 'loss', False),
           ('Balanced accuracy on held-out photos', 'eval/balanced_accuracy', 'share', False))


def write(path: Path, roots: Iterable[str | Path]) -> None:
  """Writes the page of the runs in the workdirs `roots`; UserError for one that holds no finished run, and for
  runs of several tasks."""
  runs = {name: _open(root) for name, root in _names(roots).items()}
  task = _task(runs)
  differing, summaries = _differing(runs), [run['summary'] for run in runs.values()]
  samples = [page.Figure(f'{name}: {kind}', page.png(newest))
             for name, run in runs.items() for kind in ('recon', 'prior') if (newest := _newest(run, kind))]
  page.write(path, f'{len(runs)} runs compared', [
      page.Section('', [page.Table([[words, *((_text(summary, key), 'missed' if key in missed(summary) else '')
                                              for summary in summaries)]
                                    for words, key in (*_OF_ALL[:2], *_FIGURES.get(task, ()), *_OF_ALL[2:])],
                                   ('Key figure', *runs)),
                        *([page.Text('Red: not at its target.', style='quiet')] if task == 'vae' else [])], 'figures'),
      page.Section('What differs in the configs', [
          page.Table(differing, ('Key', *runs)) if differing else page.Sentences(['Nothing.'])], 'differing'),
      page.Section('Curves', [page.Figures(list(_curves(runs)))], 'curves'),
      page.Section('Newest images', [page.Figures(samples)], 'samples')])


def _names(roots):
  """{shortest telling name: root}: the folder's name, or its path where two share it."""
  workdirs = [Workdir(root).root for root in roots]
  names = [root.name for root in workdirs]
  return {root.name if names.count(root.name) == 1 else str(root): root for root in workdirs}


def _task(runs):
  """The task of all runs; UserError where they have several."""
  first, *others = runs
  task = runs[first]['config'].task
  for name in others:
    if (other := runs[name]['config'].task) != task:
      raise UserError(f'{name} is a run of the task {other}, {first} of {task}; runs of one task can be compared, so '
                      'leave one of them out')
  return task


def _text(summary, key):
  """A figure for people; 'ci/x': the interval of x."""
  group, _, name = key.rpartition('/')
  value = (summary.get(group) or {}).get(name) if group else summary.get(key)
  if isinstance(value, list):
    return ', '.join(value) if not value or isinstance(value[0], str) else ' to '.join(map(number, value))
  return number(value)


def _open(root):
  workdir = Workdir(root)
  config, summary = workdir.read_config(), workdir.read_summary()
  if config is None or summary is None:
    raise UserError(f'{root}: holds no finished run; leave it out or finish it')
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
