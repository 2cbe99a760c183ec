"""The photos of a classifier: by class, for training, for early stopping and for testing, no group in two of them."""

import contextlib
import dataclasses
import math
import os
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from defect_jax.data import dataset, listing, parts, prepared
from defect_jax.data.dataset import InMemory, Prepared, Skipped
from defect_jax.data.parts import GOOD
from defect_jax.data.photos import PhotoError
from defect_jax.errors import UserError

DEFECT = 'defect'  # the class that all defects are merged to
_FEW = 5  # workpieces of a class in a measured part, below which a note says so


@dataclasses.dataclass(frozen=True)
class Splits:
  """Photos of numbered classes; no group is in two of `train`, `validation` and `test`.

  classes: names, good first. defects: names of the defects, which `classes` has as one where they are merged.
  validation: photos of the pool that early stopping looks at; may be empty, as `train` where nothing is trained.
  skipped: photos left out. notes: further lines for the user. part_of: {file: part} of all photos. apart: {SHA-256:
  file} of those of dev and final. held_files, held_sha256: of all photos of the groups in `validation`.
  """
  classes: list[str]
  defects: list[str]
  train: InMemory
  validation: InMemory
  test: InMemory
  skipped: tuple[Skipped, ...]
  notes: tuple[str, ...]
  part_of: Mapping[str, str] = dataclasses.field(default_factory=dict)
  apart: Mapping[str, str] = dataclasses.field(default_factory=dict)
  held_files: frozenset[str] = frozenset()
  held_sha256: frozenset[str] = frozenset()


def split(*, part: str, share: float, seed: int, test_only: bool, source: str, path: str | os.PathLike | None,
          more: Sequence[str] = (), defects: Sequence[str] = (), merge: bool = False, good: int = 0, few_shot: int = 0,
          resident_mb: float = math.inf, **data: Any) -> Splits:
  """Splits the photos that the values of a config's `data` group describe, of which `part` ('dev', 'final') is tested.

  share: of the pool, for validation. test_only: whether to open no others. more: further sets beside `source` and
  `path`: folders, or 'elpv'. good, few_shot: how many good photos and how many defective ones are drawn from the pool
  of each set by `seed`; 0: all. data: see dataset.load. Raises UserError for what cannot be trained on or tested.
  """
  paths = (source, path), *(('elpv', None) if name == 'elpv' else ('folder', name) for name in more)
  sets = [_Set(number, *where, seed, data) for number, where in enumerate(paths)]
  records = [record for photo_set in sets for record in photo_set.records]
  names = _defects(defects, records)
  classes = [GOOD, DEFECT] if merge else [GOOD, *names]
  tested = [opened for photo_set in sets for opened in photo_set.open((GOOD, *names), part, 0)]
  drawn = [opened for photo_set in sets if not test_only
           for opened in (*photo_set.open((GOOD,), 'pool', good), *photo_set.open(names, 'pool', few_shot))]
  check_resident([photos for _, photos in tested + drawn], resident_mb)
  test, notes = without_repeats(_numbered(tested, classes, part), part)
  notes += few_workpieces(test, classes)
  skipped = tuple(dict.fromkeys(photo for _, photos in tested + drawn for photo in photos.skipped))
  notes = [note for _, photos in tested + drawn for note in photos.notes] + notes
  if test_only:
    none = test.only([])
    return Splits(classes, names, none, none, test, skipped, tuple(dict.fromkeys(notes)))
  pool, repeats = without_repeats(_numbered(drawn, classes, 'pool'), 'pool')
  # Those of dev and of final, whichever is tested: a later run may test this classifier on the other.
  apart = {sha256: file for photo_set in sets for sha256, file in photo_set.digests()}
  pool, copies = without_copies(pool, apart)
  _check_each(pool, classes, 'pool')
  held = hold_out(pool.labels, pool.groups, share, seed)
  validation = pool.only(held)
  mates = [mate for photo_set in sets for mate in photo_set.digests(set(validation.groups))]
  # Of two sets with a file of one name the held-out one counts: better a refusal than a leak.
  part_of = {record.file: record.part for record in sorted(records, key=lambda record: record.part != 'pool')}
  return Splits(classes, names, pool.only(~held), validation, test, skipped,
                tuple(dict.fromkeys(notes + repeats + copies)), part_of, apart,
                frozenset((*validation.files, *(file for _, file in mates))),
                frozenset((*validation.sha256, *(sha256 for sha256, _ in mates))))


def number_of(name: str, classes: Sequence[str]) -> int:
  """Number of a class; where all defects are one, 1 for any but good."""
  return 1 if name != GOOD and list(classes) == [GOOD, DEFECT] else classes.index(name)


def hold_out(labels: Int[np.ndarray, 'n'], groups: Sequence[str], share: float, seed: int) -> Bool[np.ndarray, 'n']:
  """Which photos early stopping looks at: about `share` of each class, whole groups, drawn by `seed`.

  The rarest class chooses first. Raises UserError if a class has too few groups to be on both sides.
  """
  held, groups = set(), np.array(groups)
  if not share:
    return np.zeros(len(labels), bool)
  groups_of = {label: set(groups[labels == label].tolist()) for label in np.unique(labels)}
  for label in sorted(groups_of, key=lambda label: int(np.sum(labels == label))):
    own = groups[labels == label]
    order = sorted(groups_of[label], key=lambda group: parts.digest(f'{seed}/validation/{group}'))
    wanted, have = max(1, math.floor(share * len(own))), int(np.isin(own, list(held)).sum())
    for group in order:
      if have >= wanted:
        break
      # A group that would leave nothing of some class to train on stays.
      if group not in held and not any(all_groups <= held | {group} for all_groups in groups_of.values()):
        held.add(group)
        have += int(np.sum(own == group))
    if not have:
      raise UserError(f'validation.share = {share:g}: a class has {len(own)} photos of {len(order)} groups, too few to '
                      'hold some out and train on others; set it to 0, or take more photos')
  return np.isin(groups, list(held))


def few_workpieces(test: InMemory, classes: Sequence[str]) -> Iterator[str]:
  """Lines about classes whose intervals can hardly tell how much other workpieces would differ."""
  for label, name in enumerate(classes):
    count = len({test.groups[row] for row in np.flatnonzero(test.labels == label)})
    if count < _FEW:
      yield f'the tested photos of {name} show {count} workpiece{"s" * (count > 1)}: intervals are too narrow'


def without_repeats(photos: InMemory, part: str) -> tuple[InMemory, list[str]]:
  """The photos but those that are there already, under another name or in another set, and a note on these."""
  first = {sha256: row for row, sha256 in reversed([*enumerate(photos.sha256)])}
  repeats = [row for row, sha256 in enumerate(photos.sha256) if first[sha256] != row]
  notes = [f'{len(repeats)} photos of the part {part} are in it twice and count once; such as {photos.files[row]}, '
           f'which is {photos.files[first[photos.sha256[row]]]}' for row in repeats[:1]]
  return photos.only(sorted(first.values())), notes


def without_copies(pool: InMemory, apart: Mapping[str, str]) -> tuple[InMemory, list[str]]:
  """The photos of the pool but those that stand in dev or final under another name, and a note on these."""
  copies = np.array([sha256 in apart for sha256 in pool.sha256], bool)
  notes = [f'{copies.sum()} photos of the pool are of dev or final too, under another name, so are not trained on; '
           f'such as {pool.files[row]}, which is {apart[pool.sha256[row]]}' for row in np.flatnonzero(copies)[:1]]
  return pool.only(~copies), notes


def check_resident(datasets: Iterable[dataset.Dataset], resident_mb: float) -> None:
  """Raises UserError if the photos of some sets take more memory as float32."""
  size = sum(2 * photos.nbytes for photos in datasets) / 2**20
  if size > resident_mb:
    raise UserError(f'data.resident_mb = {resident_mb:g}: the photos take {size:.0f} MB; raise it, or take '
                    'fewer photos (data.good) or a smaller data.size')


class _Set:
  """The records of one set of photos, and how they are opened."""

  def __init__(self, number: int, source: str, path: str | os.PathLike | None, seed: int, data: Mapping[str, Any]):
    """number: of the set among all."""
    self._data = {**data, 'source': source, 'path': path, 'seed': seed}
    self._name = f'{source} {number}' if number else source
    self.records = listing.list_photos(**self._data)
    self._sha256 = {}  # of files that were opened

  def open(self, classes: Sequence[str], part: str, count: int) -> Iterator[tuple['_Set', Prepared]]:
    """The pair of this set and its photos of some classes in a part, `count` of them, if there are any."""
    there = {record.label for record in self.records}
    if any(record.label in classes and record.part == part for record in self.records):
      photos = dataset.load(records=self.records, part=part, few_shot=count, **self._data,
                            defects=[name for name in classes if name in there])
      self._sha256 |= zip(photos.files, photos.sha256, strict=True)
      yield self, photos

  def digests(self, groups: Container[str] | None = None) -> Iterator[tuple[str, str]]:
    """Pairs (SHA-256, file) of all photos outside the pool, or of the pool's of some `groups`, drawn or not.

    A photo that cannot be read can be no copy of one that is trained on.
    """
    for record in self.records:
      in_pool = record.part == 'pool'
      wanted = not in_pool if groups is None else in_pool and self.group(record.group) in groups
      if wanted:
        with contextlib.suppress(PhotoError):
          yield self._sha256.get(record.file) or prepared.photo_sha256(record), record.file

  def group(self, name):
    """The name of a group among those of all sets; groups of two sets are two, wherever the sets lie."""
    return f'{self._name}: {name}'


def _defects(wanted, records):
  """Names of the wanted classes of defects, all of them where none are named."""
  defective = [record for record in records if record.label != GOOD]
  listing.check_classes(wanted, defective)
  if not defective:
    raise UserError('data: the photos are all good, so there is nothing to tell apart; add photos of a defect')
  return list(wanted) or listing.labels_of(defective)


def _numbered(opened, classes, part):
  """The photos of pairs of _Set and Dataset as one, with numbered classes; UserError if a class has no photos."""
  if not opened:
    raise UserError(f'data: the part {part} has no photos of these classes; add photos, or name others')
  joined = InMemory.joined([
      InMemory(photos.images(), np.int32([number_of(name, classes) for name in photos.labels]), photos.files,
               [*map(photo_set.group, photos.groups)], photos.sha256,
               records=photos.records) for photo_set, photos in opened])
  _check_each(joined, classes, part)
  return joined


def _check_each(photos, classes, part):
  if missing := [name for label, name in enumerate(classes) if not np.any(photos.labels == label)]:
    raise UserError(f'data: the part {part} has no photos of {", ".join(missing)}; leave the class out of data.defects '
                    'or add photos')
