"""The jobs of a cell of the augmentation study: its generators, its made sets, its classifiers; and what they predict.

A cell is a set, a number of real defective photos, and a seed. Made sets are made once per cell and shared by its arms.
"""

import csv
import dataclasses
import functools
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from defect_jax.augmentation import cutpaste, production
from defect_jax.data import listing, parts, regions, samples, tiles
from defect_jax.sweeps.job import Job

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
OFF = {'flip_horizontal': False, 'flip_vertical': False, 'turn': False, 'shift': 0, 'brightness': 0.0, 'contrast': 0.0}

Rows = dict[str, dict[str, str]]  # of predictions.csv, by file


@dataclasses.dataclass(frozen=True)
class Cell:
  """What all arms of a cell share.

  root: folder of its runs. data: {key of data: value}, with defects as a tuple. photos: few-shot, 0 for all. seed:
  redraws them. count: images of each made set. tiny: whether to use tiny jobs. candidates: of each generated image, of
  which the selection filter keeps one; 1: no filter, None: as the generators' configs say.
  """
  root: Path
  data: Mapping[str, Any]
  photos: int
  seed: int
  count: int
  tiny: bool
  candidates: int | None = None

  def config(self, name: str) -> str:
    """The config argument of a job."""
    return f'configs/{name}{"," if ":" in name and self.tiny else ":" if self.tiny else ""}{"tiny" * self.tiny}'

  def prepare(self, arms: Iterable[str]) -> None:
    """Makes what the jobs of these arms need and no job makes: sets by cut and paste, folders of photos."""
    wanted = {name for arm in arms for name in ARMS[arm]}
    self.root.mkdir(parents=True, exist_ok=True)
    if 'cutpaste' in wanted:
      self._cut_and_paste()
    if 'inpaint' in wanted and not self._photos.is_dir():
      self.export(self._photos)

  def classifier(self, arm: str, ratio: float | None, model: str, part: str) -> Job:
    """Measures an arm on a part.

    The classifier is trained in the dev run; the run on the final part takes it from there.
    """
    name = f'{model}{arm}' + (f'_ratio_{ratio:g}' if ARMS[arm] else '') + (self._suffix if filtered(arm) else '')
    settings, needs = self._settings() | {'measure.part': part, 'data.merge': True}, ()
    if part == 'final':
      needs = (self.classifier(arm, ratio, model, 'dev'),)
      settings |= {'classifier': needs[0].workdir}
    elif ARMS[arm]:
      needs = tuple(self.images(made) for made in ARMS[arm] if made != 'cutpaste')
      settings |= {'made.ratio': float(ratio), 'made.sets': tuple(self.folder(made) for made in ARMS[arm])}
    if model == 'vgg16':
      settings |= {'model.views': _VIEWS}
    if arm == 'real':
      settings |= {f'data.augment.{key}': value for key, value in OFF.items()}
    return Job(self.config(f'classifier.py:{model}'), self.root / part / name, settings, needs)

  def folder(self, made: str) -> Path:
    """Folder of a made set."""
    return self.root / 'cutpaste_images' if made == 'cutpaste' else self.images(made).workdir / 'set'

  def images(self, made: str) -> Job:
    """Makes a set by a VAE or by inpainting; it needs the training of the generator."""
    return self._by_vae(made) if made in _VAES else self._inpainted()

  def _by_vae(self, made):
    config, settings, sampler = _VAES[made]
    vae = Job(self.config(f'{config}.py'), self.root / made, self._settings() | ({} if self.tiny else settings))
    # Measuring takes most of a tiny job: KID is left out where there are fewer than 100 photos to compare with.
    quick = {'measure.kid_elpv': 'defective', 'sampler.candidates': 1} if self.tiny else {}
    return Job(self.config(f'generate.py:{sampler}'), self.root / f'{made}_images{self._suffix}',
               {'vae': vae.workdir, 'seed': self.seed, 'count': self.count} | quick | self._filter('sampler'), (vae,))

  def _inpainted(self):
    """By a pipeline that is trained from scratch on the cell's photos, in their own masks where they have any."""
    classes = self.data['defects']
    training = Job(
        self.config('inpaint_train.py'), self.root / 'inpaint_train',
        {'data.source': 'folder', 'data.path': self._photos, 'data.split': 'hash', 'seed': self.seed,
         'data.classes': (*classes, 'good')}
        | ({} if self.tiny else _INPAINTING))
    masks = {'masks.kind': 'real'} if self._masked else {}
    return Job(
        self.config('inpaint.py'), self.root / f'inpaint_images{self._suffix}',
        {'photos': self._photos, 'split': 'hash', 'defects': classes, 'weights': training.workdir, 'seed': self.seed,
         'count': self.count} | masks | self._filter('filter'), (training,))

  _photos = property(lambda self: self.root / 'photos')

  @property
  def _suffix(self):
    return '' if self.candidates is None else f'_best_of_{self.candidates}'

  def _filter(self, section):
    return {} if self.candidates is None else {f'{section}.candidates': self.candidates}

  def _settings(self):
    """Settings below config that say which photos."""
    return {f'data.{key}': value for key, value in self.data.items()} | {'seed': self.seed,
                                                                         'data.few_shot': self.photos}

  @functools.cached_property
  def _listed(self):
    return listing.list_photos(**{'path': None, **self.data})

  def groups(self) -> dict[str, str]:
    """{file: group} of all photos: which of them show one workpiece."""
    return {record.file: record.group for record in self._listed}

  def _records(self):
    """(good, few-shot defective) records of the pool; the latter are those that the jobs draw too."""
    pool = [record for record in self._listed if record.part == 'pool']
    defective = [record for record in pool if record.label in self.data['defects']]
    drawn = set(parts.choose_few(defective, self.photos or len(defective), self.seed))
    return ([record for record in pool if record.label == 'good'],
            [record for record in defective if record.file in drawn])

  @functools.cached_property
  def _masked(self):
    return any(record.annotation for records in self._records() for record in records)

  def _cut_and_paste(self):
    size = 32 if self.tiny else self.data.get('size', 64)
    view = tiles.Tiling(regions.Geometry(size, self.data.get('channels', 1), fit=self.data.get('fit', 'crop')))
    good, defective = ([cutpaste.Photo(shown.image, shown.mask, shown.record.file, shown.record.label,
                                       shown.record.sha256())
                        for shown in samples.read_all(records, view) if not shown.reason]
                       for records in self._records())
    asked = json.dumps(['cutpaste', self.seed, self.count, self.tiny, [photo.sha256 for photo in good + defective]])
    production.produce(self.folder('cutpaste'), self.count, _CHUNK, cutpaste.Maker(good, defective, self.seed),
                       hashlib.sha256(asked.encode()).hexdigest())

  def export(self, folder: Path) -> None:
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
      if record.annotation:
        copies.append((record.annotation.path, f'ground_truth/{record.label}/{Path(name).stem}_mask.png'))
      for source, target in copies:
        (making / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, making / target)
      index.append((f'{kind}/{name}', record.group))
    with open(making / 'index.csv', 'w', newline='') as file:
      csv.writer(file, lineterminator='\n').writerows(index)
    os.replace(making, folder)


def filtered(arm: str) -> bool:
  """Whether a selection filter may choose images of an arm: those of cut and paste are all kept."""
  return bool(set(ARMS[arm]) - {'cutpaste'})


def predictions(workdir: Path) -> Rows:
  """{file: row} of a run's predictions.csv."""
  with open(workdir / 'predictions.csv', newline='') as file:
    return {row['file']: row for row in csv.DictReader(file)}


def probabilities(rows: Rows) -> tuple[Int[np.ndarray, ' n'], Float[np.ndarray, 'n 2']]:
  """Labels and probabilities of good and defective, sorted by file."""
  ordered = [rows[file] for file in sorted(rows)]
  score = np.array([float(row['score']) for row in ordered])
  return np.array([row['truth'] != 'good' for row in ordered], int), np.stack([1 - score, score], -1)
