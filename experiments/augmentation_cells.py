"""The image sets of the arms of augmentation_study: each made from the few-shot photos of its cell alone."""

import csv
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np

from defect_jax.augmentation import cutpaste, production
from defect_jax.data import dataset, parts, prepared, regions, samples, tiles
from defect_jax.sweeps import jobs

# Arm: the image sets that it adds to real photos with classic augmentation.
ARMS = {'real': (), '+classic': (), '+cutpaste': ('cutpaste',), '+vae_joint': ('vae_joint',),
        '+vae_split': ('vae_split',), '+inpaint': ('inpaint',), '+vae_split+inpaint': ('vae_split', 'inpaint')}
# Made set: config of its VAE, what is set there, and the sampler: those that thesis_figure3 chose on dev.
_VAES = {'vae_joint': ('vae_joint', {'control.beta': 1.0, 'steps.total': 3000}, 'prior'),
         'vae_split': ('vae_sharp', {'targets.kld': 32.0}, 'mosaic')}
# Fewer than the config's, so that five seeds take hours, not days, on two cores.
_INPAINTING = {'autoencoder.steps.total': 800, 'steps.total': 600}
_VIEWS = 2  # of vgg16, likewise: its features of every augmented copy are what takes the time
_CHUNK = 50


class Cell:
  """What all arms of a cell share: its folder, data settings, seed and number of real defective photos.

  root: Path. data: {key of data: value}, with defects as a tuple. photos: few-shot. seed: redraws them. count: images
  of each made set. tiny: whether to use tiny jobs. candidates: of each generated image, of which the selection filter
  keeps one; 1: no filter, None: as the generators' configs say.
  """

  def __init__(self, root, data, photos, seed, count, tiny, candidates=None):
    self.root, self.data, self.photos, self.seed, self.count, self.tiny = root, data, photos, seed, count, tiny
    self.candidates = candidates

  def config(self, name):
    """The config argument of a job."""
    return f'configs/{name}{"," if ":" in name and self.tiny else ":" if self.tiny else ""}{"tiny" * self.tiny}'

  def settings(self, few_shot=True):
    """Settings below config that tell the photos."""
    values = {f'data.{key}': ','.join(value) if isinstance(value, tuple) else value for key, value in self.data.items()}
    return values | {'seed': self.seed} | ({'data.few_shot': self.photos} if few_shot else {})

  def made(self, name):
    """Folder of a made set; makes it unless it is there."""
    if name == 'cutpaste':
      return self._cutpaste()
    return self._by_vae(name) if name in _VAES else self._inpainted()

  def _by_vae(self, name):
    config, settings, sampler = _VAES[name]
    steps = {} if self.tiny else settings
    jobs.run(self.config(f'{config}.py'), self.root / name, self.settings() | steps)
    # Measuring takes most of a tiny job: KID is left out where there are fewer than 100 photos to compare with.
    quick = {'measure.kid_elpv': 'defective', 'sampler.candidates': 1} if self.tiny else {}
    workdir = self.root / f'{name}_images{self._suffix()}'
    jobs.run(self.config(f'generate.py:{sampler}'), workdir,
             {'vae': self.root / name, 'seed': self.seed, 'count': self.count} | quick | self._filter('sampler'))
    return workdir / 'set'

  def _suffix(self):
    return '' if self.candidates is None else f'_best_of_{self.candidates}'

  def _filter(self, section):
    return {} if self.candidates is None else {f'{section}.candidates': self.candidates}

  def _listed(self):
    return dataset.list_photos(self.data['source'], self.data.get('path'), self.data.get('cell_type', 'mono'))

  def groups(self):
    """{file: group} of all photos: which of them show one workpiece."""
    return {record.file: record.group for record in self._listed()}

  def _records(self):
    """(good, few-shot defective) records of the pool; the latter are those that the jobs draw too."""
    pool = [record for record in self._listed() if record.part == 'pool']
    defective = [record for record in pool if record.label in self.data['defects']]
    drawn = set(parts.choose_few(defective, self.photos or len(defective), self.seed))
    return ([record for record in pool if record.label == 'good'],
            [record for record in defective if record.file in drawn])

  def _cutpaste(self):
    root = self.root / 'cutpaste_images'
    size = 32 if self.tiny else self.data.get('size', 64)
    view = tiles.Tiling(regions.Geometry(size, self.data.get('channels', 1), fit=self.data.get('fit', 'crop')))
    good, defective = ([cutpaste.Photo(shown.image, shown.mask, shown.record.file, shown.record.label,
                                       prepared.photo_sha256(shown.record))
                        for shown in samples.read_all(records, view) if not shown.reason]
                       for records in self._records())
    asked = json.dumps(['cutpaste', self.seed, self.count, self.tiny, [photo.sha256 for photo in good + defective]])
    production.produce(root, self.count, _CHUNK, cutpaste.Maker(good, defective, self.seed),
                       hashlib.sha256(asked.encode()).hexdigest())
    return root

  def _inpainted(self):
    """By a pipeline that is trained from scratch on the cell's photos, in their own masks where they have any."""
    photos = self.root / 'photos'
    if not photos.is_dir():
      self.export(photos)
    data = {'data.source': 'folder', 'data.path': photos}
    classes = ','.join(self.data['defects'])
    jobs.run(self.config('inpaint_train.py'), self.root / 'inpaint_train',
             data | {'seed': self.seed, 'data.classes': f'{classes},good'} | ({} if self.tiny else _INPAINTING))
    masks = {'masks.kind': 'real'} if (photos / 'ground_truth').is_dir() else {}
    workdir = self.root / f'inpaint_images{self._suffix()}'
    jobs.run(self.config('inpaint.py'), workdir,
             {'photos': photos, 'defects': classes, 'weights': self.root / 'inpaint_train', 'seed': self.seed,
              'count': self.count} | masks | self._filter('filter'))
    return workdir / 'set'

  def export(self, folder):
    """The cell's photos and masks as a folder of their own, whole or not there, so that no job can see others.

    An index.csv keeps each photo in the group, so the part, that it has.
    """
    making = folder.with_name(f'.{folder.name}')
    shutil.rmtree(making, ignore_errors=True)
    index = [('path', 'group')]
    for record in [record for of in self._records() for record in of]:
      kind = 'train/good' if record.label == 'good' else f'test/{record.label}'
      name = record.file.replace('/', '_')
      copies = [(record.photo, f'{kind}/{name}')]
      if record.mask:
        copies.append((record.mask, f'ground_truth/{record.label}/{Path(name).stem}_mask.png'))
      for source, target in copies:
        (making / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, making / target)
      index.append((f'{kind}/{name}', record.group))
    with open(making / 'index.csv', 'w', newline='') as file:
      csv.writer(file, lineterminator='\n').writerows(index)
    os.replace(making, folder)

  def classify(self, arm, ratio, model, part):
    """(summary, rows of predictions.csv) of an arm on a part.

    It is trained in its dev run, which is asked for each time so that one of other settings is refused; the run on the
    final part takes it from there.
    """
    name = f'{model}{arm}' + (f'_ratio_{ratio:g}' if ARMS[arm] else '') + (self._suffix() if filtered(arm) else '')
    settings = self.settings() | {'measure.part': part, 'data.merge': 'true'}
    dev = self.root / 'dev' / name
    if part == 'final':
      self.classify(arm, ratio, model, 'dev')
      settings |= {'classifier': dev}
    elif ARMS[arm]:
      settings |= {'made.ratio': float(ratio), 'made.sets': ','.join(str(self.made(of)) for of in ARMS[arm])}
    if model == 'vgg16':
      settings |= {'model.views': _VIEWS}
    if arm == 'real':
      settings |= {f'data.augment.{key}': value for key, value in OFF.items()}
    workdir = self.root / part / name
    summary = jobs.run(self.config(f'classifier.py:{model}'), workdir, settings)
    return summary, rows(workdir)


def filtered(arm):
  """Whether a selection filter may choose images of an arm: those of cut and paste are all kept."""
  return bool(set(ARMS[arm]) - {'cutpaste'})


OFF = {'flip_horizontal': 'false', 'flip_vertical': 'false', 'turn': 'false', 'shift': 0, 'brightness': 0.0,
       'contrast': 0.0}


def rows(workdir):
  """{file: row} of a run's predictions.csv."""
  with open(workdir / 'predictions.csv', newline='') as file:
    return {row['file']: row for row in csv.DictReader(file)}


def probabilities(found):
  """(labels `[N]`, probabilities `[N, 2]` of good and defective) of rows of predictions.csv, sorted by file."""
  ordered = [found[file] for file in sorted(found)]
  score = np.array([float(row['score']) for row in ordered])
  return np.array([row['truth'] != 'good' for row in ordered], int), np.stack([1 - score, score], -1)
