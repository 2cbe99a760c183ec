"""How good anomaly detection is on three sets of real photos: every score of the VAE, and the baselines beside it.

  python -m experiments.anomaly_study                           three seeds on the dev part
  python -m experiments.anomaly_study --part=final              and on the final part, which nothing was chosen on
  python -m experiments.anomaly_study --sets=elpv --seeds=1     a part of it

A cell is a set and a seed. The VAE is trained with its dev run; the run on the final part takes it from there. Of each
method (VAE, PCA, mean image, nearest neighbours) the table shows the score with the highest mean image AUROC over the
seeds on dev, so final chooses nothing; pixel figures are those of the same method's map with the highest mean AUPRO on
dev. `lpips` and `knn` take most of the time and hardly depend on the seed, so they are computed with seed 0 only.
Finished runs are not run again. Prints tables and writes them as JSON beside the runs.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from defect_jax.runs.atomic import write_atomic
from defect_jax.sweeps.job import Job, Summary
from defect_jax.sweeps.study import Study
from experiments import command, results

FLAGS = command.define('runs/anomaly_study', data='../shared/data', tiny="Use the config's tiny variant, to try the "
                       'command.', at_once=True, publish=True)
flags.DEFINE_enum('part', 'dev', ['dev', 'final'], 'What the tables are about.', flag_values=FLAGS)
flags.DEFINE_list('sets', ['elpv', 'magnetic_tile', 'bsdata'], 'Which sets.', flag_values=FLAGS)
flags.DEFINE_integer('seeds', 3, 'How many seeds.', lower_bound=1, flag_values=FLAGS)

_TILED = {'data.source': 'folder', 'data.split': 'hash', 'data.fit': 'crop', 'data.size': 32, 'tiles.on': True,
          'score.blur': 0.0, 'score.smooth': 1.0,
          'baselines.pca': 64, 'train.model.latent': 64, 'train.average': 0.99}
_SETS = {
    'elpv': {},
    'magnetic_tile': _TILED | {
        'data.path': 'magnetic_tile/magnetic_tile', 'tiles.reduce': 2, 'score.reduce': 'max',
        'train.model.linear': False, 'train.targets.kld': 100.0, 'train.targets.mse_of_variance': 0.01,
        'train.steps.total': 1500, 'train.steps.eval': 500, 'train.steps.checkpoint': 500,
        'train.streams.E1.lr': 0.002, 'train.streams.E2.lr': 0.002, 'train.streams.D.lr': 0.006},
    'bsdata': _TILED | {
        'data.path': 'bsdata/ball_screw', 'tiles.reduce': 4, 'score.map': 'ssim', 'score.reduce': 'mean',
        'score.blur': 1.0,
        'train.targets.kld': 200.0, 'train.targets.mse_of_variance': 0.003, 'train.steps.total': 1000},
}
METHODS = {'VAE': ('residual', 'normalised', 'ssim', 'lpips', 'kld'), 'PCA': ('pca', 'pca_normalised'),
           'mean image': ('mean_image', 'mean_image_normalised'), 'nearest neighbours': ('knn',)}
_WORDS = {'elpv': 'solar cells', 'magnetic_tile': 'magnetic tiles, all defects', 'bsdata': 'ball screws (bsdata)'}
_PIXELS = 'pixel_auroc', 'aupro'
_FIGURES = ('image_auroc', 'image_aupr', 'f1', *_PIXELS)


def job(name: str, seed: int, part: str, data: Path, root: Path, tiny: bool) -> Job:
  """The run of a cell on a part; that on final takes the VAE from the one on dev."""
  settings = _SETS[name] | {'seed': seed, 'measure.part': part, 'score.features': seed == 0}
  if 'data.path' in settings:
    settings['data.path'] = data / settings['data.path']
  needs = (job(name, seed, 'dev', data, root, tiny),) if part == 'final' else ()
  if needs:
    settings['vae'] = needs[0].workdir
  if tiny:
    settings = {key: value for key, value in settings.items() if not key.startswith('train.')} | {'data.size': 32}
  return Job(f'configs/anomaly.py{":tiny" * tiny}', root / part / f'{name}_{seed}', settings, needs)


def study(sets: Sequence[str], seeds: int, part: str, data: Path, root: Path, tiny: bool) -> Study[list[dict]]:
  """The rows of all sets, see `rows`."""
  jobs = {name: [job(name, seed, part, data, root, tiny) for seed in range(seeds)] for name in sets}

  def of_sets(summaries):
    for name, of_part in jobs.items():
      on_dev = [each.needs[0] if each.needs else each for each in of_part]
      yield from rows(name, *([summaries[each.workdir] for each in runs] for runs in (on_dev, of_part)))
  return Study(f'anomaly_study_{part}', [each for runs in jobs.values() for each in runs],
               lambda summaries: list(of_sets(summaries)))


def mean_over(summaries: Sequence[Summary], score: str, figure: str,
              label: str | None = None) -> tuple[float, float, int] | None:
  """(mean, standard deviation, n) of a figure over the summaries that have it, or None; `label`: of that class."""
  scores = [summary['scores'][score] for summary in summaries if score in summary['scores']]
  values = [(row['by_class'].get(label, {}) if label else row).get(figure) for row in scores]
  values = [value for value in values if value is not None]
  return (float(np.mean(values)), float(np.std(values)), len(values)) if values else None


def best(summaries: Sequence[Summary], maps: Sequence[str], figure: str) -> str | None:
  """The score of these maps with the highest mean of a figure; None where none has it."""
  names = {name for summary in summaries for name in summary['scores'] if _map(name) in maps}
  means = {name: mean[0] for name in sorted(names) if (mean := mean_over(summaries, name, figure))}
  return max(means, key=means.get) if means else None


def _map(score):
  return score if score == 'kld' else score.rpartition('_')[0]


def rows(name: str, dev: Sequence[Summary], measured: Sequence[Summary]) -> Iterator[dict[str, Any]]:
  """Rows of a set: class, method, score, map, and figures {name: (mean, deviation, n)} of the summaries `measured`."""
  labels = sorted(next(iter(measured[0]['scores'].values()))['by_class'])
  for label in (None, *(labels if len(labels) > 1 else ())):
    for method, maps in METHODS.items():
      score, of_pixels = best(dev, maps, 'image_auroc'), best(dev, maps, 'aupro')
      if score is None:
        continue
      figures = {figure: mean_over(measured, of_pixels if figure in _PIXELS else score, figure, label)
                 for figure in _FIGURES if not (figure in _PIXELS and of_pixels is None)}
      yield {'set': name, 'class': label or 'all', 'method': method, 'score': score,
             'map': of_pixels and _map(of_pixels), 'figures': figures}


def table(rows: Sequence[Mapping[str, Any]]) -> results.Table:
  """Every row with all its figures."""
  return results.Table(['set', 'class', 'method', 'score', 'map', *_FIGURES], [
      [row['set'], row['class'], row['method'], row['score'], row['map'] or '–',
       *(_text(row['figures'].get(figure)) for figure in _FIGURES)] for row in rows])


def published(rows: Sequence[Mapping[str, Any]]) -> dict[str, results.Table]:
  """{part of the file's name: table of docs/results.md}: image AUROC by set, pixel AUROC and AUPRO by class."""
  images, pixels = {}, {}
  one_class = {row['set'] for row in rows} - {row['set'] for row in rows if row['class'] != 'all'}
  for row in rows:
    name, figures = _WORDS[row['set']], row['figures']
    if row['class'] == 'all':
      images.setdefault(name, {})[row['method']] = _text(figures['image_auroc'])
    if (row['class'] != 'all' or row['set'] in one_class) and figures.get('aupro'):
      words = ' / '.join(f'{figures[figure][0]:.3f}' for figure in _PIXELS)
      pixels.setdefault(name if row['class'] == 'all' else row['class'], {})[row['method']] = words
  methods = ['nearest neighbours on VGG16' if method == 'nearest neighbours' else method for method in METHODS]
  return {part: results.Table([head, *methods], [
      [name, *(of.get(method, '–') for method in METHODS)] for name, of in cells.items()])
      for part, head, cells in (('image', 'image AUROC', images), ('pixel', 'pixel AUROC / AUPRO', pixels))}


def _text(figure):
  if figure is None:
    return '–'
  mean, deviation, count = figure
  return f'{mean:.3f}' + (f' ±{deviation:.3f}' if count > 1 else '')


def main(flags: flags.FlagValues) -> None:
  command.check_known('sets', flags.sets, _SETS)
  run = study(flags.sets, flags.seeds, flags.part, Path(flags.data), Path(flags.root), flags.tiny)
  measured = run.run(command.executor(flags.at_once))
  print(table(measured).markdown())
  write_atomic(Path(flags.root) / f'{flags.part}.json', json.dumps(measured, indent=2) + '\n')
  if flags.publish:
    for part, shown in published(measured).items():
      results.publish(f'{run.name}_{part}', shown, measured)


if __name__ == '__main__':
  command.run(main, FLAGS)
