"""The thesis's figures on real data, in one command and on one page: an augmented photo, the VAEs, the classifiers.

  python -m experiments.thesis_figures --photos=../shared/data/bsdata/ball_screw

Runs what is not finished yet: `configs/inpaint.py` on --photos (photo with crop and target area, augmented photo,
difference), `experiments.thesis_figure3` (photos, conventional and proposed VAE, and their table) and
`experiments.augmentation_study` (the table of classifiers, all arms), the latter on the part final. Writes index.html
to --root. --tiny tries the command, with the classifiers on the part dev.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from defect_jax.imagesets import manifest
from defect_jax.report import inpaint, page
from defect_jax.sweeps.job import Job
from defect_jax.sweeps.study import Executor
from experiments import augmentation_study, command, thesis_figure3

FLAGS = command.define('runs/thesis_figures', tiny=command.TINY, at_once=True)
flags.DEFINE_string('photos', '../shared/data/bsdata/ball_screw', 'Folder of large photos for the first figure.',
                    flag_values=FLAGS)
flags.DEFINE_string('weights', 'default', 'The pipeline of the first figure, see configs/inpaint.py.',
                    flag_values=FLAGS)
flags.DEFINE_string('defects', 'pitting', 'The defects of the first figure.', flag_values=FLAGS)
flags.DEFINE_string('studies', 'runs', 'Where the studies have their folders thesis_figure3/ and augmentation_study/.',
                    flag_values=FLAGS)
_PHOTOS = 4  # in the first figure


def inpainting(photos: str, defects: str, weights: str, root: Path, tiny: bool) -> Job:
  """Makes the augmented photos of the first figure."""
  return Job(f'configs/inpaint.py{":tiny" * tiny}', root / 'inpaint',
             {'photos': photos, 'split': 'hash', 'defects': defects, 'count': _PHOTOS}
             | ({} if tiny else {'weights': weights}))


def augmented(job: Job, model: str) -> Iterator[page.Figure]:
  """Figures of photos, what was made of them and the difference."""
  caption = (f'By {model}. Left the photo with crop (orange) and target area (red), in the middle the augmented photo, '
             'on the right their difference.')
  for made in manifest.read(job.workdir / 'set'):
    drawn = inpaint.figure(job.workdir / 'set', Path(job.settings['photos']), made)
    yield page.Figure(made.source, page.png(drawn), caption)


def vaes(outcomes: Mapping[str, Mapping[str, Any]], root: Path) -> tuple[page.Figure, page.Table]:
  """The figure and the table of the conventional and the proposed VAE."""
  names = list(next(iter(outcomes.values()))['final'])
  rows = [(name, f'{outcome["setting"]:g}', *('{:.3g} ± {:.2g}'.format(*outcome['final'][key]) for key in names))
          for name, outcome in outcomes.items()]
  figure = page.Figure('Conventional and proposed VAE', page.png(root / 'figure3.png'), 'Photos; reconstructions '
                       'and prior samples of the conventional VAE; the same of the proposed.')
  return figure, page.Table(rows, ['method, sampler', 'setting', *_words(names)])


def classifiers(arms: Sequence[Mapping[str, Any]], root: Path, part: str) -> tuple[list[page.Figure], page.Table]:
  """The figures and the table of the study of classifiers."""
  names = list(arms[0]['figures'])
  rows = [(f'{row["set"]}, {row["photos"] or "all"} photos, {row["arm"]}',
           *(f'{row["figures"][key]:.3f}' for key in names),
           row['differences']['balanced_accuracy']['verdict'] if 'differences' in row else '–')
          for row in arms]
  figures = [page.Figure(f'Against classic augmentation: {name}', page.png(root / f'{part}_{name}.png'))
             for name in dict.fromkeys(row['set'] for row in arms)]
  return figures, page.Table(rows, ['set and arm', *_words(names), 'against +classic'])


def run_vaes(studies: Path, tiny: bool, execute: Executor) -> tuple[page.Figure, page.Table]:
  """As `vaes`; runs the study, which takes moments where its jobs are finished."""
  budget = thesis_figure3.Budget(studies / f'thesis_figure3{"_tiny" * tiny}', tiny=tiny)
  return vaes(thesis_figure3.run(thesis_figure3.SEEDS, budget, execute), budget.root)


def run_classifiers(studies: Path, tiny: bool, execute: Executor) -> tuple[list[page.Figure], page.Table]:
  """As `classifiers`; runs the study likewise."""
  plan = augmentation_study.Plan(studies / f'augmentation_study{"_tiny" * tiny}', studies, 'final')
  if tiny:
    plan = augmentation_study.tiny(dataclasses.replace(plan, part='dev', arms=augmentation_study.TINY_ARMS))
  return classifiers(augmentation_study.run(plan, execute), plan.root, plan.part)


def _words(names):
  return [name.replace('_', ' ') for name in names]


def main(flags: flags.FlagValues) -> None:
  root, studies, execute = Path(flags.root), Path(flags.studies), command.executor(flags.at_once)
  root.mkdir(parents=True, exist_ok=True)
  job = inpainting(flags.photos, flags.defects, flags.weights, root, flags.tiny)
  first = list(augmented(job, execute([job])[job.workdir]['model']))
  vae_figure, vae_table = run_vaes(studies, flags.tiny, execute)
  arm_figures, arm_table = run_classifiers(studies, flags.tiny, execute)
  page.write(root / 'index.html', "The thesis's figures on real data", [
      page.Section('An augmented photo', [page.Figures(first, large=True)]),
      page.Section('Variational autoencoders', [page.Figures([vae_figure], large=True), vae_table]),
      page.Section('Defect classifiers', [page.Figures(arm_figures, large=True), arm_table])])
  print(root / 'index.html')


if __name__ == '__main__':
  command.run(main, FLAGS)
