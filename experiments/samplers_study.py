"""Which sampler makes the best new images from a trained VAE: realism, novelty, copies and speed.

  python -m experiments.samplers_study --vae=runs/vae_sharp

Makes 1,000 images by each sampler and temperature, measures them on the part dev, and prints a table, which is also
written as JSON beside the runs, with a picture of the first images of each. Finished cells are not run again.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from absl import flags
from jaxtyping import Shaped

from defect_jax.augmentation import samplers
from defect_jax.imagesets import manifest, writer
from defect_jax.report import grids
from defect_jax.runs.atomic import write_atomic
from defect_jax.sweeps.job import Job, Summary
from defect_jax.sweeps.study import Study
from experiments import command, results

FLAGS = command.define('runs/samplers_study', at_once=True, publish=True)
flags.DEFINE_string('vae', None, 'Workdir of a trained VAE.', required=True, flag_values=FLAGS)
flags.DEFINE_integer('count', 1000, 'Images of each cell.', lower_bound=2, flag_values=FLAGS)
flags.DEFINE_list('temperatures', ['1.0'], 'Temperatures of each sampler.', flag_values=FLAGS)

_SHOWN = 9  # images of each cell in the picture
_COLUMNS = {'kid': 'KID (95 % interval)', 'novelty': 'novelty', 'memorised_fraction': 'memorised',
            'diversity': 'diversity', 'images_per_second': 'images/s'}


def study(vae: Path, temperatures: Sequence[str], count: int, root: Path) -> Study[dict[str, Summary]]:
  """{'sampler, temperature': summary}."""
  jobs = {f'{name}, {temperature}': Job(f'configs/generate.py:{name}', root / f'{name}_{temperature}',
                                        {'vae': vae, 'count': count, 'sampler.temperature': temperature})
          for name in samplers.NAMES for temperature in temperatures}
  return Study('samplers_study', list(jobs.values()),
               lambda summaries: {cell: summaries[job.workdir] for cell, job in jobs.items()})


def first_images(root: Path) -> list[Shaped[np.ndarray, 'h w c']]:
  """The first images of a made set, not chosen."""
  return [writer.read_image(root / image.file) for image in manifest.read_manifest(root)[:_SHOWN]]


def table(summaries: Mapping[str, Summary], leave_out: Sequence[str] = ()) -> results.Table:
  """A row per cell; leave_out: figures that are not shown."""
  shown = [figure for figure in _COLUMNS if figure not in leave_out]
  single = len({name.partition(', ')[2] for name in summaries}) == 1  # temperature
  rows = [[name.partition(', ')[0] if single else name, *(_text(summary, figure) for figure in shown)]
          for name, summary in summaries.items()]
  return results.Table(['sampler' if single else 'sampler, temperature', *(_COLUMNS[figure] for figure in shown)], rows)


def _text(summary, figure):
  if (value := summary[figure]) is None:
    return '–'
  if figure == 'images_per_second':
    return f'{value:.0f}'
  return f'{value:.2f}' + (' ({:.2f} to {:.2f})'.format(*summary['kid_ci']) if figure == 'kid' else '')


def main(flags: flags.FlagValues) -> None:
  root = Path(flags.root)
  run = study(Path(flags.vae), flags.temperatures, flags.count, root)
  summaries = run.run(command.executor(flags.at_once))
  print(table(summaries).markdown())
  floor = next(iter(summaries.values()))['kid_of_training']
  if floor is not None:
    print(f'KID of the training photos themselves: {floor:.3g}')
  write_atomic(root / 'samplers_study.json', json.dumps(summaries, indent=2) + '\n')
  grids.write_png(root / 'samplers_study.png', grids.grid([first_images(job.workdir / 'set') for job in run.jobs]))
  if flags.publish:
    published = table(summaries, leave_out=['images_per_second'])  # differs with the machine, as its JSON says
    results.publish(run.name, published, summaries)


if __name__ == '__main__':
  command.run(main, FLAGS)
