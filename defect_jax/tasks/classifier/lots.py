"""Photos in memory with their labels, and what a class is called."""

import dataclasses
import itertools

import numpy as np

from defect_jax.data import regions

GOOD, DEFECT = 'good', 'defect'


@dataclasses.dataclass(frozen=True)
class Lot:
  """Photos in memory: images float32 `[N, S, S, C]` in [0, 1], labels int `[N]`, names of files and groups, and the
  SHA-256 of each photo's file; of a made image that of its source, '' where it has none."""
  images: np.ndarray
  labels: np.ndarray
  files: list
  groups: list
  sha256: list

  def __len__(self):
    return len(self.labels)

  def only(self, rows):
    """The Lot of some rows, bool or int."""
    rows = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else rows
    return Lot(self.images[rows], self.labels[rows],
               *([texts[row] for row in rows] for texts in (self.files, self.groups, self.sha256)))

  @classmethod
  def joined(cls, lots):
    images, labels, *texts = zip(*((lot.images, lot.labels, lot.files, lot.groups, lot.sha256) for lot in lots),
                                 strict=True)
    return cls(np.concatenate(images), np.concatenate(labels), *(list(itertools.chain(*of)) for of in texts))


def geometry_of(config, region=None):
  """regions.Geometry of a config, or with another region."""
  data = config.data
  return regions.Geometry(data.size, data.channels, region or data.region, data.context, data.box, data.fit)


def label_of(name, classes):
  """Number of a class; where all defects are one, 1 for any but good."""
  if name != GOOD and classes == [GOOD, DEFECT]:
    return 1
  return classes.index(name)
