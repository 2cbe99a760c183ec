"""Which photos belong to which fixed part of a set, and which few are drawn from it."""

import collections
import dataclasses
import hashlib
import pathlib

PARTS = ('pool', 'dev', 'final')


@dataclasses.dataclass(frozen=True)
class Record:
  """One photo of a listing.

  `file` is relative to the set's folder, with forward slashes; `group` holds what must never be split between parts;
  `mask` is the photo's defect mask, None without one.
  """
  file: str
  label: str
  group: str
  photo: pathlib.Path
  mask: pathlib.Path | None = None

  @property
  def part(self):
    return part_of(self.group)


def part_of(group):
  """'final', 'dev' or 'pool', by the first byte of the SHA-256 of the group's name."""
  remainder = digest(group)[0] % 4
  return {0: 'final', 1: 'dev'}.get(remainder, 'pool')


def digest(name):
  """SHA-256 of a name: an order that nobody has chosen."""
  return hashlib.sha256(name.encode()).digest()


def choose_few(records, count, seed):
  """Draws `count` of `records` and returns their files, sorted.

  The draw spreads over the groups: no group gives another photo before every group has given one more, since photos
  of one object show much the same. Depends only on files, groups and seed, not on the order or on the platform; with
  one seed a larger draw holds every smaller one.
  """
  given = collections.Counter()
  turns = {}  # file: (its turn within its group, place in the shuffled order)
  for place, record in enumerate(sorted(records, key=lambda record: _shuffled(record.file, seed))):
    turns[record.file] = given[record.group], place
    given[record.group] += 1
  return sorted(sorted(turns, key=turns.get)[:count])


def _shuffled(file, seed):
  return digest(f'{seed}/{file}'), file
