"""Which photos belong to which fixed part of a set, and which few are drawn from it."""

import collections
import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable

from defect_jax.data.annotation import Annotation

PARTS = ('pool', 'dev', 'final')
GOOD = 'good'  # the class of photos without a defect


@dataclasses.dataclass(frozen=True)
class Record:
  """One photo of a listing: `file` relative to the set's folder, with forward slashes; what is marked as its defect.

  Photos of one `group` are never split between parts.
  """
  file: str
  label: str
  group: str
  photo: pathlib.Path
  annotation: Annotation | None = None

  @property
  def part(self) -> str:
    return part_of(self.group)


def part_of(group: str) -> str:
  """'final', 'dev' or 'pool', by the first byte of the SHA-256 of the group's name."""
  return {0: 'final', 1: 'dev'}.get(digest(group)[0] % 4, 'pool')


def digest(name: str) -> bytes:
  """SHA-256 of a name: an order that nobody has chosen."""
  return hashlib.sha256(name.encode()).digest()


def choose_few(records: Iterable[Record], count: int, seed: int) -> list[str]:
  """The files, sorted, of `count` of `records`, which files, groups and seed choose, not their order.

  No group gives another photo before every group has given one more, since photos of one object show much the same.
  With one seed a larger draw holds every smaller one.
  """
  drawn = collections.Counter()
  turns = {}  # file: (its turn within its group, place in the shuffled order)
  shuffled = sorted(records, key=lambda record: (digest(f'{seed}/{record.file}'), record.file))
  for place, record in enumerate(shuffled):
    turns[record.file] = drawn[record.group], place
    drawn[record.group] += 1
  return sorted(sorted(turns, key=lambda file: turns[file])[:count])
