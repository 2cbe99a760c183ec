"""Electroluminescence photos of solar cells from the elpv-dataset package (300 px, grey), CC BY-NC-SA 4.0.

Buerhop-Lutz et al. 2018, "A Benchmark for Visual Identification of Defective Solar Cells in Electroluminescence
Imagery", EU PVSEC.
"""

import builtins
import importlib.util
import os
import pathlib

from defect_jax.config import UserError
from defect_jax.data import parts

TITLE = 'solar cells of the elpv-dataset'
CELL_TYPES = ('mono', 'poly', 'all')
_CLASSES = {0: 'good', 1: 'maybe_good', 2: 'maybe_defective', 3: 'defective'}  # by thirds of the defect probability


def missing(root: pathlib.Path) -> builtins.list[str]:
  """What the folder lacks to be of this layout."""
  try:
    with open(root / 'labels.csv') as file:
      first = file.readline().split()
  except (OSError, ValueError):
    first = []
  return [] if len(first) == 3 and first[2] in CELL_TYPES else ['labels.csv with lines of "file probability type"']


def list(path: str | os.PathLike | None = None, cell_type: str = 'mono') -> builtins.list[parts.Record]:
  """Lists all photos of a cell type ('mono', 'poly', 'all'), each its own group.

  Reads labels.csv of `path`, by default the package's data folder; opens no photo.
  """
  if cell_type not in CELL_TYPES:
    raise UserError(f'data.cell_type: {cell_type!r} is none of {", ".join(CELL_TYPES)}')
  root = pathlib.Path(path) if path else _package_folder()
  try:
    lines = (root / 'labels.csv').read_text().splitlines()
  except (OSError, ValueError) as error:
    raise UserError(f'{root / "labels.csv"}: cannot be read ({error}); leave data.path empty for the '
                    'photos of the elpv-dataset package') from error
  return [record for number, line in enumerate(lines, 1) if line.strip()
          if (record := _record(root, number, line, cell_type))]


def _record(root, number, line, cell_type):
  """The Record of a line of labels.csv, None for one of another cell type."""
  try:
    file, probability, kind = line.split()
    label = _CLASSES[round(3 * float(probability))]
  except (ValueError, OverflowError, LookupError) as error:
    raise UserError(f'{root / "labels.csv"}: line {number} is not "file probability type" with spaces between, as in '
                    'the elpv-dataset; for photos of your own take data.source=folder') from error
  return parts.Record(file=file, label=label, group=file, photo=root / file) if cell_type in (kind, 'all') else None


def _package_folder():
  spec = importlib.util.find_spec('elpv_dataset')
  if spec is None or spec.origin is None:
    raise UserError('data.source elpv: the package elpv-dataset is not installed; pip install elpv-dataset')
  return pathlib.Path(spec.origin).parent / 'data'
