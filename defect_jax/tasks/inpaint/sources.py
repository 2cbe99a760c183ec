"""The photos that are to be changed, and the real defect masks among them."""

import dataclasses
import functools
import hashlib
import itertools
from concurrent import futures

import numpy as np
from absl import logging

from defect_jax.config import UserError
from defect_jax.data import dataset, parts, photos
from defect_jax.diffusion import geometry, masks, weights

_THREADS = 4  # large photos decoded at a time


@dataclasses.dataclass(frozen=True)
class Source:
  """A photo: its record and its file's SHA-256."""
  record: parts.Record
  sha256: str

  def decode(self):
    """The photo as decoded; UserError where the file is not the one it was when the run began."""
    try:
      data = photos.read(self.record.photo, self.record.file)
    except photos.PhotoError as error:
      raise UserError(f'{error}; put the photo back or begin another run') from error
    if hashlib.sha256(data).hexdigest() != self.sha256:
      raise UserError(f'{self.record.file}: changed since the run began; put the photo back or begin another run')
    return photos.decode(data, self.record.file)


def folder_of(config):
  """Where the photos are, as folder.list takes it; `default` are surfaces that come with this package.

  UserError where other weights do not know these.
  """
  if config.photos != weights.DEFAULT:
    return config.photos
  if config.weights not in (weights.DEFAULT, weights.RANDOM):
    raise UserError(f'photos = {weights.DEFAULT}: these are the surfaces that weights = {weights.DEFAULT} knows; name '
                    'the folder of your photos')
  return weights.SURFACES


def choose(records, config, settings, fixed):
  """The photos that images are made of, in the order they are taken.

  Args:
    records: of all photos. config: of the run. settings: geometry.Settings. fixed: of `fixed_mask`.

  Returns (list of Source, list of dataset.Skipped). No more are opened than are needed. UserError where there is none.
  """
  dataset.check_classes(config.classes, records, 'classes')
  usable = _in_part([record for record in records if record.label in config.classes], config.part)
  order = np.random.default_rng(config.seed).permutation(len(usable))
  needed, sources, skipped = -(-config.count // config.variants), [], []
  with futures.ThreadPoolExecutor(_THREADS) as pool:
    rest = iter(order)
    while len(sources) < needed and (lot := list(itertools.islice(rest, min(needed - len(sources), 4 * _THREADS)))):
      for found in pool.map(lambda row: _opened(usable[row], settings, fixed), lot):
        (sources if isinstance(found, Source) else skipped).append(found)
  if not sources:
    others = f' (and {len(skipped) - 1} more photos)' if len(skipped) > 1 else ''
    raise UserError(f'photos: none can be used: {skipped[0].file}: {skipped[0].reason}{others}')
  return sources, skipped


def _in_part(records, part):
  chosen = [record for record in records if record.part == part]
  if not chosen:
    raise UserError(f'photos: none of {len(records)} photos is in part {part}; take other photos, or give them a group '
                    'of that part by an index.csv with the columns path and group')
  return chosen


def _opened(record, settings, fixed):
  """Source, or Skipped."""
  try:
    data = photos.read(record.photo, record.file)
    shape = photos.decode(data, record.file).shape[:2]
    mask = fixed(shape, record.file) if fixed else None
    _, (left, top, width, height) = geometry.place(shape, settings, np.random.default_rng(0), record.file,
                                                   None if mask is None else masks.bounds(mask))
    if mask is not None and not mask[top:top + height, left:left + width].any():
      raise photos.PhotoError(record.file, 'the target area holds nothing of the mask')
  except photos.PhotoError as error:
    return dataset.Skipped(record.file, error.told_of(record.file))
  return Source(record, hashlib.sha256(data).hexdigest())


def fixed_mask(settings):
  """What the kinds polygon and png mark in every photo: a function of (shape, name) to bool `[H, W]`, which raises
  PhotoError where it does not fit; None for the other kinds. UserError for a mask that cannot be used at all."""
  if settings.kind == 'polygon':
    masks.check_polygon(settings.polygon)
    return functools.lru_cache(2)(functools.partial(masks.polygon, tuple(settings.polygon)))
  if settings.kind != 'png':
    return None
  mask = masks.read(settings.file)

  def of_photo(shape, name):
    if mask.shape != shape:
      raise photos.PhotoError(name, f'is {shape[1]} x {shape[0]} px, the mask {settings.file} {mask.shape[1]} x '
                                    f'{mask.shape[0]} px')
    return mask
  return of_photo


def real_marks(records, part, defects):
  """The defect masks of a part: {defect: list of masks.RealMask}.

  A defect of which there are no masks takes those of all classes. UserError where there is none at all.
  """
  known = [record for record in records if record.annotation and record.part == part]
  with futures.ThreadPoolExecutor(_THREADS) as pool:
    found = list(zip(known, pool.map(_marks, known), strict=True))
  every = [marks for _, marks in found if marks is not None]
  if not every:
    raise UserError(f'masks.kind = real: there are no defect masks of part {part} among the photos '
                    '(ground_truth/<class>/<stem>_mask.png); choose another kind')
  return {defect: [marks for record, marks in found if marks is not None and record.label == defect] or every
          for defect in defects}


def _marks(record):
  try:
    marked = record.annotation.read(photos.decode(record.photo, record.file).shape[:2])
  except photos.PhotoError as error:
    logging.warning('skipped %s', error)
    return None
  return masks.RealMask.of(marked) if marked.any() else None
