"""Photos in memory with their labels, and what a class is called."""

import dataclasses

import numpy as np

from defect_jax.data import regions

GOOD, DEFECT = 'good', 'defect'


@dataclasses.dataclass(frozen=True)
class Lot:
  """Photos in memory: images float32 `[N, S, S, C]` in [0, 1], labels int `[N]`, and names of files and groups."""
  images: np.ndarray
  labels: np.ndarray
  files: list
  groups: list

  def __len__(self):
    return len(self.labels)

  def only(self, rows):
    """The Lot of some rows, bool or int."""
    rows = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else rows
    return Lot(self.images[rows], self.labels[rows], [self.files[row] for row in rows],
               [self.groups[row] for row in rows])

  @classmethod
  def joined(cls, lots):
    return cls(np.concatenate([lot.images for lot in lots]), np.concatenate([lot.labels for lot in lots]),
               [file for lot in lots for file in lot.files], [group for lot in lots for group in lot.groups])


def geometry_of(config, region=None):
  """regions.Geometry of a config, or with another region."""
  data = config.data
  return regions.Geometry(data.size, data.channels, region or data.region, data.context, data.box, data.fit)


def label_of(name, classes):
  """Number of a class; where all defects are one, 1 for any but good."""
  if name != GOOD and classes == [GOOD, DEFECT]:
    return 1
  return classes.index(name)
