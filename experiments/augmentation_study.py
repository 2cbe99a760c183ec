"""Does a defect classifier that has few real photos get better by made images?

  python -m experiments.augmentation_study                      the primary comparison's cells, on the dev part
  python -m experiments.augmentation_study --part=final         and on the final part, which nothing was chosen on
  python -m experiments.augmentation_study --arms=+classic,+cutpaste --photos=10,50 --ratios=0.5,2,5     further cells
  python -m experiments.augmentation_study --arms=+classic,+vae_split --candidates=1,8   without filter, and best of 8
  python -m experiments.augmentation_study --sets=magnetic_tile --model=vgg16
  python -m experiments.augmentation_study --tiny               a minute or two, to try the command

PRIMARY COMPARISON, written down before it was run: solar cells (ELPV, mono), 25 real defective photos of the pool with
all its good ones, ratio of made to real defective photos 1, 5 seeds, which also redraw the 25 photos; balanced accuracy
on the final part; every arm against `+classic`, paired by seed and photo. An arm is called better where the 95 %
interval of its mean difference (bootstrap over seeds and photos) lies above 0. The best arm with made images is to be
better by 3 points. Settings of classifier and generators are chosen on dev; final is opened once.

Arms: `real` (no augmentation), `+classic` (flips, turns, shifts, brightness, contrast), and on top of the latter made
images: `+cutpaste` (pieces of the defective photos on good ones), `+vae_joint` (conventional VAE, prior), `+vae_split`
(E1, E2, D; mosaics), `+inpaint` (a latent diffusion trained from scratch on the cell's photos), `+vae_split+inpaint`
(half each). Where --photos lists several numbers, `+classic` of the others is compared with that of the first: what as
many real photos would have given. Where several photos show one workpiece (magnetic tiles), the bootstrap draws
workpieces. Each generator is trained once a seed and shared by its arms; it sees the cell's few-shot photos and good
ones of the pool, nothing else. Early stopping takes a fifth of these photos away from the classifier. Images that name
such a photo as their source are left out; samples of the prior, which have no source, and inpainted ones, whose source
is the good photo, may still show what their generator has seen of it. The head on VGG16 has two copies of each photo,
the photo and an augmented one, where its config has eight. Finished jobs are not run again.

Writes <part>.json and <part>_<set>.png to --root, in place of those of the call before, and prints a table in Markdown.
"""

import dataclasses
import itertools
import json
import math
from pathlib import Path

import numpy as np
from absl import flags

from defect_jax.config import UserError
from defect_jax.evaluation import classification, paired
from defect_jax.report import plots
from defect_jax.runs.atomic import write_atomic
from defect_jax.sweeps import jobs
from experiments import augmentation_cells as cells
from experiments import command

FLAGS = flags.FLAGS
flags.DEFINE_enum('part', 'dev', ['dev', 'final'], 'What the tables are about.')
flags.DEFINE_list('sets', ['elpv'], 'Which sets: elpv, magnetic_tile.')
flags.DEFINE_list('arms', list(cells.ARMS), 'Which arms.')
flags.DEFINE_list('photos', ['25'], 'Real defective photos, 0 for all.')
flags.DEFINE_list('ratios', ['1'], 'Made images for each real defective photo.')
flags.DEFINE_list('candidates', ['config'], 'Of how many generated images the selection filter keeps one; config: as '
                  "the generators' configs say. Those of inpainting take real masks, which elpv has not.")
flags.DEFINE_enum('model', 'resnet', ['resnet', 'vgg16'], 'The classifier.')
flags.DEFINE_integer('seeds', 5, 'Seeds; each redraws the photos. Of few, intervals are too narrow.', lower_bound=2)
flags.DEFINE_integer('at_once', 1, 'Seeds that run side by side, with a share of the CPUs each.', lower_bound=1)
flags.DEFINE_integer('images', 400, 'Images of each made set.', lower_bound=1)
flags.DEFINE_string('data', '../shared/data', 'Folder of magnetic_tile/.')
flags.DEFINE_string('root', 'runs/augmentation_study', 'Folder of the runs.')
flags.DEFINE_boolean('tiny', False, 'Tiny jobs, two seeds and two arms, to try the command.')

_BASE = '+classic'
_SETS = {
    'elpv': {'source': 'elpv', 'defects': ('defective',)},
    # Photos are of any shape, and two fifths of the defects would lie outside a central square.
    'magnetic_tile': {'source': 'folder', 'path': 'magnetic_tile/magnetic_tile', 'fit': 'pad',
                      'defects': ('blowhole', 'break', 'crack', 'fray', 'uneven')},
}


def cell(name, photos, seed, candidates):
  """The Cell of a set, so many real defective photos, a seed, and how many candidates its filters have."""
  data = dict(_SETS[name])
  if 'path' in data:
    data['path'] = str(Path(FLAGS.data) / data['path'])
  root = Path(FLAGS.root) / f'{name}_{photos}' / f'seed_{seed}'
  root.mkdir(parents=True, exist_ok=True)
  return cells.Cell(root, data, photos, seed, 60 if FLAGS.tiny else FLAGS.images, FLAGS.tiny, candidates)


@dataclasses.dataclass(frozen=True)
class Measured:
  """An arm on a part: files and groups `[N]` of its photos, labels `[N]`, probabilities `[R, N, 2]` of R seeds."""
  files: list
  groups: list
  labels: np.ndarray
  chances: np.ndarray

  def figures(self):
    """Mean figures over the seeds: both classes of what is good and what is not, also where the classifier knows
    several defects."""
    found = [classification.figures(self.labels, of) for of in self.chances]
    return {key: float(np.mean([of[key] for of in found])) for key in found[0]}

  def against(self, other):
    """Differences to another arm, as of paired.differences."""
    _check_same(self.files, other.files)
    return paired.differences(self.labels, self.chances, other.chances, groups=self.groups)


def measured(name, photos, arm, ratio, candidates):
  """Measured of all seeds of an arm on a part."""
  of_seeds = [cell(name, photos, seed, candidates) for seed in range(FLAGS.seeds)]
  found = jobs.each(lambda one: one.classify(arm, ratio, FLAGS.model, FLAGS.part)[1], of_seeds, FLAGS.at_once)
  files = sorted(found[0])
  for rows in found:
    _check_same(files, sorted(rows))
  labels, chances = zip(*map(cells.probabilities, found), strict=True)
  groups = of_seeds[0].groups()
  _check_same(files, [file for file in files if file in groups])  # a measured photo may be gone since
  return Measured(files, [groups[file] for file in files], labels[0], np.array(chances))


def _check_same(files, others):
  if files != others:
    odd = sorted(set(files) ^ set(others))
    raise UserError(f'seeds and arms were measured on different photos, such as {odd[0]}; put the photos back as they '
                    f'were, or remove {FLAGS.root} and start again')


def compare(name, counts, ratios, filters):
  """Rows of a set: a dict for each number of real defective photos, arm, ratio and filter, none twice.

  An arm's differences are to `+classic` of as many real photos; those of `+classic` itself to that of the first of
  `counts`: what real photos instead of made ones would give.
  """
  results = {}
  for photos, ratio, candidates, arm in itertools.product(counts, ratios, filters, FLAGS.arms):
    asked = photos, arm, ratio if cells.ARMS[arm] else None, candidates if cells.filtered(arm) else None
    if asked not in results:
      results[asked] = measured(name, *asked)
  for (photos, arm, ratio, candidates), ours in results.items():
    row = {'set': name, 'photos': photos, 'ratio': ratio, 'arm': arm, 'candidates': candidates,
           'seeds': len(ours.chances), 'tested': len(ours.labels), 'figures': ours.figures()}
    base = photos if arm != _BASE else counts[0] if photos != counts[0] else None
    if theirs := results.get((base, _BASE, None, None)):
      row['against'] = f'{_BASE}, {base or "all"} photos'
      row['differences'] = {key: {'mean': of.mean, 'interval': of.interval, 'by_seed': of.by_seed,
                                  'verdict': of.verdict} for key, of in ours.against(theirs).items()}
    yield row


def lines(rows):
  """The rows in Markdown."""
  yield (f'| set | photos | ratio | arm | {" | ".join(classification.NAMES)} | balanced accuracy, points (95 %) '
         '| against | verdict |')
  yield '|---' * (7 + len(classification.NAMES)) + '|'
  for row in rows:
    of = row.get('differences', {}).get('balanced_accuracy')
    words = ['–', '–', '–'] if of is None else [
        '{:+.1f} ({:+.1f} to {:+.1f})'.format(*(100 * value for value in (of['mean'], *of['interval']))),
        row['against'], of['verdict']]
    ratio = '–' if row['ratio'] is None else f'{row["ratio"]:g}'
    figures = [f'{row["figures"][key]:.3f}' for key in classification.NAMES]
    yield '| ' + ' | '.join([row['set'], str(row['photos'] or 'all'), ratio, _arm(row), *figures, *words]) + ' |'


def _arm(row):
  return row['arm'] + (f', best of {row["candidates"]}' if row['candidates'] else '')


def draw(rows, path):
  """A PNG of the differences of balanced accuracy."""
  shown = {}
  for row in rows:
    if of := row.get('differences', {}).get('balanced_accuracy'):
      low, high = of['interval']
      ratio = '' if row['ratio'] is None else f', ratio {row["ratio"]:g}'
      shown[f'{_arm(row)}, {row["photos"] or "all"} photos{ratio}'] = 100 * low, 100 * of['mean'], 100 * high
  if shown:
    figure = plots.intervals(shown, label='points of balanced accuracy', level=(0, 'no difference'))
    write_atomic(path, plots.png(figure))


def _numbers(flag, texts, kind, least):
  """What a flag lists, as numbers of a kind."""
  try:
    values = [kind(text) for text in texts]
  except ValueError as error:
    raise UserError(f'--{flag}={",".join(texts)}: wants numbers with commas between them ({error})') from error
  if not all(least <= value < math.inf for value in values):
    raise UserError(f'--{flag}={",".join(texts)}: wants numbers from {least} on')
  return values


def main(_):
  if FLAGS.tiny:
    FLAGS.seeds, FLAGS.photos, FLAGS.sets = 2, ['10'], FLAGS.sets[:1]
    FLAGS.at_once = FLAGS.at_once if FLAGS['at_once'].present else max(1, min(2, len(jobs.cpus())))
    FLAGS.arms = FLAGS.arms if FLAGS['arms'].present else ['+classic', '+cutpaste']
    FLAGS.root = FLAGS.root if FLAGS['root'].present else 'runs/augmentation_study_tiny'
  command.check_known('arms', FLAGS.arms, cells.ARMS)
  command.check_known('sets', FLAGS.sets, _SETS)
  counts, ratios = _numbers('photos', FLAGS.photos, int, 0), _numbers('ratios', FLAGS.ratios, float, 0)
  filters = [None if of == 'config' else _numbers('candidates', [of], int, 1)[0] for of in FLAGS.candidates]
  every = []
  for name in FLAGS.sets:
    rows = list(compare(name, counts, ratios, filters))
    draw(rows, Path(FLAGS.root) / f'{FLAGS.part}_{name}.png')
    every += rows
  print('\n'.join(lines(every)))
  write_atomic(Path(FLAGS.root) / f'{FLAGS.part}.json', json.dumps(every, indent=2) + '\n')


if __name__ == '__main__':
  command.run(main)
