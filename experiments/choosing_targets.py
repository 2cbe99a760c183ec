"""What an MSE target keeps and loses of real defects, and what a KLD target does to new images: pictures and a table.

  python -m experiments.choosing_targets

Trains one VAE per target on 25 solar cells with defects, the other target as in configs/vae_split.py, seed 0. Writes
targets_mse.png (photos and their reconstructions) and targets_kld.png (samples of the prior below the photos) to
--root, and by --publish to docs/ as well. Finished runs are not run again; --tiny tries the command.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from jaxtyping import UInt8

from defect_jax.config import ROOT
from defect_jax.report import grids
from defect_jax.runs.atomic import write_atomic
from defect_jax.sweeps.job import Job, Summary
from defect_jax.sweeps.study import Study
from defect_jax.trained.vae import open_vae
from experiments import command, results

FLAGS = command.define('runs/choosing_targets', tiny=command.TINY, at_once=True, publish=True)

MSE, KLD = 'targets.mse_of_variance', 'targets.kld'
VALUES = {MSE: (0.3, 0.1, 0.03, 0.015, 0.004), KLD: (4.0, 8.0, 16.0, 32.0, 64.0)}
_NAMES = {MSE: 'mse', KLD: 'kld'}
_SHOWN = 8

Cell = tuple[str, float]  # key, value


def study(root: Path, tiny: bool) -> Study[dict[Cell, Summary]]:
  """{(key, value): summary} of a VAE per target."""
  jobs = {(key, value): Job(f'configs/vae_split.py{":tiny" * tiny}', root / f'{_NAMES[key]}_{value:g}', {key: value})
          for key, values in VALUES.items() for value in values}
  return Study('choosing_targets', list(jobs.values()),
               lambda summaries: {cell: summaries[job.workdir] for cell, job in jobs.items()})


def picture(key: str, workdirs: Mapping[float, Path]) -> UInt8[np.ndarray, 'h w 3']:
  """The photos with the most contrast, and a row per target: their reconstructions, or, of the KLD, samples."""
  rows, names = [], []
  for value, workdir in workdirs.items():
    vae = open_vae(workdir)
    images = vae.photos().images()
    photos = images[np.argsort(-images.std((1, 2, 3)), kind='stable')[:_SHOWN]]
    z = vae.encode(photos).mean if key == MSE else jax.random.normal(jax.random.key(1), (_SHOWN, vae.vae.latent))
    rows += [] if rows else [photos]
    rows.append(np.asarray(jax.jit(vae.decode)(z)))
    names.append(f'MSE {100 * value:g} %' if key == MSE else f'KLD {value:g}')
  grid = grids.grid(rows)
  return grids.with_names(np.repeat(grid[..., None], 3, -1) if grid.ndim == 2 else grid, ['photos', *names])


def table(summaries: Mapping[Cell, Summary]) -> results.Table:
  """A row per target: what is kept, how far samples are from the photos, and how much worse held-out photos are."""
  def text(value: Any, digits: int = 2) -> str:
    return '–' if value is None else f'{value:.{digits}f}'
  return results.Table(
      ['target', 'at both targets', 'fine detail kept', 'of the photo at its own size', 'new images: distance',
       'held-out / training error'],
      [[f'MSE {100 * value:g} % of the variance' if key == MSE else f'KLD {value:g} nats',
        'no' if summary['steps_to_targets'] is None else 'yes', text(summary['detail_kept']),
        text(summary['detail_kept_photo']), text(summary['sample_distance']), text(summary['known_ratio'], 1)]
       for (key, value), summary in summaries.items()])


def draw(root: Path, folders: Sequence[Path]) -> None:
  """Writes both pictures to each of some folders."""
  for key, values in VALUES.items():
    drawn = picture(key, {value: root / f'{_NAMES[key]}_{value:g}' for value in values})
    for folder in folders:
      grids.write_png(folder / f'targets_{_NAMES[key]}.png', drawn)


def main(flags: flags.FlagValues) -> None:
  root = Path(flags.root)
  summaries = study(root, flags.tiny).run(command.executor(flags.at_once))
  print(table(summaries).markdown())
  draw(root, [root, ROOT / 'docs'] if flags.publish else [root])
  figures = {f'{_NAMES[key]}_{value:g}': summary for (key, value), summary in summaries.items()}
  write_atomic(root / 'choosing_targets.json', json.dumps(figures, indent=2) + '\n')
  if flags.publish:
    results.publish('choosing_targets', table(summaries), figures)


if __name__ == '__main__':
  command.run(main, FLAGS)
