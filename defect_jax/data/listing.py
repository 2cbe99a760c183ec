"""What photos there are, and which of them a job takes: by source, part and class, and few drawn at random."""

import dataclasses
import inspect
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar

from defect_jax.config import UserError, nearest
from defect_jax.data import annotations, layouts, parts
from defect_jax.data import folds as cross_validation
from defect_jax.registry import SOURCES

T = TypeVar('T')
AUTO = 'auto'  # the source that follows from the path
_OF_FOLDERS = {'val': 'dev', 'test': parts.TEST}


def list_photos(source: str, path: str | os.PathLike | None = None, split: str = 'hash', folds: int = 5,
                fold: int | None = None, bits: int = 16, masks: str = annotations.AS_IS, **own: Any) -> parts.Listing:
  """The record of every photo of a source; of `own` the source takes what its `list` names.

  split: how photos come to their parts. hash: by their groups. folders: train/ is pool, val/ dev and test/ test. none,
  kfold: all, and photos that no one has grouped are grouped by their likeness; of a `fold`, from 1 on, of so many
  `folds` the photos are dev and the others pool. bits: see parts.Record. masks: see annotations.read_as.
  """
  if source == AUTO:
    source = source_of(path, own.get('key', 'data.path'))
  list_of = SOURCES[source].list
  found = list_of(path, **{name: own[name] for name in inspect.signature(list_of).parameters if name in own})
  listed = found if isinstance(found, parts.Listing) else parts.Listing(tuple(found))
  if bits != 16 or masks != annotations.AS_IS:
    listed = _changed(listed, parts.with_bits(annotations.read_as(listed, masks), bits))
  if masks != annotations.AS_IS:
    listed = dataclasses.replace(listed, problems=tuple(one for one in listed.problems
                                                        if one.kind not in annotations.DOUBTS))
  if split == 'hash':
    return listed
  if split == 'folders':
    return _assigned(listed, lambda record: _OF_FOLDERS.get(record.folder, 'pool'))
  listed = _grouped(listed)
  if fold is None:
    return _assigned(listed, lambda record: parts.ALL)
  fold_of = cross_validation.assign(listed, folds)
  if fold > (count := max(fold_of.values()) + 1):
    raise UserError(f'data.fold = {fold}: there are {count} folds, counted from 1')
  return _assigned(listed, lambda record: 'dev' if fold_of[record.file] == fold - 1 else 'pool')


def _changed(listed: parts.Listing, records: Iterable[parts.Record], notes: Iterable[str] = ()) -> parts.Listing:
  return dataclasses.replace(listed, records=tuple(records), notes=(*listed.notes, *notes))


def _assigned(listed, part_of):
  return _changed(listed, (dataclasses.replace(record, assigned=part_of(record)) for record in listed))


def _grouped(listed):
  """Photos of one part in one group, unless somebody has said which are."""
  if any(record.group != record.file for record in listed):
    return listed
  from defect_jax.data import likeness  # which takes a second that other listings need not
  return _changed(listed, *likeness.groups(listed))


def source_of(path: str | os.PathLike | None, key: str) -> str:
  """The source that reads a folder, which the config's `key` names; without one the solar cells."""
  return layouts.recognise(path, key) if path else 'elpv'


def of_part(records: Iterable[parts.Record], part: str) -> list[parts.Record]:
  """The records of a part; those of all parts are of the pool too."""
  wanted = parts.TRAINED_ON if part == 'pool' else (part,)
  return [record for record in records if record.part in wanted]


def held_out(split: str, fold: int | None = None, part: str = 'dev') -> Sequence[str]:
  """The parts of photos that nothing is trained on; `part`: the one that is wanted of those that are split by hash."""
  return {'hash': (part,), 'folders': ('dev', parts.TEST)}.get(split, () if fold is None else ('dev',))


def first_of(names: Iterable[str], load: Callable[[str], T]) -> tuple[T | None, str]:
  """What `load` makes of the first of some parts that it does not refuse with a UserError; None, and why, if there is
  none: '' without any part."""
  reason = ''
  for name in names:
    try:
      return load(name), ''
    except UserError as error:
      reason = reason or str(error)
  return None, reason


def choose(listed: Collection[parts.Record], part: str, classes: Sequence[str] | None, few_shot: int | None, seed: int,
           ) -> tuple[list[parts.Record], list[str]]:
  """The records of a listing to use, sorted by file, and notes; arguments and errors as of dataset.load."""
  if classes is not None:
    check_classes(classes, listed)
    if not classes:
      raise UserError(f'data.defects: names no class; the photos have {", ".join(labels_of(listed))}')
    listed = [record for record in listed if record.label in classes]
  in_part = {record.file: record for record in of_part(listed, part)}
  what = 'photo' if classes is None else f'photo of {", ".join(classes)}'
  if len(in_part) < 2:
    raise UserError(f'data: {len(in_part) or "no"} {what} in part {part} ({len(listed)} in all parts); '
                    'at least 2 are needed')
  if few_shot == 1:
    raise UserError(f'data: 1 {what} in part {part} is asked for; at least 2 are needed')
  files = parts.choose_few(in_part.values(), few_shot, seed) if few_shot else sorted(in_part)
  too_few = f'data.few_shot asks for {few_shot}; part {part} has {len(in_part)}, all are used'
  return [in_part[file] for file in files], [too_few] if few_shot and few_shot > len(in_part) else []


def labels_of(records: Iterable[parts.Record]) -> list[str]:
  """The classes of records, sorted."""
  return sorted({record.label for record in records})


def check_classes(names: Iterable[str], records: Iterable[parts.Record], key: str = 'data.defects') -> None:
  """Raises UserError for a class that no record is of; `key` is that of the config that names the classes."""
  known = labels_of(records)
  for name in names:
    if name not in known:
      raise UserError(f'{key}: no class {name!r}; the photos have {", ".join(known)}{nearest(name, known)}')
