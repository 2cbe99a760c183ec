"""A trained inpainting pipeline against simple fillings of the same areas: cut and paste, and biharmonic inpainting.

  python -m experiments.inpaint_fillings --run=runs/inpaint_train

Takes the good areas, masks and held-out real defects of a finished run of configs/inpaint_train.py, fills them in each
way, prints a table of KID, and writes it with a picture to the run's folder fillings/. The biharmonic filling is
scikit-image's (the extra `study`).
"""

import json
from pathlib import Path

import numpy as np
from absl import app, flags

from defect_jax.atomic import write_atomic
from defect_jax.config import UserError
from defect_jax.data import areas
from defect_jax.diffusion import pipeline
from defect_jax.report import grids
from defect_jax.tasks.inpaint_train import material, measures
from defect_jax.training.descent import as_tree
from defect_jax.workdir import Workdir

FLAGS = flags.FLAGS
flags.DEFINE_string('run', None, 'Workdir of a finished run.', required=True)
_SHOWN = 12  # places in the picture


def biharmonic(places):
  """Places filled by scikit-image."""
  from skimage import restoration  # only where it is run
  filled = [restoration.inpaint_biharmonic(image, mark, channel_axis=-1)
            for image, mark in zip(places.images, places.marks, strict=True)]
  return measures.compose(places.images, np.float32(np.clip(filled, 0, 1)), places.marks)


def fillings(workdir, config):
  """(Places, {name: images}, Against) of a run."""
  texts = material.Texts(config)
  train, _ = material.open_lot(config, config.data.part, config.data.few_shot, config.data.areas, flip=True)
  dev, _ = material.open_lot(config, config.measure.part, 0, None, flip=False)
  good, defects = (train.only(lambda label, is_good=is_good: (label == areas.GOOD) == is_good)
                   for is_good in (True, False))
  found = measures.places(good, defects, texts, config.measure.images, config.seed)
  model = pipeline.load(str(workdir.pipeline), config.dtype)
  made = measures.Filler(config, model, texts, found)(as_tree(model.params), len(found.labels))
  by_name = {'the pipeline': made, 'cut and paste': found.pasted(), 'biharmonic': biharmonic(found),
             'nothing, good areas as they are': found.images}
  return found, by_name, measures.Against(config, defects, dev.only(lambda label: label != areas.GOOD))


def main(argv):
  """Prints the table."""
  del argv
  workdir = Workdir(FLAGS.run)
  config, summary = workdir.read_config(), workdir.read_summary()
  if config is None or summary is None or config.task != 'inpaint_train':
    raise UserError(f'--run={FLAGS.run}: holds no finished run of configs/inpaint_train.py')
  found, by_name, against = fillings(workdir, config)
  table = {name: against.kid(made, found.marks) for name, made in by_name.items()}
  table |= {'the pipeline, untrained': (summary['kid_before'], None),
            'real defects that were trained on': (against.kid_of_training, None)}
  print(f'KID of {len(found.labels)} areas against {against.count} real defects of the part {config.measure.part}')
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
  app.run(main)
