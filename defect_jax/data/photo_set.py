"""One of the sets of photos that a classifier is trained on and tested with."""

import contextlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from defect_jax.data import dataset, folds, listing, parts
from defect_jax.data.dataset import Prepared
from defect_jax.data.photos import PhotoError


class PhotoSet:
  """The records of one set of photos, and how they are opened."""

  def __init__(self, number: int, source: str, path: str | os.PathLike | None, seed: int, data: Mapping[str, Any]):
    """number: of the set among all."""
    self._data = {**data, 'source': source, 'path': path, 'seed': seed}
    self._name = f'{source} {number}' if number else source
    listed = listing.list_photos(**self._data)
    self.records, self.notes = listed.records, listed.notes
    self._sha256 = {}  # of files that were opened

  def open(self, classes: Sequence[str], part: str, count: int) -> Iterator[tuple['PhotoSet', Prepared]]:
    """The pair of this set and its photos of some classes in a part, `count` of them, if there are any."""
    there = listing.of_part([record for record in self.records if record.label in classes], part)
    if there:
      photos = dataset.load(records=self.records, part=part, few_shot=count, **self._data,
                            defects=[name for name in classes if name in listing.labels_of(self.records)])
      self._sha256 |= zip(photos.files, photos.sha256, strict=True)
      yield self, photos

  def digests(self) -> Iterator[tuple[str, str]]:
    """Pairs (SHA-256, file) of all photos that are held out."""
    return (mate for _, mate in self._digests(record for record in self.records if record.part not in parts.TRAINED_ON))

  def mates(self, groups: Collection[str]) -> Iterator[tuple[str, tuple[str, str]]]:
    """(group, (SHA-256, file)) of all photos of some groups that may be trained on, drawn or not."""
    return self._digests(record for record in self.records
                         if record.part in parts.TRAINED_ON and self.group(record.group) in groups)

  def _digests(self, records):
    """A photo that cannot be read can be no copy of one that is trained on."""
    for record in records:
      with contextlib.suppress(PhotoError):
        yield self.group(record.group), (self._sha256.get(record.file) or record.sha256(), record.file)

  def folds(self, count: int) -> Iterator[tuple[str, int]]:
    """(group, fold) of all groups, the same for a VAE of this set."""
    fold_of = folds.assign(self.records, count)
    return ((self.group(record.group), fold_of[record.file]) for record in self.records)

  def group(self, name: str) -> str:
    """The name of a group among those of all sets; groups of two sets are two, wherever the sets lie."""
    return f'{self._name}: {name}'
