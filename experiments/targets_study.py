"""Are both losses at their targets, whatever the seed and the photos? One run per cell, all by one config.

  python -m experiments.targets_study --seeds=10                                    solar cells, 10 seeds
  python -m experiments.targets_study --cells=photos --data=../shared/data          magnetic_tile and bsdata
  python -m experiments.targets_study --config=configs/vae_joint.py --seeds=3       conventional training beside it

Finished cells are not run again. Prints a table and writes it as JSON beside the runs. --tiny makes all cells small, to
try the command itself.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import flags

from defect_jax.runs.atomic import write_atomic
from defect_jax.sweeps.job import Job, Summary
from defect_jax.sweeps.study import Study
from experiments import command, results

FLAGS = command.define('runs/targets_study', data='../shared/data', tiny="Use the config's tiny variant.", at_once=True,
                       publish=True)
flags.DEFINE_string('config', 'configs/vae_split.py', 'Config of every cell.', flag_values=FLAGS)
flags.DEFINE_enum('cells', 'seeds', ['seeds', 'photos'], 'Seeds of the default job, or other photos with seed 0.',
                  flag_values=FLAGS)
flags.DEFINE_integer('seeds', 10, 'How many seeds; each also redraws the photos.', lower_bound=1, flag_values=FLAGS)

_PHOTOS = {'magnetic_tile/magnetic_tile': ('blowhole', 'crack', 'break'), 'bsdata/ball_screw': ('pitting',)}
_REGIONS = 'mask', 'full'
_COLUMNS = ('kld', 'kld_ripple', 'mse', 'mse_ripple', 'steps_to_targets', 'active_units', 'detail_kept', 'dev_mse')
_METHODS = {'vae_split': '', 'vae_joint': ', conventional training'}


def seed_cells(seeds: int) -> dict[str, dict[str, Any]]:
  """{cell: settings}, one per seed."""
  return {f'seed_{seed}': {'seed': seed} for seed in range(seeds)}


def photo_cells(data: Path) -> dict[str, dict[str, Any]]:
  """{cell: settings}, one per kind of defect and region."""
  return {f'{defect}_{region}': {'data.source': 'folder', 'data.path': data / folder, 'data.defects': defect,
                                 'data.split': 'hash', 'data.few_shot': 25, 'data.region': region}
          for folder, defects in _PHOTOS.items() for defect in defects for region in _REGIONS}


def study(name: str, config: str, cells: Mapping[str, Mapping[str, Any]], root: Path) -> Study[dict[str, Summary]]:
  """{cell: summary} of runs of a config in folders below root."""
  jobs = {cell: Job(config, root / cell, settings) for cell, settings in cells.items()}
  return Study(name, list(jobs.values()),
               lambda summaries: {cell: summaries[job.workdir] for cell, job in jobs.items()})


def at_targets(summary: Summary) -> bool:
  """Whether both losses came to their targets and stayed, with the KLD steady and nothing collapsed."""
  return summary['steps_to_targets'] is not None and summary['kld_ripple'] <= 0.05 and not summary['collapsed']


def table(summaries: Mapping[str, Summary]) -> results.Table:
  """A row per cell, MSE as a share of its target."""
  rows = []
  for name, summary in summaries.items():
    shown = summary | {'mse': f'{summary["mse"] / summary["mse_target"]:.3f} of target'}
    values = [f'{shown[c]:.4g}' if isinstance(shown[c], float) else str(shown[c]) for c in _COLUMNS]
    rows.append([name, 'yes' if at_targets(summary) else 'no', *values])
  return results.Table(['cell', 'at the targets', *_COLUMNS], rows)


def published(summaries: Mapping[str, Summary], method: str) -> results.Table:
  """The table of docs/results.md: one row for all seeds, or one per kind of defect, with both regions in a cell."""
  columns = ['photos', 'runs at both targets', 'from step', 'KLD (target 16)', 'MSE / target', 'detail kept']
  if all(name.startswith('seed_') for name in summaries):
    every, count = list(summaries.values()), sum(map(at_targets, summaries.values()))
    words = f'solar cells, seeds 0 to {len(every) - 1}{method}'
    return results.Table(columns, [[words, f'{count} of {len(every)}', *map(_range, zip(*map(_figures, every),
                                                                                        strict=True))]])
  rows = []
  for defect in (defect for defects in _PHOTOS.values() for defect in defects):
    both = [summaries[f'{defect}_{region}'] for region in _REGIONS]
    words = f'{defect}{method}, ' + ('likewise' if rows else 'square around the mask / whole photo')
    rows.append([words, ' / '.join('yes' if at_targets(summary) else 'no' for summary in both),
                 *(' / '.join(map(_text, pair)) for pair in zip(*map(_figures, both), strict=True))])
  return results.Table(columns, rows)


def _figures(summary):
  return (summary['steps_to_targets'], summary['kld'], summary['mse'] / summary['mse_target'], summary['detail_kept'])


def _range(values):
  known = [value for value in values if value is not None]
  return f'{_text(min(known))} to {_text(max(known))}' if known else _text(None)


def _text(value):
  return 'never' if value is None else str(value) if isinstance(value, int) else f'{value:.2f}'


def main(flags: flags.FlagValues) -> None:
  stem, root = Path(flags.config).stem, Path(flags.root)
  cells = seed_cells(flags.seeds) if flags.cells == 'seeds' else photo_cells(Path(flags.data))
  run = study(f'targets_study_{stem}_{flags.cells}', flags.config + ':tiny' * flags.tiny, cells, root / stem)
  summaries = run.run(command.executor(flags.at_once))
  print(table(summaries).markdown())
  reached = sum(map(at_targets, summaries.values()))
  print(f'{reached} of {len(summaries)} at their targets')
  content = {'at_targets': reached, 'cells': summaries}
  write_atomic(root / f'{stem}_{flags.cells}.json', json.dumps(content, indent=2) + '\n')
  if flags.publish:
    results.publish(run.name, published(summaries, _METHODS.get(stem, f', {stem}')), content)


if __name__ == '__main__':
  command.run(main, FLAGS)
