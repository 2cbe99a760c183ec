"""The photos of a classifier: by class, for training, for early stopping and for testing, no group in two of them."""

import dataclasses
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from defect_jax.data import dataset, listing, parts
from defect_jax.data.dataset import InMemory, Skipped
from defect_jax.data.parts import GOOD
from defect_jax.data.photo_set import PhotoSet
from defect_jax.errors import UserError

DEFECT = 'defect'  # the class that all defects are merged to
_FEW = 5  # workpieces of a class in a measured part, below which a note says so


@dataclasses.dataclass(frozen=True)
class Splits:
  """Photos of numbered classes; no group is in two of `train`, `validation` and `test`.

  classes: names, good first. defects: names of the defects, which `classes` has as one where they are merged. part:
  that is tested. validation: photos that early stopping looks at; may be empty, as `train` where nothing is trained,
  and `test` where nothing is held out. skipped: photos left out. notes: further lines for the user. part_of: {file:
  part} of all photos. apart: {SHA-256: file} of those that nothing may be made from. held_files, held_sha256: of all
  photos of the groups in `validation`. fold_of: of cross-validation, the fold of each photo in `train`; empty without.
  mates: the (SHA-256, file) of all photos of each group that is trained on, drawn or not.
  """
  classes: list[str]
  defects: list[str]
  part: str
  train: InMemory
  validation: InMemory
  test: InMemory
  skipped: tuple[Skipped, ...]
  notes: tuple[str, ...]
  part_of: Mapping[str, str] = dataclasses.field(default_factory=dict)
  apart: Mapping[str, str] = dataclasses.field(default_factory=dict)
  held_files: frozenset[str] = frozenset()
  held_sha256: frozenset[str] = frozenset()
  fold_of: Int[np.ndarray, 'n'] = dataclasses.field(default_factory=lambda: np.zeros(0, int))
  mates: Mapping[str, Sequence[tuple[str, str]]] = dataclasses.field(default_factory=dict)

  @property
  def folds(self) -> int:
    """How many there are; 0 without cross-validation."""
    return int(self.fold_of.max(initial=-1)) + 1

  @property
  def trained_on(self) -> Sequence[str]:
    """The parts that made images may come from."""
    return parts.TRAINED_ON if self.part == parts.ALL else parts.TRAINED_ON[:1]

  def fold(self, number: int, share: float, seed: int) -> 'Splits':
    """The photos of a fold, from 0 on, are tested, the others trained on but for the `share` that is held out."""
    is_tested = self.fold_of == number
    test, rest = self.train.only(is_tested), self.train.only(~is_tested)
    apart = {sha256: file for group in set(test.groups) for sha256, file in self.mates[group]}
    return dataclasses.replace(self, test=test, apart=apart)._holding_out(rest, share, seed, strict=False)

  def _holding_out(self, pool: InMemory, share: float, seed: int, strict: bool) -> 'Splits':
    """With `pool` to train on but for a share; where that is more than a class has, UserError or, not strict, none."""
    try:
      held = hold_out(pool.labels, pool.groups, share, seed)
    except UserError as error:
      if strict:
        raise
      return dataclasses.replace(self, train=pool)._noting(f'no early stopping: {error}')
    return dataclasses.replace(self, train=pool.only(~held))._held(pool.only(held))

  def _noting(self, *notes: str) -> 'Splits':
    return dataclasses.replace(self, notes=(*self.notes, *notes))

  def _held(self, validation: InMemory) -> 'Splits':
    mates = [mate for group in set(validation.groups) for mate in self.mates.get(group, ())]
    return dataclasses.replace(
        self, validation=validation, held_files=frozenset((*validation.files, *(file for _, file in mates))),
        held_sha256=frozenset((*validation.sha256, *(sha256 for sha256, _ in mates))))


def split(*, part: str, share: float, seed: int, test_only: bool, source: str, path: str | os.PathLike | None,
          more: Sequence[str] = (), defects: Sequence[str] = (), merge: bool = False, good: int = 0, few_shot: int = 0,
          resident_mb: float = math.inf, split: str = 'hash', folds: int = 5, **data: Any) -> Splits:
  """Splits the photos that the values of a config's `data` group describe.

  split: hash: `part` ('dev', 'final') is tested, of the pool `share` is for validation. folders: test/ is tested, val/
  is for validation if it has all classes. none: all are trained on and none tested. kfold: as none, with `fold_of`.
  test_only: whether to open what is tested alone; of none and kfold these are all photos. more: further sets beside
  `source` and `path`: folders, or 'elpv'. good, few_shot: how many good photos and how many defective ones are drawn by
  `seed` of those that each set has to train on; 0: all. data: see dataset.load. Raises UserError for what cannot be
  trained on or tested.
  """
  part, is_whole = parts.MEASURED.get(split, part), split in ('none', 'kfold')
  paths = (source, path), *(('elpv', None) if name == 'elpv' else (listing.AUTO, name) for name in more)
  sets = [PhotoSet(number, *where, seed, data | {'split': split}) for number, where in enumerate(paths)]
  records = [record for photo_set in sets for record in photo_set.records]
  names = _defects(defects, records)
  classes, every = [GOOD, DEFECT] if merge else [GOOD, *names], (GOOD, *names)
  notes = [note for photo_set in sets for note in photo_set.notes]

  def opened(part, counts=((every, 0),)):
    """Photos of a part, so many of some classes; none if there are none."""
    pairs = [pair for photo_set in sets for of, count in counts for pair in photo_set.open(of, part, count)]
    check_resident([photos for _, photos in pairs], resident_mb)
    skipped.extend(photo for _, photos in pairs for photo in photos.skipped)
    notes.extend(note for _, photos in pairs for note in photos.notes)
    return _numbered(pairs, classes) if pairs else None

  skipped: list[Skipped] = []
  test, repeats = without_repeats(_whole(opened('pool' if is_whole else part), classes, part), part) if (
      test_only or not is_whole) else (None, [])
  notes += [*repeats, *(few_workpieces(test, classes) if test else ())]
  if test_only:
    assert test is not None
    return Splits(classes, names, part, test.only([]), test.only([]), test, _once(skipped), _once(notes))
  pool, repeats = without_repeats(_whole(opened('pool', (((GOOD,), good), (names, few_shot))), classes, 'pool'), 'pool')
  held = opened('dev') if split == 'folders' else None
  # Those of dev and of final, whichever is tested: a later run may test this classifier on the other.
  apart = {sha256: file for photo_set in sets for sha256, file in photo_set.digests()}
  pool, copies = without_copies(pool, apart)
  _check_each(pool, classes, 'pool')
  notes += repeats + copies
  # Of two sets with a file of one name the held-out one counts: better a refusal than a leak.
  part_of = {record.file: record.part for record in sorted(records, key=lambda record: record.part in parts.TRAINED_ON)}
  mates: dict[str, list[tuple[str, str]]] = {}
  for group, mate in itertools.chain.from_iterable(photo_set.mates({*pool.groups}) for photo_set in sets):
    mates.setdefault(group, []).append(mate)
  none = pool.only([])
  found = Splits(classes, names, part, pool, none, test or none, _once(skipped), _once(notes), part_of, apart,
                 mates=mates)
  if split == 'none':
    return found
  if split == 'kfold':
    fold_of = dict(itertools.chain.from_iterable(photo_set.folds(folds) for photo_set in sets))
    found = dataclasses.replace(found, fold_of=np.array([fold_of[group] for group in pool.groups]))
    return found._noting(*_folds_notes(found, folds))
  if held and not (missing := missing_of(held, classes)):
    return found._held(held)
  found = found._holding_out(pool, share, seed, strict=split == 'hash')
  return found._noting(f'val/ has no photos of {", ".join(missing)}: early stopping looks at photos of train/ instead'
                       ) if held else found


def _once(lines):
  return tuple(dict.fromkeys(lines))


def _folds_notes(photos, folds):
  """Lines about the folds; UserError where nothing of a class would be left to train on."""
  if stuck := [name for label, name in enumerate(photos.classes)
               if len({*photos.fold_of[photos.train.labels == label].tolist()}) < 2]:
    raise UserError(f'data.split = kfold: all photos of {", ".join(stuck)} are in one fold, since they show one '
                    'workpiece or group; add photos, or set data.split=none')
  if photos.folds < folds:
    yield f'{photos.folds} folds instead of {folds}, since a class shows no more workpieces'
  yield from few_workpieces(photos.train, photos.classes)


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
  """The photos of the pool but those that are held out too under another name, and a note on these."""
  copies = np.array([sha256 in apart for sha256 in pool.sha256], bool)
  notes = [f'{copies.sum()} photos of the pool are held out too, under another name, so are not trained on; '
           f'such as {pool.files[row]}, which is {apart[pool.sha256[row]]}' for row in np.flatnonzero(copies)[:1]]
  return pool.only(~copies), notes


def check_resident(datasets: Iterable[dataset.Dataset], resident_mb: float) -> None:
  """Raises UserError if the photos of some sets take more memory as float32."""
  size = sum(2 * photos.nbytes for photos in datasets) / 2**20
  if size > resident_mb:
    raise UserError(f'data.resident_mb = {resident_mb:g}: the photos take {size:.0f} MB; raise it, or take '
                    'fewer photos (data.good) or a smaller data.size')


def _defects(wanted, records):
  """Names of the wanted classes of defects, all of them where none are named."""
  defective = [record for record in records if record.label != GOOD]
  listing.check_classes(wanted, defective)
  if not defective:
    raise UserError('data: the photos are all good, so there is nothing to tell apart; add photos of a defect')
  return list(wanted) or listing.labels_of(defective)


def _numbered(opened, classes):
  """The photos of pairs of PhotoSet and Dataset as one, with numbered classes."""
  return InMemory.joined([
      InMemory(photos.images(), np.int32([number_of(name, classes) for name in photos.labels]), photos.files,
               [*map(photo_set.group, photos.groups)], photos.sha256,
               records=photos.records) for photo_set, photos in opened])


def _whole(photos, classes, part):
  """The photos, of which there are some of each class; else UserError."""
  if photos is None:
    raise UserError(f'data: the part {part} has no photos of these classes; add photos, or name others')
  _check_each(photos, classes, part)
  return photos


def missing_of(photos: InMemory, classes: Sequence[str]) -> list[str]:
  """The classes that no photo is of."""
  return [name for label, name in enumerate(classes) if not np.any(photos.labels == label)]


def _check_each(photos, classes, part):
  if GOOD in (missing := missing_of(photos, classes)) and part == 'pool':
    raise UserError('data: there are no good photos to tell defects from; add some, in a folder such as ok/')
  if missing:
    raise UserError(f'data: the part {part} has no photos of {", ".join(missing)}; leave the class out of data.defects '
                    'or add photos')
