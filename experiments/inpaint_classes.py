"""Does the prompt say which defect is made? A classifier that knows real photos alone names the inpainted areas.

  python -m experiments.inpaint_classes
  python -m experiments.inpaint_classes --weights=runs/inpaint_train/pipeline
  python -m experiments.inpaint_classes --large                                   on a GPU

The data are magnetic tiles with masks, three classes of defects. Pipelines: one is trained from scratch; with --weights
another goes on from those for as many steps; with --large the larger one of configs/inpaint_train.py:large is trained
too. The judge is a classifier (a head on VGG16) that is trained on real areas of the pool, good ones and the three
classes. It names areas in which each pipeline has made a defect by its prompt.

Rows of each pipeline:
- masks of real defects of the asked class, each in that of --among good areas whose surroundings are most like the
  defect's own;
- the best of --candidates, chosen as the filter of configs/inpaint.py does by areas that were trained on: of all
  places, and of those where one passes;
- masks of the other classes, where only the prompt says which class is asked for;
- real defects of the pool, made anew where they lie, and once more by the text of good areas: what is named as the
  defect then follows from the surroundings alone;
- real ones of the pool as the pipeline's autoencoder gives them back.
Controls: the real areas of the part dev; real ones of the pool as they are, and cut and pasted; good areas as they are.

A figure is the share that is named as asked, with the number of areas in brackets; by chance it is 1 / 4. Finished jobs
are not run again. Writes classes.json and classes.png to --root.
"""

import csv
import json
import os
import shutil
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from jaxtyping import Int, Shaped

from configs import inpaint_train
from defect_jax.config import UserError
from defect_jax.data import areas
from defect_jax.diffusion.places import Places
from defect_jax.imagesets import writer
from defect_jax.report import grids
from defect_jax.runs.atomic import write_atomic
from defect_jax.sweeps.job import Job
from defect_jax.sweeps.study import Executor
from experiments import command, inpaint_runs, results

FLAGS = command.define('runs/inpaint_classes', tiny=command.TINY, publish=True)
flags.DEFINE_string('data', '../shared/data/magnetic_tile/magnetic_tile', 'Folder of photos in MVTec layout.',
                    flag_values=FLAGS)
flags.DEFINE_list('classes', ['blowhole', 'break', 'crack'], 'The defects.', flag_values=FLAGS)
flags.DEFINE_string('weights', None, 'A pipeline to go on from, such as one of solar cells.', flag_values=FLAGS)
flags.DEFINE_integer('autoencoder_steps', 3600, 'Steps of the autoencoder of a pipeline from scratch.', lower_bound=100,
                     flag_values=FLAGS)
flags.DEFINE_integer('train_steps', 3600, 'Steps of each pipeline in its latents.', lower_bound=100, flag_values=FLAGS)
flags.DEFINE_boolean('large', False, 'Whether to train a large pipeline too, as it is configured, for a GPU.',
                     flag_values=FLAGS)
flags.DEFINE_multi_string('set', [], 'key=value below config of the pipeline from scratch; another one wants another '
                          '--root.', flag_values=FLAGS)
flags.DEFINE_integer('images', 240, 'Made areas of each pipeline, in turn by class.', lower_bound=4, flag_values=FLAGS)
flags.DEFINE_float('guidance', 3.0, 'Guidance.', lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer('among', 64, "Good areas of which the one most like the defect's own is taken.", lower_bound=1,
                     flag_values=FLAGS)
flags.DEFINE_integer('candidates', 8, 'Of which the filter chooses.', lower_bound=2, flag_values=FLAGS)
_EACH = 6  # areas of a class in the picture
# Of the classifier, which names 0.97 of held-out real areas rightly: configs/classifier.py:vgg16 names 0.84.
_JUDGE = {'model.views': 2, 'steps.total': 3000}


class Setup(typing.NamedTuple):
  """What all jobs share: the photos, the defects' classes, the folder of the runs, whether jobs are tiny."""
  data: Path
  classes: tuple[str, ...]
  root: Path
  tiny: bool


def settings_of(words: Sequence[str]) -> dict[str, str]:
  """{key: value} of --set; UserError for what is none."""
  pairs = [word.partition('=') for word in words]
  if wrong := [word for word, (key, equals, _) in zip(words, pairs, strict=True) if not (key and equals)]:
    raise UserError(f'--set={wrong[0]}: give key=value, such as --set=data.areas=12288')
  return {key: value for key, _, value in pairs}


def training(name: str, size: str, setup: Setup, settings: Mapping[str, Any]) -> Job:
  """The training of a pipeline; size: its argument of configs/inpaint_train.py, or '' for the small one."""
  photos = {'data.source': 'folder', 'data.path': setup.data, 'data.split': 'hash',
            'data.classes': (*setup.classes, areas.GOOD)}
  config = f'configs/inpaint_train.py:{",".join(filter(None, (size, "tiny" * setup.tiny)))}'.rstrip(':')
  return Job(config, setup.root / name, photos | dict(settings))


def opened(job: Job, setup: Setup, images: int, guidance: float, among: int) -> inpaint_runs.Finished:
  """The finished training; all have the same places."""
  usual = inpaint_train.get_config('tiny' if setup.tiny else None).data.areas
  return inpaint_runs.Finished(job.workdir, images, guidance, among, usual)


def export_real(run: inpaint_runs.Finished, folder: Path) -> None:
  """Writes a run's areas, of the pool and held out, as a folder of photos, whole or not there.

  An index.csv keeps each area in the group of its photo, so in its part.
  """
  data, making = run.config.data, folder.with_name(f'.{folder.name}')
  shutil.rmtree(making, ignore_errors=True)
  index = [('path', 'group')]
  for real, part in ((run.train, data.part), (run.dev, run.config.measure.part)):
    for row, (label, group) in enumerate(zip(real.labels, real.groups, strict=True)):
      name = f'test/{label}/{part}_{row:06d}.png'
      write(making / name, real.pixels[row])
      index.append((name, group))
  with open(making / 'index.csv', 'w', newline='') as file:
    csv.writer(file, lineterminator='\n').writerows(index)
  os.replace(making, folder)


def write(path: Path, image: Shaped[np.ndarray, 'h w 3']) -> None:
  """Writes an image, uint8 or in [0, 1]."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(writer.encode_png(writer.to_levels(image)))


def classifier(run: inpaint_runs.Finished, setup: Setup) -> Job:
  """The training of a classifier of a run's real areas."""
  if not (setup.root / 'areas').is_dir():
    export_real(run, setup.root / 'areas')
  settings = {'data.source': 'folder', 'data.path': setup.root / 'areas', 'data.defects': setup.classes,
              'data.split': 'hash',
              'data.size': run.config.data.size} | ({} if setup.tiny else _JUDGE)
  return Job(f'configs/classifier_many.py{":tiny" * setup.tiny}', setup.root / 'classifier', settings)


class Kind(typing.NamedTuple):
  """Areas to be named: the class asked of each, and the indices of their places."""
  asked: list[str]
  images: Shaped[np.ndarray, 'n s s 3']
  places: Int[np.ndarray, ' n']


def fill(runs: Mapping[str, inpaint_runs.Finished], classes: Sequence[str], candidates: int) -> dict[str, Kind]:
  """All that is to be named; `runs`: of the same places."""
  places, kinds = next(iter(runs.values())).places, {}
  every, labels = np.arange(len(places.labels)), np.array(places.labels)

  def add(name, images, indices=every, asked=places.labels):
    kinds[name] = Kind(asked, images, indices)

  others = [classes[(classes.index(label) + 1) % len(classes)] for label in places.labels]
  for name, run in runs.items():
    best, passed = run.selected(candidates)
    add(name, run.filled())
    add(f'{name}, best of {candidates}', best)
    if passed.any():
      add(f'{name}, best of {candidates}, passed', best[passed], every[passed], list(labels[passed]))
    add(f'{name}, masks of others', run.filled(others), asked=others)
    add(f'{name}, where real ones lie', run.refilled())
    add(f'{name}, where real ones lie, by the text of good areas', run.refilled([areas.GOOD] * len(every)))
    add(f'{name}, real ones by its autoencoder', run.reconstructed(places.donors))
  add('real ones of the pool', places.donors)
  add('cut and paste', places.pasted())
  add('good areas as they are', places.images)
  return kinds


def named(kinds: Mapping[str, Kind], judge: Path, root: Path, execute: Executor) -> dict[str, list[str]]:
  """{kind: class that the classifier in the workdir `judge` names for each image}."""
  for stale in ('made', 'named'):
    shutil.rmtree(root / stale, ignore_errors=True)
  for place, kind in enumerate(kinds.values()):
    for row, image in enumerate(kind.images):
      write(root / 'made' / f'{place}' / f'{row:06d}.png', image)
  execute([Job('configs/classifier.py', root / 'named',
               {'mode': 'predict', 'classifier': judge, 'photos': root / 'made', 'heatmaps': False})])
  with open(root / 'named' / 'predictions.csv', newline='') as file:
    rows = {row['file']: row['class'] for row in csv.DictReader(file)}
  return {name: [rows[f'{place}/{row:06d}.png'] for row in range(len(kind.images))]
          for place, (name, kind) in enumerate(kinds.items())}


def shares(asked: Sequence[str], names: Sequence[str], classes: Sequence[str]) -> dict[str, float | None]:
  """{class: share that is named as asked}, None for a class that none is asked of."""
  right, asked = np.array(asked) == np.array(names), np.array(asked)
  return {name: float(right[asked == name].mean()) if name in asked else None for name in classes}


def table(named: Mapping[str, Mapping[str, Any]], classes: Sequence[str]) -> results.Table:
  """A row per kind of areas: shares and in brackets of how many, and KID."""
  return results.Table(['areas', *classes, 'KID'], [
      [kind, *(_share(row, name) for name in classes),
       '–' if row['kid'] is None else '{:.3f} ({:.2f} to {:.2f})'.format(row['kid'], *row['kid_ci'])]
      for kind, row in named.items()])


def _share(row, name):
  share = row['named'][name]
  return '–' if share is None else f'{share:.2f} ({row["count"][name]})'


def draw(kinds: Mapping[str, Kind], places: Places, classes: Sequence[str], path: Path) -> None:
  """Writes what was made: the masks greyed out above a row for each kind; a block of columns a class."""
  columns = [index for name in classes for index in np.flatnonzero(np.array(places.labels) == name)[:_EACH]]
  shown = {'asked for': np.where(places.masks[..., None], 0.5, places.images)}
  shown |= {name: kind.images for name, kind in kinds.items()
            if len(kind.places) == len(places.labels) and not name.startswith('good')}
  grids.write_png(path, grids.with_names(grids.grid([images[columns] for images in shown.values()]), list(shown)))


def trainings(flags: flags.FlagValues, setup: Setup) -> dict[str, Job]:
  """{name of a pipeline: its training}."""
  steps = {} if setup.tiny else {'steps.total': flags.train_steps}
  own = {} if setup.tiny else {'autoencoder.steps.total': flags.autoencoder_steps}
  jobs = {'from scratch': training('scratch', '', setup, steps | own | settings_of(flags.set))}
  if flags.weights:
    jobs['going on'] = training('tuned', '', setup, steps | {'weights': flags.weights, 'tune.text': True})
  if flags.large:
    jobs['large'] = training('large', 'large', setup, {})
  return jobs


def rates(kinds: Mapping[str, Kind], first: inpaint_runs.Finished, names: Mapping[str, Sequence[str]],
          confusion: Int[np.ndarray, 'k k'], classes: Sequence[str]) -> dict[str, dict[str, Any]]:
  """{kind: {'named', 'count', 'kid', 'kid_ci'}}; `confusion`: of the classifier on held-out real areas, good first."""
  of_class, against = dict(zip(classes, confusion[1:], strict=True)), first.against()
  right = {name: float(of_class[name][row] / of_class[name].sum()) for row, name in enumerate(classes, 1)}
  rows = {'real ones, held out': {'named': right, 'count': {name: int(of_class[name].sum()) for name in classes},
                                   'kid': None, 'kid_ci': None}}
  for name, kind in kinds.items():
    kid, interval = against.kid(kind.images, first.places.masks[kind.places])
    rows[name] = {'named': shares(kind.asked, names[name], classes),
                   'count': {label: kind.asked.count(label) for label in classes}, 'kid': kid, 'kid_ci': interval}
  return rows


def main(flags: flags.FlagValues) -> None:
  root = Path('runs/inpaint_classes_tiny' if flags.tiny and not flags['root'].present else flags.root)
  setup, execute = Setup(Path(flags.data), tuple(flags.classes), root, flags.tiny), command.executor(1)
  jobs = trainings(flags, setup)
  execute(list(jobs.values()))
  images = 12 if flags.tiny else flags.images
  runs = {name: opened(job, setup, images, flags.guidance, flags.among) for name, job in jobs.items()}
  first = runs['from scratch']
  judge = classifier(first, setup)
  confusion = np.array(execute([judge])[judge.workdir]['confusion'])
  kinds = fill(runs, setup.classes, flags.candidates)
  names = named(kinds, judge.workdir, root, execute)
  rows = rates(kinds, first, names, confusion, setup.classes)
  print(table(rows, setup.classes).markdown())
  draw(kinds, first.places, setup.classes, root / 'classes.png')
  write_atomic(root / 'classes.json', json.dumps(rows, indent=2) + '\n')
  if flags.publish:
    results.publish('inpaint_classes', table(rows, setup.classes), rows)


if __name__ == '__main__':
  command.run(main, FLAGS)
