"""The thesis's figures on real data, in one command and on one page: an augmented photo, the VAEs, the classifiers.

  python -m experiments.thesis_figures --photos=../shared/data/bsdata/ball_screw

Runs what is not finished yet: `configs/inpaint.py` on --photos (photo with crop and target area, augmented photo,
difference), `experiments.thesis_figure3` (photos, conventional and proposed VAE, and their table) and
`experiments.augmentation_study` (the table of classifiers, all arms), the latter on the part final. Writes index.html
to --root. --tiny tries the command, with the classifiers on the part dev.
"""

import json
from pathlib import Path

from absl import flags

from defect_jax.imagesets import manifest
from defect_jax.report import inpaint, page
from defect_jax.sweeps import jobs
from experiments import command

FLAGS = flags.FLAGS
flags.DEFINE_string('photos', '../shared/data/bsdata/ball_screw', 'Folder of large photos for the first figure.')
flags.DEFINE_string('weights', 'default', 'The pipeline of the first figure, as of configs/inpaint.py.')
flags.DEFINE_string('defects', 'pitting', 'The defects of the first figure.')
flags.DEFINE_string('studies', 'runs', 'Where the studies have their folders thesis_figure3/ and augmentation_study/.')
flags.DEFINE_string('root', 'runs/thesis_figures', 'Folder of the page.')
flags.DEFINE_integer('at_once', None, 'Jobs that run side by side, with a share of the CPUs each; unless given, what '
                     'the studies take.', lower_bound=1)
flags.DEFINE_boolean('tiny', False, 'Tiny jobs, to try the command.')
_PHOTOS = 4  # in the first figure


def augmented():
  """Figures of photos, what was made of them and the difference."""
  workdir = Path(FLAGS.root) / 'inpaint'
  summary = jobs.run(f'configs/inpaint.py{":tiny" * FLAGS.tiny}', workdir,
                     {'photos': FLAGS.photos, 'defects': FLAGS.defects, 'count': _PHOTOS}
                     | ({} if FLAGS.tiny else {'weights': FLAGS.weights}))
  caption = (f'By {summary["model"]}. Left the photo with crop (orange) and target area (red), in the middle the '
             'augmented photo, on the right their difference.')
  for made in manifest.read(workdir / 'set'):
    drawn = inpaint.figure(workdir / 'set', Path(FLAGS.photos), made)
    yield page.Figure(made.source, page.png(drawn), caption)


def study(name, *more):
  """Folder of a study's results; runs it, which takes moments where its jobs are finished."""
  root = Path(FLAGS.studies) / f'{name}{"_tiny" * FLAGS.tiny}'
  given = [f'--at_once={FLAGS.at_once}'] if FLAGS['at_once'].present else []  # else the study's own default
  jobs.module(f'experiments.{name}', f'--root={root}', *given, *more, *(['--tiny'] if FLAGS.tiny else []))
  return root


def vaes():
  """(figure, names of columns, rows) of the conventional and the proposed VAE."""
  root = study('thesis_figure3')
  found = json.loads((root / 'figure3.json').read_text())
  names = list(next(iter(found.values()))['final'])
  rows = [(name, f'{of["setting"]:g}', *('{:.3g} ± {:.2g}'.format(*of['final'][key]) for key in names))
          for name, of in found.items()]
  figure = page.Figure('Conventional and proposed VAE', page.png_file(root / 'figure3.png'), 'Photos; reconstructions '
                       'and prior samples of the conventional VAE; the same of the proposed.')
  return figure, ['method, sampler', 'setting', *_words(names)], rows


def classifiers():
  """(figures, names of columns, rows) of the study of classifiers."""
  part = 'dev' if FLAGS.tiny else 'final'
  root = study('augmentation_study', f'--part={part}')
  found = json.loads((root / f'{part}.json').read_text())
  names = list(found[0]['figures'])
  rows = [(f'{row["set"]}, {row["photos"] or "all"} photos, {row["arm"]}',
           *(f'{row["figures"][key]:.3f}' for key in names),
           row['differences']['balanced_accuracy']['verdict'] if 'differences' in row else '–')
          for row in found]
  figures = [page.Figure(f'Against classic augmentation: {name}', page.png_file(root / f'{part}_{name}.png'))
             for name in dict.fromkeys(row['set'] for row in found)]
  return figures, ['set and arm', *_words(names), 'against +classic'], rows


def _words(names):
  return [name.replace('_', ' ') for name in names]


def main(_):
  path = Path(FLAGS.root) / 'index.html'
  path.parent.mkdir(parents=True, exist_ok=True)
  first = list(augmented())
  of_vaes, vae_names, vae_rows = vaes()
  of_arms, arm_names, arm_rows = classifiers()
  page.write(path, "The thesis's figures on real data", [
      page.Section('An augmented photo', [page.Figures(first, large=True)]),
      page.Section('Variational autoencoders', [page.Figures([of_vaes], large=True), page.Table(vae_rows, vae_names)]),
      page.Section('Defect classifiers', [page.Figures(of_arms, large=True), page.Table(arm_rows, arm_names)])])
  print(path)


if __name__ == '__main__':
  command.run(main)
