"""The photos that are to be changed, and the masks of where: fixed ones, and those of real defects among the photos."""

import dataclasses
import functools
import hashlib
import itertools
import os
from collections.abc import Callable, Sequence
from concurrent import futures
from pathlib import Path

import numpy as np
from absl import logging
from jaxtyping import Shaped

from defect_jax.data import dataset, listing, parts, photos
from defect_jax.diffusion import geometry, masks, weights
from defect_jax.errors import UserError

FixedMask = Callable[[masks.Shape, str], masks.Mask]
_THREADS = 4  # large photos decoded at a time


@dataclasses.dataclass(frozen=True)
class Source:
  """A photo: its record and its file's SHA-256."""
  record: parts.Record
  sha256: str

  def decode(self) -> Shaped[np.ndarray, 'h w *c']:
    """The photo; raises UserError if its file has changed since the run began."""
    try:
      data = self.record.read()
    except photos.PhotoError as error:
      raise UserError(f'{error}; put the photo back or begin another run') from error
    if hashlib.sha256(data).hexdigest() != self.sha256:
      raise UserError(f'{self.record.file}: changed since the run began; put the photo back or begin another run')
    return self.record.decode(data)


def folder_of(name: str | None, weights_name: str | None) -> str | os.PathLike | None:
  """`name`, or, for `default`, the surfaces that come with this package; UserError if the weights don't know these."""
  if name != weights.DEFAULT:
    return name
  if weights_name not in (weights.DEFAULT, weights.RANDOM):
    raise UserError(f'photos = {weights.DEFAULT}: these are the surfaces that weights = {weights.DEFAULT} knows; name '
                    'the folder of your photos')
  return weights.SURFACES


def choose(records: Sequence[parts.Record], part: str, classes: Sequence[str], count: int, seed: int,
           settings: geometry.Settings, fixed: FixedMask | None) -> tuple[list[Source], list[dataset.Skipped]]:
  """The `count` photos that images are made of, in their order, and those skipped; UserError if none can be used."""
  listing.check_classes(classes, records, 'classes')
  of_classes = [record for record in records if record.label in classes]
  usable = listing.of_part(of_classes, part)
  if not usable:
    raise UserError(f'photos: none of {len(of_classes)} photos is in part {part}; take other photos, or give them a '
                    'group of that part by an index.csv with the columns path and group')
  sources, skipped, rest = [], [], iter(np.random.default_rng(seed).permutation(len(usable)))
  with futures.ThreadPoolExecutor(_THREADS) as pool:
    while len(sources) < count and (rows := list(itertools.islice(rest, min(count - len(sources), 4 * _THREADS)))):
      for opened in pool.map(lambda row: _opened(usable[row], settings, fixed), rows):
        (sources if isinstance(opened, Source) else skipped).append(opened)
  if not sources:
    others = f' (and {len(skipped) - 1} more photos)' if len(skipped) > 1 else ''
    raise UserError(f'photos: none can be used: {skipped[0].file}: {skipped[0].reason}{others}')
  return sources, skipped


def _opened(record, settings, fixed):
  """Source, or Skipped."""
  try:
    data = record.read()
    shape = record.decode(data).shape[:2]
    mask = fixed(shape, record.file) if fixed else None
    bounds = None if mask is None else masks.bounds(mask)
    _, target = geometry.place(shape, settings, np.random.default_rng(0), record.file, bounds)
    if mask is not None and not mask[masks.slices(target)].any():
      raise photos.PhotoError(record.file, 'the target area holds nothing of the mask')
  except photos.PhotoError as error:
    return dataset.Skipped(record.file, error.told_of(record.file))
  return Source(record, hashlib.sha256(data).hexdigest())


def fixed_mask(kind: str, points: Sequence[float] | None, file: str | Path | None) -> FixedMask | None:
  """The mask of every photo of the kinds polygon and png, by (shape, name); None for other kinds.

  Raises UserError for a mask that cannot be used at all, and itself PhotoError for a photo that it does not fit.
  """
  if kind == 'polygon' and points is not None:
    masks.check_polygon(points)
    return functools.lru_cache(2)(functools.partial(masks.polygon, tuple(points)))
  if kind != 'png' or file is None:
    return None
  mask = masks.read(file)

  def of_photo(shape, name):
    if mask.shape != shape:
      sides = f'{mask.shape[1]} x {mask.shape[0]} px'
      raise photos.PhotoError(name, f'is {shape[1]} x {shape[0]} px, the mask {file} {sides}')
    return mask
  return of_photo


def real_masks(records: Sequence[parts.Record], part: str, defects: Sequence[str]) -> dict[str, list[masks.RealMask]]:
  """The masks of a part by defect, or those of all classes if it has none; raises UserError if there is none at all."""
  known = [record for record in listing.of_part(records, part) if record.annotation]
  with futures.ThreadPoolExecutor(_THREADS) as pool:
    read = [(record.label, mask) for record, mask in zip(known, pool.map(_mask_of, known), strict=True) if mask]
  every = [mask for _, mask in read]
  if not every:
    raise UserError(f'masks.kind = real: there are no defect masks of part {part} among the photos '
                    '(ground_truth/<class>/<stem>_mask.png); choose another kind')
  return {defect: [mask for label, mask in read if label == defect] or every for defect in defects}


def _mask_of(record):
  try:
    mask = record.annotation.read(record.decode().shape[:2])
  except photos.PhotoError as error:
    logging.warning('skipped %s', error)
    return None
  return masks.RealMask.of(mask) if mask.any() else None
