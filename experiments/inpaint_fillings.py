"""A trained inpainting pipeline against simple fillings of the same areas: cut and paste, and biharmonic inpainting.

  python -m experiments.inpaint_fillings --run=runs/inpaint_train

Takes the good areas, masks and held-out real defects of a finished run of configs/inpaint_train.py, fills them in each
way, prints a table of KID, and writes it with a picture to the run's folder fillings/. The biharmonic filling is
scikit-image's (the extra `study`).
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from absl import flags
from jaxtyping import Float, UInt8

from defect_jax.diffusion.places import Places, compose
from defect_jax.report import grids
from defect_jax.runs.atomic import write_atomic
from experiments import command, inpaint_runs, results

FLAGS = command.define(publish=True)
flags.DEFINE_string('run', None, 'Workdir of a finished run.', required=True, flag_values=FLAGS)
_SHOWN = 12  # places in the picture
_NOTHING = 'nothing: good areas as they are'

Kid = tuple[float | None, tuple[float, float] | None]  # and its 95 % interval


def biharmonic(places: Places) -> Float[np.ndarray, 'n s s 3']:
  """Places filled by scikit-image."""
  from skimage.restoration import inpaint  # only where it is run

  filled = [inpaint.inpaint_biharmonic(image, mask, channel_axis=-1)
            for image, mask in zip(places.images, places.masks, strict=True)]
  return compose(places.images, np.float32(np.clip(filled, 0, 1)), places.masks)


def fillings(run: inpaint_runs.Finished) -> dict[str, Float[np.ndarray, 'n s s 3']]:
  """Images of a finished run's places, by what they are filled with."""
  return {'the pipeline': run.filled(), 'defects cut and pasted': run.places.pasted(),
          'biharmonic inpainting': biharmonic(run.places), _NOTHING: run.places.images}


def kids(run: inpaint_runs.Finished, images: Mapping[str, Float[np.ndarray, 'n s s 3']]) -> dict[str, Kid]:
  """KID and its interval of each filling, and of what there is to compare with."""
  against = run.against()
  figures = {name: against.kid(made, run.places.masks) for name, made in images.items()}
  return figures | {'the pipeline before any training': (run.summary['kid_before'], None),
                  'real defects that were trained on': (against.kid_of_training, None)}


def table(figures: Mapping[str, Kid], count: int) -> results.Table:
  """A row per filling."""
  rows = [[name, '–' if kid is None else f'{kid:.3f}' + (' ({:.2f} to {:.2f})'.format(*interval) if interval else '')]
          for name, (kid, interval) in figures.items()]
  return results.Table(['areas filled by', f'KID (95 %) against {count} held-out areas of defects'], rows)


def picture(run: inpaint_runs.Finished,
            images: Mapping[str, Float[np.ndarray, 'n s s 3']]) -> UInt8[np.ndarray, 'h w 3']:
  """The places with their masks greyed out, a row for each filling, and the real defects."""
  places = run.places
  hidden = np.where(places.masks[:_SHOWN, ..., None], 0.5, places.images[:_SHOWN])
  shown = [made[:_SHOWN] for name, made in images.items() if name != _NOTHING]
  return grids.grid([hidden, *shown, places.donors[:_SHOWN]])


def main(flags: flags.FlagValues) -> None:
  command.check_installed('skimage', 'study')
  run = inpaint_runs.Finished(flags.run)
  images = fillings(run)
  figures = kids(run, images)
  shown = table(figures, run.against().count)
  print(f'{len(run.places.labels)} areas, real defects of the part {run.config.measure.part}\n{shown.markdown()}')
  folder = Path(flags.run) / 'fillings'
  folder.mkdir(exist_ok=True)
  grids.write_png(folder / 'fillings.png', picture(run, images))
  write_atomic(folder / 'fillings.json', json.dumps(figures, indent=2) + '\n')
  if flags.publish:
    results.publish(f'inpaint_fillings_{run.config.data.source}', shown, figures)


if __name__ == '__main__':
  command.run(main, FLAGS)
