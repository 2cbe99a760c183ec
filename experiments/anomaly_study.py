"""How good anomaly detection is on three sets of real photos: every score of the VAE, and the baselines beside it.

  python -m experiments.anomaly_study                           three seeds on the dev part
  python -m experiments.anomaly_study --part=final              and on the final part, which nothing was chosen on
  python -m experiments.anomaly_study --sets=elpv --seeds=1     a part of it

A cell is a set and a seed. The VAE is trained with its dev run; the run on the final part takes it from there. Of each
method (VAE, PCA, mean image, nearest neighbours) the score is told that has the highest mean image AUROC over the seeds
on dev, so final chooses nothing; pixel figures are those of the same method's map with the highest mean AUPRO on dev.
`lpips` and `knn` take most of the time and hardly depend on the seed, so they are computed with seed 0 only. Finished
runs are not run again. Prints tables and writes them as JSON beside the runs.
"""

import json
from pathlib import Path

import numpy as np
from absl import flags

from defect_jax.runs.atomic import write_atomic
from defect_jax.sweeps import jobs
from experiments import command

FLAGS = flags.FLAGS
flags.DEFINE_enum('part', 'dev', ['dev', 'final'], 'What the tables are about.')
flags.DEFINE_list('sets', ['elpv', 'magnetic_tile', 'bsdata'], 'Which sets.')
flags.DEFINE_integer('seeds', 3, 'How many seeds.', lower_bound=1)
flags.DEFINE_string('data', '../shared/data', 'Folder of magnetic_tile/ and bsdata/.')
flags.DEFINE_string('root', 'runs/anomaly_study', 'Folder of the runs.')
flags.DEFINE_boolean('tiny', False, "Use the config's tiny variant, to try the command.")

_TILED = {'data.source': 'folder', 'tiles.on': 'true', 'data.size': 32, 'score.blur': 0.0, 'score.smooth': 1.0,
          'baselines.pca': 64, 'train.model.latent': 64, 'train.average': 0.99}
_SETS = {
    'elpv': {},
    'magnetic_tile': _TILED | {
        'data.path': 'magnetic_tile/magnetic_tile', 'tiles.reduce': 2, 'score.reduce': 'max',
        'train.model.linear': 'false', 'train.targets.kld': 100.0, 'train.targets.mse_of_variance': 0.01,
        'train.steps.total': 1500, 'train.steps.eval': 500, 'train.steps.checkpoint': 500,
        'train.streams.E1.lr': 0.002, 'train.streams.E2.lr': 0.002, 'train.streams.D.lr': 0.006},
    'bsdata': _TILED | {
        'data.path': 'bsdata/ball_screw', 'tiles.reduce': 4, 'score.map': 'ssim', 'score.reduce': 'mean',
        'score.blur': 1.0,
        'train.targets.kld': 200.0, 'train.targets.mse_of_variance': 0.003, 'train.steps.total': 1000},
}
METHODS = {'VAE': ('residual', 'normalised', 'ssim', 'lpips', 'kld'), 'PCA': ('pca', 'pca_normalised'),
           'mean image': ('mean_image', 'mean_image_normalised'), 'nearest neighbours': ('knn',)}
_FIGURES = ('image_auroc', 'image_aupr', 'f1', 'pixel_auroc', 'aupro')


def run(name, seed, part):
  """Summary of a cell on a part; runs it unless it is finished."""
  workdir = Path(FLAGS.root) / part / f'{name}_{seed}'
  settings = dict(_SETS[name]) | {'seed': seed, 'measure.part': part, 'score.features': str(seed == 0).lower()}
  if 'data.path' in settings:
    settings['data.path'] = Path(FLAGS.data) / settings['data.path']
  if part == 'final':
    settings['vae'] = Path(FLAGS.root) / 'dev' / f'{name}_{seed}'
  if FLAGS.tiny:
    settings = {key: value for key, value in settings.items() if not key.startswith('train.')} | {'data.size': 32}
  return jobs.run(f'configs/anomaly.py{":tiny" * FLAGS.tiny}', workdir, settings)


def mean_over(summaries, score, figure, label=None):
  """(mean, standard deviation, n) of a figure over the summaries that have it, or None; `label`: of that class."""
  rows = [summary['scores'][score] for summary in summaries if score in summary['scores']]
  values = [(row['by_class'].get(label, {}) if label else row).get(figure) for row in rows]
  values = [value for value in values if value is not None]
  return (float(np.mean(values)), float(np.std(values)), len(values)) if values else None


def best(summaries, maps, figure, label=None):
  """The score of these maps with the highest mean of a figure; None where none has it."""
  names = {name for summary in summaries for name in summary['scores'] if _map(name) in maps}
  means = {name: found[0] for name in sorted(names) if (found := mean_over(summaries, name, figure, label))}
  return max(means, key=means.get) if means else None


def _map(score):
  return score if score == 'kld' else score.rpartition('_')[0]


def table(name, dev, measured):
  """Rows of a set, dicts: class, method, scores, and figures (mean, deviation, n), of the summaries `measured`."""
  labels = sorted(next(iter(measured[0]['scores'].values()))['by_class'])
  for label in (None, *(labels if len(labels) > 1 else ())):
    for method, maps in METHODS.items():
      score, of_pixels = best(dev, maps, 'image_auroc'), best(dev, maps, 'aupro')
      if score is None:
        continue
      figures = {figure: mean_over(measured, of_pixels if figure in ('pixel_auroc', 'aupro') else score, figure, label)
                 for figure in _FIGURES if not (figure in ('pixel_auroc', 'aupro') and of_pixels is None)}
      yield {'set': name, 'class': label or 'all', 'method': method, 'score': score,
             'map': of_pixels and _map(of_pixels), 'figures': figures}


def lines(rows):
  """The rows in Markdown."""
  yield f'| set | class | method | score | map | {" | ".join(_FIGURES)} |'
  yield '|---' * (5 + len(_FIGURES)) + '|'
  for row in rows:
    shown = [row['figures'].get(figure) for figure in _FIGURES]
    values = ['–' if one is None else f'{one[0]:.3f}' + (f' ±{one[1]:.3f}' if one[2] > 1 else '') for one in shown]
    yield f'| {row["set"]} | {row["class"]} | {row["method"]} | {row["score"]} | {row["map"] or "–"} | ' + \
        ' | '.join(values) + ' |'


def main(_):
  command.check_known('sets', FLAGS.sets, _SETS)
  rows = []
  for name in FLAGS.sets:
    dev = [run(name, seed, 'dev') for seed in range(FLAGS.seeds)]
    measured = dev if FLAGS.part == 'dev' else [run(name, seed, 'final') for seed in range(FLAGS.seeds)]
    rows += table(name, dev, measured)
  print('\n'.join(lines(rows)))
  write_atomic(Path(FLAGS.root) / f'{FLAGS.part}.json', json.dumps(rows, indent=2) + '\n')


if __name__ == '__main__':
  command.run(main)
