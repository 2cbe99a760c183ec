"""Are both losses at their targets, whatever the seed and the photos? A run a cell, all by one config.

  python -m experiments.targets_study --seeds=10                                    solar cells, 10 seeds
  python -m experiments.targets_study --cells=photos --data=../shared/data          magnetic_tile and bsdata
  python -m experiments.targets_study --config=configs/vae_joint.py                 the conventional training beside it

Cells that are finished are not run again. Prints a table and writes it as JSON beside the runs. --tiny makes all cells
small, to try the command itself.
"""

import json
from pathlib import Path

from absl import flags

from defect_jax.runs.atomic import write_atomic
from defect_jax.sweeps import jobs
from experiments import command

FLAGS = flags.FLAGS
flags.DEFINE_string('config', 'configs/vae_split.py', 'Config of every cell.')
flags.DEFINE_enum('cells', 'seeds', ['seeds', 'photos'], 'Seeds of the default job, or other photos with seed 0.')
flags.DEFINE_integer('seeds', 10, 'How many seeds; each also redraws the photos.', lower_bound=1)
flags.DEFINE_string('data', '../shared/data', 'Folder of magnetic_tile/ and bsdata/.')
flags.DEFINE_string('root', 'runs/targets_study', 'Folder of the runs.')
flags.DEFINE_boolean('tiny', False, "Use the config's tiny variant.")

_PHOTOS = {'magnetic_tile/magnetic_tile': ('blowhole', 'crack', 'break'), 'bsdata/ball_screw': ('pitting',)}
_COLUMNS = ('kld', 'kld_ripple', 'mse', 'mse_ripple', 'steps_to_targets', 'active_units', 'detail_kept', 'dev_mse')


def cells():
  """{name: settings} of the runs."""
  if FLAGS.cells == 'seeds':
    return {f'seed_{seed}': {'seed': seed} for seed in range(FLAGS.seeds)}
  return {f'{defect}_{region}': {'data.source': 'folder', 'data.path': Path(FLAGS.data) / folder,
                                 'data.defects': defect, 'data.region': region}
          for folder, defects in _PHOTOS.items() for defect in defects for region in ('mask', 'full')}


def at_targets(summary):
  """Whether both losses came to their targets and stayed, with the KLD steady and nothing collapsed."""
  return summary['steps_to_targets'] is not None and summary['kld_ripple'] <= 0.05 and not summary['collapsed']


def table(results):
  """Lines of a table in Markdown, MSE as a share of its target."""
  yield f'| cell | at the targets | {" | ".join(_COLUMNS)} |'
  yield '|---' * (2 + len(_COLUMNS)) + '|'
  for name, summary in results.items():
    shown = summary | {'mse': f'{summary["mse"] / summary["mse_target"]:.3f} of target'}
    values = [f'{shown[c]:.4g}' if isinstance(shown[c], float) else str(shown[c]) for c in _COLUMNS]
    yield f'| {name} | {"yes" if at_targets(summary) else "no"} | {" | ".join(values)} |'


def main(_):
  config, root = FLAGS.config + (':tiny' if FLAGS.tiny else ''), Path(FLAGS.root) / Path(FLAGS.config).stem
  results = {name: jobs.run(config, root / name, settings) for name, settings in cells().items()}
  print('\n'.join(table(results)))
  reached = sum(map(at_targets, results.values()))
  print(f'{reached} of {len(results)} at their targets')
  file = Path(FLAGS.root) / f'{Path(FLAGS.config).stem}_{FLAGS.cells}.json'
  write_atomic(file, json.dumps({'at_targets': reached, 'cells': results}, indent=2) + '\n')


if __name__ == '__main__':
  command.run(main)
