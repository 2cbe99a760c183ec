"""Which sampler makes the best new images from a trained VAE: realism, novelty, copies and speed.

  python -m experiments.samplers_study --vae=runs/vae_sharp

Makes 1,000 images by each sampler and temperature, measures them on the dev part, and prints a table, which is also
written as JSON beside the runs, with a picture of the first images of each. Cells that are finished are not run again.
"""

import json
from pathlib import Path

from absl import flags

from defect_jax.augmentation import samplers
from defect_jax.imagesets import manifest, writer
from defect_jax.report import grids
from defect_jax.runs.atomic import write_atomic
from defect_jax.sweeps import jobs
from experiments import command

FLAGS = flags.FLAGS
flags.DEFINE_string('vae', None, 'Workdir of a trained VAE.', required=True)
flags.DEFINE_string('root', 'runs/samplers_study', 'Folder of the runs.')
flags.DEFINE_integer('count', 1000, 'Images of each cell.', lower_bound=2)
flags.DEFINE_list('temperatures', ['1.0'], 'Temperatures of each sampler.')

_SHOWN = 9  # images of each cell in the picture
_COLUMNS = ('kid', 'novelty', 'memorised_fraction', 'diversity', 'images_per_second')


def folder(name, temperature):
  return Path(FLAGS.root) / f'{name}_{temperature}'


def run(name, temperature):
  """Summary of a cell."""
  return jobs.run(f'configs/generate.py:{name}', folder(name, temperature),
                  {'vae': FLAGS.vae, 'count': FLAGS.count, 'sampler.temperature': temperature})


def first_images(root):
  """The first images of a made set, not chosen."""
  return [writer.read_image(root / image.file) for image in manifest.read_manifest(root)[:_SHOWN]]


def table(results):
  """Lines of a table in Markdown."""
  yield f'| sampler, temperature | {" | ".join(_COLUMNS)} | kid_ci |'
  yield '|---' * (2 + len(_COLUMNS)) + '|'
  for name, summary in results.items():
    values = ['–' if summary[c] is None else f'{summary[c]:.3g}' for c in _COLUMNS]
    interval = '–' if summary['kid_ci'] is None else '{:.2f} to {:.2f}'.format(*summary['kid_ci'])
    yield f'| {name} | {" | ".join(values)} | {interval} |'


def main(_):
  cells = [(name, temperature) for name in samplers.NAMES for temperature in FLAGS.temperatures]
  results = {f'{name}, {temperature}': run(name, temperature) for name, temperature in cells}
  print('\n'.join(table(results)))
  floor = next(iter(results.values()))['kid_of_training']
  if floor is not None:
    print(f'KID of the training photos themselves: {floor:.3g}')
  write_atomic(Path(FLAGS.root) / 'samplers_study.json', json.dumps(results, indent=2) + '\n')
  rows = [first_images(folder(*cell) / 'set') for cell in cells]
  grids.write_png(Path(FLAGS.root) / 'samplers_study.png', grids.grid(rows))


if __name__ == '__main__':
  command.run(main)
