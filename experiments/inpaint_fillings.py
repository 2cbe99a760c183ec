"""A trained inpainting pipeline against simple fillings of the same areas: cut and paste, and biharmonic inpainting.

  python -m experiments.inpaint_fillings --run=runs/inpaint_train

Takes the good areas, masks and held-out real defects of a finished run of configs/inpaint_train.py, fills them in each
way, prints a table of KID, and writes it with a picture to the run's folder fillings/. The biharmonic filling is
scikit-image's (the extra `study`).
"""

import json
import types
from pathlib import Path
from unittest import mock

import numpy as np
from absl import flags
from scipy import ndimage

from defect_jax.report import grids
from defect_jax.runs.atomic import write_atomic
from defect_jax.tasks.inpaint_train import measures
from experiments import command, inpaint_runs

FLAGS = flags.FLAGS
flags.DEFINE_string('run', None, 'Workdir of a finished run.', required=True)
_SHOWN = 12  # places in the picture


def biharmonic(places):
  """Places filled by scikit-image."""
  from skimage.restoration import inpaint  # only where it is run

  def convolve(mask, weights, **settings):
    return ndimage.convolve(np.uint8(mask), np.uint8(weights), **settings)

  # scikit-image counts neighbours by a convolution of truth values, which scipy 1.17 gets wrong.
  with mock.patch.object(inpaint, 'ndi', types.SimpleNamespace(convolve=convolve, label=ndimage.label)):
    filled = [inpaint.inpaint_biharmonic(image, mark, channel_axis=-1)
              for image, mark in zip(places.images, places.marks, strict=True)]
  return measures.compose(places.images, np.float32(np.clip(filled, 0, 1)), places.marks)


def fillings(run):
  """{name: images} of a Finished run's places."""
  found = run.places
  return {'the pipeline': run.filled(), 'cut and paste': found.pasted(), 'biharmonic': biharmonic(found),
          'nothing, good areas as they are': found.images}


def main(argv):
  """Prints the table."""
  del argv
  command.check_installed('skimage', 'study')
  run = inpaint_runs.Finished(FLAGS.run)
  found, by_name, against = run.places, fillings(run), run.against()
  table = {name: against.kid(made, found.marks) for name, made in by_name.items()}
  table |= {'the pipeline, untrained': (run.summary['kid_before'], None),
            'real defects that were trained on': (against.kid_of_training, None)}
  print(f'KID of {len(found.labels)} areas against {against.count} real defects of the part {run.config.measure.part}')
  for name, (kid, interval) in table.items():
    between = '' if interval is None else f'  ({interval[0]:.2f} to {interval[1]:.2f})'
    print(f'{name:36s} {"–" if kid is None else f"{kid:.3f}"}{between}')
  folder = Path(FLAGS.run) / 'fillings'
  folder.mkdir(exist_ok=True)
  hidden = np.where(found.marks[:_SHOWN, ..., None], 0.5, found.images[:_SHOWN])
  shown = [of[:_SHOWN] for name, of in by_name.items() if not name.startswith('nothing')]
  grids.write_png(folder / 'fillings.png', grids.grid([hidden, *shown, found.donors[:_SHOWN]]))
  write_atomic(folder / 'fillings.json', json.dumps(table, indent=2) + '\n')


if __name__ == '__main__':
  command.run(main)
