"""What photos there are, and which of them a job takes: by source, part and class, and few drawn at random."""

import inspect
import os
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from defect_jax.config import UserError, nearest
from defect_jax.data import parts
from defect_jax.registry import SOURCES


def list_photos(source: str, path: str | os.PathLike | None = None, **own: Any) -> list[parts.Record]:
  """The record of every photo of a source; opens none. Of `own` the source takes what its `list` names."""
  list_of = SOURCES[source].list
  return list_of(path, **{name: own[name] for name in inspect.signature(list_of).parameters if name in own})


def choose(listed: Collection[parts.Record], part: str, classes: Sequence[str] | None, few_shot: int | None, seed: int,
           ) -> tuple[list[parts.Record], list[str]]:
  """The records of a listing to use, sorted by file, and notes; arguments and errors as of dataset.load."""
  if classes is not None:
    check_classes(classes, listed)
    if not classes:
      raise UserError(f'data.defects: names no class; the photos have {", ".join(labels_of(listed))}')
    listed = [record for record in listed if record.label in classes]
  in_part = {record.file: record for record in listed if record.part == part}
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
