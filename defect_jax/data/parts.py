"""Which photos belong to which fixed part of a set, and which few are drawn from it."""

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
  remainder = hashlib.sha256(group.encode()).digest()[0] % 4
  return {0: 'final', 1: 'dev'}.get(remainder, 'pool')


def choose_few(names, count, seed):
  """Draws `count` of `names`, sorted by name.

  Depends only on the names and the seed, not on their order or on the platform; with one seed a larger draw holds
  every smaller one.
  """
  ranked = sorted(names, key=lambda name: (hashlib.sha256(f'{seed}/{name}'.encode()).digest(), name))
  return sorted(ranked[:count])
