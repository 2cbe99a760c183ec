"""Does "Can I use it?" hold? Runs that their pages call usable and others, and what both are worth on held-out photos.

  python -m experiments.usable_study --data=../shared/data          about 40 minutes on 2 cores

On solar cells, magnetic tiles and ball screws, with settings that differ on purpose: too few photos, too strict and too
loose targets, defects that scaling loses, detectors that fit and that do not. The answer of a page comes from pool and
dev alone. Then, once, what it was not answered from is measured on the part final:

- VAE: the share of the variance of photos (about the mean training photo) that is rebuilt, and, where defects have
  masks, the share of the defects' detail at their own size that is left in the reconstructions.
- detector: the share of defects that it finds, less the share of good photos that it calls defective.
- classifier: balanced accuracy.

Finished runs are not run again. --tiny tries the command.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from defect_jax.evaluation import own_size
from defect_jax.runs.atomic import write_atomic
from defect_jax.sweeps.job import Job
from defect_jax.sweeps.study import Study, Summaries
from defect_jax.trained.vae import VaePredictor, open_vae
from experiments import command, results

FLAGS = command.define('runs/usable_study', data='../shared/data', tiny=command.TINY, at_once=True, publish=True)

_SETS: dict[str, dict[str, Any]] = {'elpv': {}, 'magnetic_tile': {'data.path': 'magnetic_tile/magnetic_tile'},
         'bsdata': {'data.path': 'bsdata/ball_screw'}}
_FLIPS = {'data.augment.flip_horizontal': True, 'data.augment.flip_vertical': True}
_ALL = {'data.few_shot': 0, 'targets.kld': 64.0, 'targets.mse_of_variance': 0.04, 'steps.total': 4000} | _FLIPS
_ONE = {'magnetic_tile': {'data.defects': 'blowhole'}, 'bsdata': {'data.defects': 'pitting'}, 'elpv': {}}
# Of each task: its config, and the settings of each case beside those of the set.
CASES: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    'vae': ('configs/vae_split.py', {
        '25 photos': {'data.few_shot': 25},
        'all photos, flipped': _ALL,
        'all photos, flipped, MSE 30 %': _ALL | {'targets.mse_of_variance': 0.3},
        'all photos, flipped, around masks': _ALL | {'data.region': 'mask'}}),
    'anomaly': ('configs/anomaly.py', {
        'mean image': {'detector': 'mean_image', 'detectors': 'mean_image', 'score.map': 'mean_image'},
        'PCA, strongest places': {'detector': 'pca', 'detectors': 'pca', 'score.map': 'pca_normalised'},
        'PCA, mean': {'detector': 'pca', 'detectors': 'pca', 'score.map': 'pca_normalised', 'score.reduce': 'mean'},
        'nearest neighbours': {'detector': 'neighbours', 'detectors': 'neighbours', 'score.map': 'knn',
                               'data.size': 128}}),
    'classifier': ('configs/classifier.py:vgg16', {
        '10 defects, 10 good': {'data.few_shot': 10, 'data.good': 10, 'data.merge': True},
        'all photos': {'data.few_shot': 0, 'data.merge': True}})}
_MEASURES = {'vae': 'of the variance rebuilt', 'anomaly': 'found less false alarms', 'classifier': 'balanced accuracy'}


@dataclasses.dataclass(frozen=True)
class Run:
  """A case of a set: the job whose page answers, and the one that measures afterwards where that is a job too."""
  task: str
  name: str
  case: str
  answered: Job
  measured: Job | None


def runs(data: Path, root: Path, tiny: bool) -> list[Run]:
  """Every case of every set that has it; solar cells have no masks."""
  return [_run(task, config, name, case, settings, data, root, tiny) for task, (config, cases) in CASES.items()
          for name in _SETS for case, settings in cases.items()
          if name != 'elpv' or settings.get('data.region') != 'mask']


def _run(task, config, name, case, settings, data, root, tiny):
  """The jobs of one case; those of a detector score other photos by the same detector."""
  own = _SETS[name] | {'data.split': 'hash'} | (_ONE[name] if task == 'vae' else {}) | settings
  if 'data.path' in own:
    own |= {'data.path': data / own['data.path']}
  if tiny:
    config += ',tiny' if ':' in config else ':tiny'
    own = {key: value for key, value in own.items()
           if not key.startswith(('steps', 'data.size', 'data.few', 'data.good'))}
  folder = root / f'{task}_{name}_{case.replace(" ", "_").replace(",", "").replace("%", "percent")}'
  if task == 'vae':
    return Run(task, name, case, Job(config, folder, own), None)
  answered = Job(config, folder, own | {'measure.part': 'dev'})
  if task == 'classifier':
    kept = {key: value for key, value in own.items() if key.startswith('data.') and key not in (
        'data.few_shot', 'data.good')}
    measured = Job(config, Path(f'{folder}_final'), kept | {'classifier': folder, 'measure.part': 'final'}, (answered,))
  else:
    measured = Job(config, Path(f'{folder}_final'), own | {'measure.part': 'final'})
  return Run(task, name, case, answered, measured)


def study(cases: Sequence[Run]) -> Study[list[dict[str, Any]]]:
  """A row per case: what its page says, and what was measured afterwards."""
  jobs = [job for case in cases for job in (case.answered, case.measured) if job]
  return Study('usable_study', jobs, lambda summaries: [_row(case, summaries) for case in cases])


def _row(case: Run, summaries: Summaries) -> dict[str, Any]:
  said = summaries[case.answered.workdir]
  if case.measured is None:
    figures = of_vae(open_vae(case.answered.workdir))
  else:
    after = summaries[case.measured.workdir]
    figures = {'measured': after['found'] - after['false_alarms'] if case.task == 'anomaly' else
               after['balanced_accuracy'], 'defects': None}
  return {'task': case.task, 'set': case.name, 'case': case.case, 'usable': said['usable'], 'reasons': said['reasons'],
          **figures}


def of_vae(vae: VaePredictor) -> dict[str, float | None]:
  """{'measured', 'defects'}: what a VAE is worth on photos of the part final, see above."""
  photos = vae.photos(part='final', few_shot=0, max_broken=1.)
  images, center = photos.images(), np.asarray(vae.normalizer.mean)
  recon = np.asarray(vae.decode(vae.encode(images).mean))
  left = float(np.mean(np.square(images - recon)) / np.mean(np.square(images - center)))
  marked = any(record.annotation for record in photos.records)
  return {'measured': 1 - left,
          'defects': own_size.defects_kept(photos, recon[own_size.rows(photos)], center) if marked else None}


def table(rows: Sequence[Mapping[str, Any]]) -> results.Table:
  """A row per case."""
  def text(value):
    return '–' if value is None else f'{value:.2f}'
  said = {True: 'yes', False: 'no', None: 'not known'}
  return results.Table(['run', 'photos', 'settings', 'usable', 'reasons', 'measured afterwards', 'defects left'], [
      [row['task'], row['set'], row['case'], said[row['usable']], ', '.join(row['reasons']) or '–',
       f'{text(row["measured"])} {_MEASURES[row["task"]]}', text(row['defects'])] for row in rows])


def contrast(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
  """{task: {'usable', 'not usable': mean of what was measured afterwards}} of tasks that have both."""
  means = {}
  for task in _MEASURES:
    of_task = {said: [row['measured'] for row in rows if row['task'] == task and row['usable'] is said]
               for said in (True, False)}
    if all(of_task.values()):
      means[task] = {'usable': float(np.mean(of_task[True])), 'not usable': float(np.mean(of_task[False]))}
  return means


def main(flags: flags.FlagValues) -> None:
  root = Path(flags.root)
  rows = study(runs(Path(flags.data), root, flags.tiny)).run(command.executor(flags.at_once))
  print(table(rows).markdown())
  for task, means in contrast(rows).items():
    print(f'{task}: {_MEASURES[task]} {means["usable"]:.2f} where usable, {means["not usable"]:.2f} where not')
  content = {'rows': rows, 'means': contrast(rows)}
  write_atomic(root / 'usable_study.json', json.dumps(content, indent=2) + '\n')
  if flags.publish:
    results.publish('usable_study', table(rows), content)


if __name__ == '__main__':
  command.run(main, FLAGS)
