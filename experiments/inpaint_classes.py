"""Does the prompt say which defect is made? A classifier that knows real photos alone names the inpainted areas.

  python -m experiments.inpaint_classes
  python -m experiments.inpaint_classes --weights=runs/inpaint_train/pipeline
  python -m experiments.inpaint_classes --large                                   on a GPU

On magnetic tiles with masks, three classes: trains a pipeline from scratch, where --weights are given goes on from them
for as many steps, and by --large trains the larger one of configs/inpaint_train.py:large; trains a classifier (a head
on VGG16) on real areas of the pool, good ones and the three classes; lets it name areas in which each pipeline has made
a defect by its prompt. The masks are those of real defects of the asked class, each in that of --among good areas whose
surroundings are most like the defect's own. Further rows ask with masks of the other classes, where only the prompt can
tell. Others show the best of --candidates, as the filter of configs/inpaint.py chooses it by areas that were trained
on, of all places, and of those where one passes. Others make real defects of the pool anew where they lie, once more by
the text of good areas: what is named as the defect then is told by its surroundings alone. Controls: the real areas of
the part dev; real ones of the pool as they are, as the pipeline's autoencoder gives them back, and cut and pasted; good
areas as they are. A figure is the share that is named as asked, of as many as are told in brackets; by chance it is 1 /
4. Finished jobs are not run again. Writes classes.json and classes.png to --root.
"""

import csv
import json
import os
import shutil
import typing
from pathlib import Path

import numpy as np
from absl import flags

from configs import inpaint_train
from defect_jax.config import UserError
from defect_jax.data import areas
from defect_jax.imagesets import writer
from defect_jax.report import grids
from defect_jax.runs.atomic import write_atomic
from defect_jax.sweeps import jobs
from experiments import command, inpaint_runs

FLAGS = flags.FLAGS
flags.DEFINE_string('data', '../shared/data/magnetic_tile/magnetic_tile', 'Folder of photos in MVTec layout.')
flags.DEFINE_list('classes', ['blowhole', 'break', 'crack'], 'The defects.')
flags.DEFINE_string('weights', None, 'A pipeline to go on from, such as one of solar cells.')
flags.DEFINE_integer('autoencoder_steps', 3600, 'Steps of the autoencoder of a pipeline from scratch.', lower_bound=100)
flags.DEFINE_integer('train_steps', 3600, 'Steps of each pipeline in its latents.', lower_bound=100)
flags.DEFINE_boolean('large', False, 'Whether to train a large pipeline too, as it is configured, for a GPU.')
flags.DEFINE_multi_string('set', [], 'key=value below config of the pipeline from scratch; another one wants another '
                          '--root.')
flags.DEFINE_integer('images', 240, 'Made areas of each pipeline, in turn by class.', lower_bound=4)
flags.DEFINE_float('guidance', 3.0, 'Guidance.', lower_bound=1)
flags.DEFINE_integer('among', 64, "Good areas of which the one most like the defect's own is taken.", lower_bound=1)
flags.DEFINE_integer('candidates', 8, 'Of which the filter chooses.', lower_bound=2)
flags.DEFINE_string('root', 'runs/inpaint_classes', 'Folder of the runs.')
flags.DEFINE_boolean('tiny', False, 'Tiny jobs, to try the command.')
_EACH = 6  # areas of a class in the picture
# Of the classifier, which names 0.97 of held-out real areas rightly: configs/classifier.py:vgg16 names 0.84.
_JUDGE = {'model.views': 2, 'steps.total': 3000}


def settings_of(words):
  """{key: value} of --set; UserError for what is none."""
  pairs = [word.partition('=') for word in words]
  if wrong := [word for word, (key, equals, _) in zip(words, pairs, strict=True) if not (key and equals)]:
    raise UserError(f'--set={wrong[0]}: give key=value, such as --set=data.areas=12288')
  return {key: value for key, _, value in pairs}


def train(name, size='', **settings):
  """inpaint_runs.Finished of a run of configs/inpaint_train.py; `size`: its argument, or '' for the small pipeline."""
  photos = {'data.source': 'folder', 'data.path': FLAGS.data, 'data.classes': ','.join([*FLAGS.classes, areas.GOOD])}
  config = f'configs/inpaint_train.py:{",".join(filter(None, (size, "tiny" * FLAGS.tiny)))}'.rstrip(':')
  jobs.run(config, Path(FLAGS.root) / name, photos | settings)
  usual = inpaint_train.get_config('tiny' if FLAGS.tiny else None).data.areas  # so that all have the same places
  return inpaint_runs.Finished(Path(FLAGS.root) / name, FLAGS.images, FLAGS.guidance, FLAGS.among, usual)


def export_real(run, folder):
  """Writes a run's areas, of the pool and held out, as a folder of photos, whole or not there.

  An index.csv keeps each area in the group of its photo, so in its part.
  """
  data, making = run.config.data, folder.with_name(f'.{folder.name}')
  shutil.rmtree(making, ignore_errors=True)
  index = [('path', 'group')]
  for lot, part in ((run.train, data.part), (run.dev, run.config.measure.part)):
    for row, (label, group) in enumerate(zip(lot.labels, lot.groups, strict=True)):
      name = f'test/{label}/{part}_{row:06d}.png'
      write(making / name, lot.images[row])
      index.append((name, group))
  with open(making / 'index.csv', 'w', newline='') as file:
    csv.writer(file, lineterminator='\n').writerows(index)
  os.replace(making, folder)


def write(path, image):
  """Writes `[H, W, 3]`, uint8 or in [0, 1]."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(writer.encode_png(writer.to_levels(image)))


def classifier(run):
  """(workdir of a classifier of a run's real areas, its summary)."""
  root = Path(FLAGS.root)
  if not (root / 'areas').is_dir():
    export_real(run, root / 'areas')
  settings = {'data.source': 'folder', 'data.path': root / 'areas', 'data.defects': ','.join(FLAGS.classes),
              'data.size': run.config.data.size} | ({} if FLAGS.tiny else _JUDGE)
  config = f'configs/classifier_many.py{":tiny" * FLAGS.tiny}'
  return root / 'classifier', jobs.run(config, root / 'classifier', settings)


class Kind(typing.NamedTuple):
  """Areas to be named: asked class of each, images `[n, S, S, 3]`, and the rows `[n]` of their places."""
  asked: list
  images: np.ndarray
  rows: np.ndarray


def fill(runs):
  """{name: Kind} of all that is to be named; `runs`: {name: Finished} of the same places."""
  found, kinds = next(iter(runs.values())).places, {}
  every, labels = np.arange(len(found.labels)), np.array(found.labels)

  def add(name, images, rows=every, asked=found.labels):
    kinds[name] = Kind(asked, images, rows)

  others = [FLAGS.classes[(FLAGS.classes.index(label) + 1) % len(FLAGS.classes)] for label in found.labels]
  for name, run in runs.items():
    best, passed = run.selected(FLAGS.candidates)
    add(name, run.filled())
    add(f'{name}, best of {FLAGS.candidates}', best)
    if passed.any():
      add(f'{name}, best of {FLAGS.candidates}, passed', best[passed], every[passed], list(labels[passed]))
    add(f'{name}, masks of others', run.filled(others), asked=others)
    add(f'{name}, where real ones lie', run.refilled())
    add(f'{name}, where real ones lie, by the text of good areas', run.refilled([areas.GOOD] * len(every)))
    add(f'{name}, real ones by its autoencoder', run.reconstructed(found.donors))
  add('real ones of the pool', found.donors)
  add('cut and paste', found.pasted())
  add('good areas as they are', found.images)
  return kinds


def named(kinds, workdir):
  """{kind: class that the classifier names for each image}."""
  root = Path(FLAGS.root)
  for stale in ('made', 'named'):
    shutil.rmtree(root / stale, ignore_errors=True)
  for place, kind in enumerate(kinds.values()):
    for row, image in enumerate(kind.images):
      write(root / 'made' / f'{place}' / f'{row:06d}.png', image)
  jobs.run('configs/classifier.py', root / 'named',
           {'mode': 'predict', 'classifier': workdir, 'photos': root / 'made', 'heatmaps': 'false'})
  with open(root / 'named' / 'predictions.csv', newline='') as file:
    rows = {row['file']: row['class'] for row in csv.DictReader(file)}
  return {name: [rows[f'{place}/{row:06d}.png'] for row in range(len(kind.images))]
          for place, (name, kind) in enumerate(kinds.items())}


def shares(asked, names):
  """{class: share that is named as asked}, None for a class that none is asked of."""
  right, asked = np.array(asked) == np.array(names), np.array(asked)
  return {name: float(right[asked == name].mean()) if name in asked else None for name in FLAGS.classes}


def lines(table):
  """The table in Markdown."""
  yield f'| areas | {" | ".join(FLAGS.classes)} | KID |'
  yield '|---' * (len(FLAGS.classes) + 2) + '|'
  for kind, row in table.items():
    kid = '–' if row['kid'] is None else '{:.3f} ({:.2f} to {:.2f})'.format(row['kid'], *row['kid_ci'])
    yield f'| {kind} | ' + ' | '.join(_cell(row, name) for name in FLAGS.classes) + f' | {kid} |'


def _cell(row, name):
  share = row['named'][name]
  return '–' if share is None else f'{share:.2f} ({row["count"][name]})'


def draw(kinds, found):
  """Writes what was made: the masks greyed out above a row for each kind; a block of columns a class."""
  columns = [row for name in FLAGS.classes for row in np.flatnonzero(np.array(found.labels) == name)[:_EACH]]
  shown = {'asked for': np.where(found.marks[..., None], 0.5, found.images)}
  shown |= {name: kind.images for name, kind in kinds.items()
            if len(kind.rows) == len(found.labels) and not name.startswith('good')}
  picture = grids.grid([images[columns] for images in shown.values()])
  grids.write_png(Path(FLAGS.root) / 'classes.png', grids.with_names(picture, list(shown)))


def main(_):
  if FLAGS.tiny:
    FLAGS.images = 12
    FLAGS.root = FLAGS.root if FLAGS['root'].present else 'runs/inpaint_classes_tiny'
  steps = {} if FLAGS.tiny else {'steps.total': FLAGS.train_steps}
  own = {} if FLAGS.tiny else {'autoencoder.steps.total': FLAGS.autoencoder_steps}
  runs = {'from scratch': train('scratch', **steps | own | settings_of(FLAGS.set))}
  if FLAGS.weights:
    runs['going on'] = train('tuned', **steps, **{'weights': FLAGS.weights, 'tune.text': 'true'})
  if FLAGS.large:
    runs['large'] = train('large', 'large')
  first = runs['from scratch']
  workdir, summary = classifier(first)
  kinds, against = fill(runs), first.against()
  names = named(kinds, workdir)
  confusion = np.array(summary['confusion'])
  real = {name: float(confusion[row, row] / confusion[row].sum())
          for row, name in enumerate(FLAGS.classes, 1)}
  count = {name: int(confusion[row].sum()) for row, name in enumerate(FLAGS.classes, 1)}
  table = {'real ones, held out': {'named': real, 'count': count, 'kid': None, 'kid_ci': None}}
  for name, kind in kinds.items():
    kid, interval = against.kid(kind.images, first.places.marks[kind.rows])
    count = {label: kind.asked.count(label) for label in FLAGS.classes}
    table[name] = {'named': shares(kind.asked, names[name]), 'count': count, 'kid': kid, 'kid_ci': interval}
  print('\n'.join(lines(table)))
  draw(kinds, first.places)
  write_atomic(Path(FLAGS.root) / 'classes.json', json.dumps(table, indent=2) + '\n')


if __name__ == '__main__':
  command.run(main)
