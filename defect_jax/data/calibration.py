"""Which photos a detector is fitted to, which give its threshold, and which it is tested on."""

import dataclasses
from collections.abc import Sequence

from absl import logging

from defect_jax.config import UserError
from defect_jax.data import folds as cross_validation
from defect_jax.data import listing, parts
from defect_jax.data.parts import GOOD


@dataclasses.dataclass(frozen=True)
class Split:
  """Records, sorted by file.

  train: what a detector is fitted to. calibrate: good photos whose scores by it give the threshold. test: photos that
  it is tested on. No group of `train` is in these two. folds: of further detectors, which score photos that the one
  that stays is trained on.
  """
  train: list[parts.Record]
  calibrate: list[parts.Record]
  test: list[parts.Record]
  folds: tuple['Split', ...] = ()

  def tested(self) -> list[parts.Record]:
    """All that are tested, those of folds too."""
    return [record for each in (*self.folds, self) for record in each.test]


def split(records: Sequence[parts.Record], *, by: str = 'hash', folds: int = 5, defects: Sequence[str] = (),
          few_shot: int = 0, seed: int = 0, measured: str | None = None) -> Split:
  """Splits a listing.

  Good photos of the pool, under `by` = kfold all, are trained on (of more than `few_shot` those drawn by `seed`; 0:
  all). The `defects` that are tested are all but good where none are named. measured: None, dev, final, or synthetic
  (good photos alone).

  by = hash: good photos of dev give the threshold. Tested are the good photos and defects of the part that is measured;
  while that is dev or synthetic, every other group of dev's good photos is tested.
  folders: good photos of dev give the threshold; where there are none, folds of those that are trained on. Tested are
  the photos of the part test.
  kfold: folds of all photos give the threshold and are tested.
  Where groups are not split by hash, synthetic takes the good photos of the part test, or, where there are none, those
  that give the threshold. So neither folds nor threshold depend on whether dev or synthetic is measured.

  Raises UserError if there are too few photos or a class does not exist.
  """
  defective = [record for record in records if record.label != GOOD]
  listing.check_classes(defects, defective)
  defective = [record for record in defective if not defects or record.label in defects]
  good = [record for record in records if record.label == GOOD]
  train, calibrate = ([record for record in good if record.part in of] for of in (parts.TRAINED_ON, ('dev',)))
  if by == 'none':
    raise UserError('data.split = none: would leave no photos for the threshold; set it to kfold')
  if by != 'hash' and measured == 'final':
    raise UserError(f'measure.part = final: there is such a part by data.split=hash alone, not by {by}')
  if by == 'hash' and (len(train) < 2 or not calibrate):
    raise UserError(f'data: {len(train)} good photos in part pool, to train on, and {len(calibrate)} in part dev, for '
                    'the threshold; at least 2 and 1 are needed')
  if few_shot:
    drawn = set(parts.choose_few(train, few_shot, seed))
    train = [record for record in train if record.file in drawn]
  train = _sorted(train)
  if by == 'hash':
    return _by_hash(train, calibrate, good, defective, measured)
  apart = [record for record in good if record.part == parts.TEST]
  test = {'dev': apart + [record for record in defective if record.part == parts.TEST], 'synthetic': apart}.get(
      measured or '', [])
  cut: tuple[Split, ...] = ()
  if calibrate:
    test = test or (calibrate if measured == 'synthetic' else [])
  else:
    beside = defective if by == 'kfold' else []
    tested = {'dev': train + beside if by == 'kfold' else [], 'synthetic': [] if apart else train}
    cut = _folds(train, beside, tested.get(measured or '', []), folds)
  return Split(train, _sorted(calibrate), _sorted(test), cut)


def _by_hash(train, calibrate, good, defective, measured):
  test = [record for record in good if record.part == measured == 'final']
  if measured in ('dev', 'synthetic'):
    calibrate, test = _halves(calibrate)
  test += [record for record in defective if record.part == measured]
  if measured and len(test) < 2:
    raise UserError(f'data: {len(test)} photos to test in part {measured}; set measure.part')
  return Split(train, calibrate, _sorted(test))


def _folds(good, beside, tested, count):
  """Splits of good photos and those `beside` them; those of `tested`, among these, are tested by the one that holds
  them out. Where all good photos are of one group, each is its own."""
  if len(good) < 3:
    raise UserError(f'data: {len(good)} good photos to train on; at least 3 are needed, so that each is scored by a '
                    'detector of others')
  cut, taken = [], {record.file: record for record in good + beside}
  if len({record.group for record in good}) == 1:
    logging.warning('all good photos belong to one group, so that photos of it are on both sides of the folds: the '
                    'threshold may be too low for others')
    taken |= {record.file: dataclasses.replace(record, group=record.file) for record in good}
  # Of the photos that are taken alone: else few of many could all come to one fold.
  fold_of = cross_validation.assign(list(taken.values()), count, (GOOD,))
  for number in range(max(fold_of.values()) + 1):
    train, calibrate, test = (
        [record for record in records if (fold_of[record.file] == number) == held_out]
        for records, held_out in ((good, False), (good, True), (tested, True)))
    if number in fold_of.values():  # whatever is tested, so that a fold keeps its number
      cut.append(Split(train, calibrate, _sorted(test)))
  return tuple(cut)


def _sorted(records):
  return sorted(records, key=lambda record: record.file)


def _halves(records):
  """Every other group, in the order of their names' digests; a set of one group is split photo by photo."""
  groups = sorted({record.group for record in records}, key=parts.digest)
  if len(groups) == 1:
    logging.warning('all good photos of the part dev belong to one group, so its photos are on both sides')
    return records[::2], records[1::2]
  return tuple([record for record in records if record.group in half] for half in (groups[::2], groups[1::2]))
