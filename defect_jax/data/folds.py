"""Cross-validation: which photos are left out together."""

import warnings
from collections.abc import Collection, Sequence

from defect_jax.data import parts
from defect_jax.errors import UserError


def count(records: Sequence[parts.Record], folds: int, classes: Collection[str]) -> int:
  """How many folds there are: `folds`, or as many as the class of the fewest groups has of these.

  Raises UserError if a class has a single group, so that it cannot be both trained on and measured.
  """
  groups = {name: len({record.group for record in records if record.label == name}) for name in classes}
  fewest = min(groups, key=lambda name: groups[name])
  if groups[fewest] < 2:
    raise UserError(f'data.split = kfold: the photos of {fewest} show {groups[fewest]} workpiece or group, which '
                    'cannot be both trained on and measured; add photos, or set data.split=none')
  return min(folds, groups[fewest])


def assign(records: Sequence[parts.Record], folds: int, classes: Collection[str] | None = None) -> dict[str, int]:
  """{file: fold, from 0 on} of all records of a listing, whole groups, each class spread evenly.

  It follows from the listing alone, so give the whole listing, whatever classes a job takes of it: then two jobs leave
  out the same photos. classes: by which folds are counted; None: all of several groups. Raises UserError as `count`.
  """
  from sklearn.model_selection import StratifiedGroupKFold  # a second, which listing alone need not take
  number = count(records, folds, classes or _of_several_groups(records))
  ordered = sorted(records, key=lambda record: record.file)
  splitter = StratifiedGroupKFold(number, shuffle=True, random_state=0)
  found = {}
  labels, groups = ([getattr(record, name) for record in ordered] for name in ('label', 'group'))
  with warnings.catch_warnings():  # of a class with fewer photos than folds
    warnings.simplefilter('ignore', UserWarning)
    for fold, (_, rows) in enumerate(splitter.split(labels, labels, groups)):
      found |= {ordered[row].file: fold for row in rows}
  return found


def _of_several_groups(records):
  """The classes that can be both trained on and measured; all where there are none."""
  labels = {record.label for record in records}
  several = {label for label in labels if len({record.group for record in records if record.label == label}) > 1}
  return several or labels
