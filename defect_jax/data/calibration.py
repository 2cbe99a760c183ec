"""Which photos a detector is fitted to, which give its threshold, and which it is tested on."""

import dataclasses
from collections.abc import Sequence

from absl import logging

from defect_jax.config import UserError
from defect_jax.data import listing, parts


@dataclasses.dataclass(frozen=True)
class Split:
  """Records sorted by file; no group is in two of the lists."""
  train: list[parts.Record]
  calibrate: list[parts.Record]
  test: list[parts.Record]


def split(records: Sequence[parts.Record], *, defects: Sequence[str] = (), few_shot: int = 0, seed: int = 0,
          measured: str | None = None) -> Split:
  """Splits a listing by its parts.

  Good photos of the pool are trained on (of more than `few_shot` those drawn by `seed`; 0: all), those of dev give the
  threshold. Tested are the good photos and the `defects` (none named: all but good) of the part that is measured, which
  is dev, final, synthetic (good photos of dev alone) or None; while dev itself is measured, every other group of its
  good photos is tested. Raises UserError if there are too few photos or a class does not exist.
  """
  defective = [record for record in records if record.label != 'good']
  listing.check_classes(defects, defective)
  train, calibrate, test = ([record for record in records if record.label == 'good' and record.part == part]
                            for part in ('pool', 'dev', 'final'))
  if len(train) < 2 or not calibrate:
    raise UserError(f'data: {len(train)} good photos in part pool, to train on, and {len(calibrate)} in part dev, for '
                    'the threshold; at least 2 and 1 are needed')
  if few_shot:
    drawn = set(parts.choose_few(train, few_shot, seed))
    train = [record for record in train if record.file in drawn]
  if measured is None:
    return Split(train, calibrate, [])
  if measured != 'final':
    calibrate, test = _halves(calibrate)
  if measured != 'synthetic':
    test += [record for record in defective if record.part == measured and (not defects or record.label in defects)]
  if len(test) < 2:
    raise UserError(f'data: {len(test)} photos to test in part {measured}; set measure.part')
  return Split(train, calibrate, sorted(test, key=lambda record: record.file))


def _halves(records):
  """Every other group, in the order of their names' digests; a set of one group is split photo by photo."""
  groups = sorted({record.group for record in records}, key=parts.digest)
  if len(groups) == 1:
    logging.warning('all good photos of the part dev belong to one group, so its photos are on both sides')
    return records[::2], records[1::2]
  return tuple([record for record in records if record.group in half] for half in (groups[::2], groups[1::2]))
