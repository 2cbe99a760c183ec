"""Made defects against real ones: each is looked at as a square around its mask."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from defect_jax.data import dataset, photos, regions
from defect_jax.data.sources import folder
from defect_jax.errors import UserError
from defect_jax.evaluation import generation
from defect_jax.imagesets import writer
from defect_jax.imagesets.manifest import Made

_NONE = dict.fromkeys(('kid', 'kid_ci', 'kid_of_training', 'novelty', 'memorised_fraction', 'diversity'))


def measure(made: Sequence[Made], root: Path, photo_folder: Path, defects: Sequence[str], part: str, against: str,
            size: int, seed: int) -> dict[str, Any]:
  """generation.measure of the defects of a made set in `root`; all None if there are no real ones.

  part: of the photos that the set was made of; against: the part of the real defects that it is compared with.
  """
  geometry = regions.Geometry(size=size, channels=3, region='mask')
  classes = _known(defects, photo_folder)
  real, pool = (_real(classes, photo_folder, geometry, of_part) for of_part in (against, part))
  measured = {'measured_against': f'{len(real)} real defects of the part {against}'}
  if not made or not len(real):
    return _NONE | measured
  squares = [square for image in made if (square := _square(root, image, geometry)) is not None]
  return generation.measure(np.stack(squares), pool, real, seed) | measured


def _known(defects, photo_folder):
  """Those of the defects that there are photos of; all of them if there are none of any."""
  labels = {record.label for record in folder.list(photo_folder, 'photos', plain=True)}
  known = [name for name in defects if name in labels]
  if known and len(known) < len(defects):
    logging.warning('measured against real defects of %s alone: there are none of the others', ', '.join(known))
  return known or defects


def _real(classes, photo_folder, geometry, part):
  try:
    return dataset.load(source='folder', path=str(photo_folder), part=part, defects=classes, max_broken=1.,
                        **dataclasses.asdict(geometry)).images()
  except UserError as error:
    logging.info('no real defects of part %s to measure against: %s', part, error)
    return np.zeros((0, geometry.size, geometry.size, 3), np.float32)


def _square(root, image, geometry):
  try:
    photo, mask = (writer.read_levels(root / name) for name in (image.file, image.mask))
    return regions.place(photo, mask > 0, geometry, image.file)[0]
  except photos.PhotoError as error:
    logging.warning('not measured: %s', error)
    return None
