"""Made defects against real ones: each is looked at as a square around its mask."""

import dataclasses

import numpy as np
from absl import logging

from defect_jax.config import UserError
from defect_jax.data import dataset, photos, regions
from defect_jax.data.sources import folder
from defect_jax.evaluation import generation
from defect_jax.imagesets import writer

_NONE = dict.fromkeys(('kid', 'kid_ci', 'kid_of_training', 'novelty', 'memorised_fraction', 'diversity'))


def measure(config, photo_folder, root, made):
  """generation.measure of a made set's defects against real ones of config.measure.part; all None without these.

  Args: photo_folder: where the real ones are. root: of the set. made: list of Made.
  """
  view = regions.Geometry(size=config.measure.size, channels=3, region='mask')
  classes = _known(config, photo_folder)
  real, pool = (_real(classes, photo_folder, view, part) for part in (config.measure.part, config.part))
  against = {'measured_against': f'{len(real)} real defects of the part {config.measure.part}'}
  if not made or not len(real):
    return _NONE | against
  squares = [_square(root, image, view) for image in made]
  squares = np.stack([square for square in squares if square is not None])
  return generation.measure(squares, pool, real, config.seed) | against


def _known(config, photo_folder):
  """Those of the asked defects that there are photos of, all of them where there are of none."""
  there = {record.label for record in folder.list(photo_folder, 'photos', plain=True)}
  known = [name for name in config.defects if name in there]
  if known and len(known) < len(config.defects):
    logging.warning('measured against real defects of %s alone: there are none of the others', ', '.join(known))
  return known or config.defects


def _real(classes, photo_folder, view, part):
  try:
    return dataset.load(source='folder', path=str(photo_folder), part=part, defects=classes, max_broken=1.,
                        **dataclasses.asdict(view)).images()
  except UserError as error:
    logging.info('no real defects of part %s to measure against: %s', part, error)
    return np.zeros((0, view.size, view.size, 3), np.float32)


def _square(root, image, view):
  try:
    photo, mask = (writer.read_levels(root / name) for name in (image.file, image.mask))
    return regions.place(photo, mask > 0, view, image.file)[0]
  except photos.PhotoError as error:
    logging.warning('not measured: %s', error)
    return None
