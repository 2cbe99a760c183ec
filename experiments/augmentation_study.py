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
workpieces. Each generator is trained once per seed and shared by its arms; it sees the cell's few-shot photos and good
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
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import flags

from defect_jax.config import UserError
from defect_jax.runs.atomic import write_atomic
from defect_jax.sweeps import local
from defect_jax.sweeps.study import Executor, Study
from experiments import augmentation_cells as cells
from experiments import augmentation_comparison as comparison
from experiments import command, results

TINY_ARMS = comparison.BASE, '+cutpaste'
_SETS = {
    'elpv': {'source': 'elpv', 'defects': ('defective',)},
    # Photos are of any shape, and two fifths of the defects would lie outside a central square.
    'magnetic_tile': {'source': 'folder', 'split': 'hash', 'path': 'magnetic_tile/magnetic_tile', 'fit': 'pad',
                      'defects': ('blowhole', 'break', 'crack', 'fray', 'uneven')},
}


@dataclasses.dataclass(frozen=True)
class Plan:
  """What is compared, see the flags of the same names; candidates: None for what the generators' configs say."""
  root: Path
  data: Path
  part: str = 'dev'
  sets: Sequence[str] = ('elpv',)
  arms: Sequence[str] = tuple(cells.ARMS)
  photos: Sequence[int] = (25,)
  ratios: Sequence[float] = (1.0,)
  candidates: Sequence[int | None] = (None,)
  model: str = 'resnet'
  seeds: int = 5
  images: int = 400
  tiny: bool = False

  def asked(self) -> list[comparison.Asked]:
    """All that is measured of a set, nothing twice."""
    return list(dict.fromkeys(
        comparison.Asked(photos, arm, ratio if cells.ARMS[arm] else None, candidates if cells.filtered(arm) else None)
        for photos, ratio, candidates, arm in itertools.product(self.photos, self.ratios, self.candidates, self.arms)))

  def cells_of(self, name: str, asked: comparison.Asked) -> list[cells.Cell]:
    """The cells of a set, one per seed."""
    data = dict(_SETS[name])
    if 'path' in data:
      data['path'] = str(self.data / data['path'])
    return [cells.Cell(self.root / f'{name}_{asked.photos}' / f'seed_{seed}', data, asked.photos, seed, self.images,
                       self.tiny, asked.candidates) for seed in range(self.seeds)]


FLAGS = command.define('runs/augmentation_study', data='../shared/data', tiny='Tiny jobs, two seeds and two arms, to '
                       'try the command.', at_once=True, publish=True)
flags.DEFINE_enum('part', Plan.part, ['dev', 'final'], 'What the tables are about.', flag_values=FLAGS)
flags.DEFINE_list('sets', list(Plan.sets), 'Which sets: elpv, magnetic_tile.', flag_values=FLAGS)
flags.DEFINE_list('arms', list(Plan.arms), 'Which arms.', flag_values=FLAGS)
flags.DEFINE_list('photos', [f'{number}' for number in Plan.photos], 'Real defective photos, 0 for all.',
                  flag_values=FLAGS)
flags.DEFINE_list('ratios', [f'{number:g}' for number in Plan.ratios], 'Made images for each real defective photo.',
                  flag_values=FLAGS)
flags.DEFINE_list('candidates', ['config'], 'Of how many generated images the selection filter keeps one; config: as '
                  "the generators' configs say. Those of inpainting take real masks, which elpv has not.",
                  flag_values=FLAGS)
flags.DEFINE_enum('model', Plan.model, ['resnet', 'vgg16'], 'The classifier.', flag_values=FLAGS)
flags.DEFINE_integer('seeds', Plan.seeds, 'Seeds; each redraws the photos. Of few, intervals are too narrow.',
                     lower_bound=2, flag_values=FLAGS)
flags.DEFINE_integer('images', Plan.images, 'Images of each made set.', lower_bound=1, flag_values=FLAGS)


def study(plan: Plan) -> Study[list[comparison.Row]]:
  """The rows of all sets, of classifiers and of the generators that they need."""
  jobs = {name: {asked: [cell.classifier(asked.arm, asked.ratio, plan.model, plan.part)
                         for cell in plan.cells_of(name, asked)] for asked in plan.asked()} for name in plan.sets}

  def of_set(name):
    groups = plan.cells_of(name, plan.asked()[0])[0].groups()
    by_asked = {asked: comparison.measured([cells.predictions(job.workdir) for job in runs], groups)
                for asked, runs in jobs[name].items()}
    return comparison.compare(name, by_asked)
  return Study(f'augmentation_study_{plan.part}', [job for of in jobs.values() for runs in of.values() for job in runs],
               lambda summaries: [row for name in jobs for row in of_set(name)])


def run(plan: Plan, execute: Executor) -> list[comparison.Row]:
  """The rows; writes them as PART.json, and a picture per set."""
  for name, asked in itertools.product(plan.sets, plan.asked()):
    for cell in plan.cells_of(name, asked):
      cell.prepare([asked.arm])
  rows = study(plan).run(execute)
  for name in plan.sets:
    comparison.draw([row for row in rows if row['set'] == name], plan.root / f'{plan.part}_{name}.png')
  write_atomic(plan.root / f'{plan.part}.json', json.dumps(rows, indent=2) + '\n')
  return rows


def numbers(flag: str, texts: Sequence[str], kind: Callable[[str], float], least: float) -> list:
  """What a flag lists, as numbers of a kind."""
  try:
    values = [kind(text) for text in texts]
  except ValueError as error:
    raise UserError(f'--{flag}={",".join(texts)}: wants numbers with commas between them ({error})') from error
  if not all(least <= value < math.inf for value in values):
    raise UserError(f'--{flag}={",".join(texts)}: wants numbers from {least} on')
  return values


def plan_of(flags: flags.FlagValues) -> Plan:
  """What the flags ask for; UserError where it cannot be compared."""
  command.check_known('arms', flags.arms, cells.ARMS)
  command.check_known('sets', flags.sets, _SETS)
  candidates = [None if word == 'config' else numbers('candidates', [word], int, 1)[0] for word in flags.candidates]
  plan = Plan(Path(flags.root), Path(flags.data), flags.part, flags.sets, flags.arms,
              numbers('photos', flags.photos, int, 0), numbers('ratios', flags.ratios, float, 0), candidates,
              flags.model, flags.seeds, flags.images)
  if flags.tiny:
    plan = tiny(dataclasses.replace(plan, arms=plan.arms if flags['arms'].present else TINY_ARMS))
    return plan if flags['root'].present else dataclasses.replace(plan, root=Path('runs/augmentation_study_tiny'))
  return plan


def tiny(plan: Plan) -> Plan:
  """A plan to try the command."""
  return dataclasses.replace(plan, seeds=2, photos=[10], sets=plan.sets[:1], images=60, tiny=True)


def at_once(flags: flags.FlagValues) -> int:
  """How many jobs run side by side: two of a tiny study where there are CPUs for them."""
  return min(2, max(1, len(local.cpus()))) if flags.tiny and not flags['at_once'].present else flags.at_once


def main(flags: flags.FlagValues) -> None:
  plan = plan_of(flags)
  rows = run(plan, command.executor(at_once(flags)))
  print(comparison.table(rows).markdown())
  if flags.publish:
    for name in plan.sets:
      of_set = [row for row in rows if row['set'] == name]
      results.publish(f'augmentation_study_{plan.part}_{name}_{plan.model}', comparison.published(of_set), of_set)


if __name__ == '__main__':
  command.run(main, FLAGS)
