"""Photos as sources list them, the parts that they belong to, and the few that are drawn from a part."""

import collections
import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, overload

from defect_jax.data import photos

if TYPE_CHECKING:  # annotations name parts, too
  from defect_jax.data.annotations import Annotation

PARTS = ('pool', 'dev', 'final')
ALL = 'all'  # the part of photos that are all trained on
TEST = 'test'  # the part of photos that a layout's own test folder holds
TRAINED_ON = ('pool', ALL)
MEASURED = {'folders': TEST, 'none': ALL, 'kfold': ALL}  # the part that is tested, by data.split but hash
GOOD = 'good'  # the class of photos without a defect


@dataclasses.dataclass(frozen=True)
class Record:
  """One photo of a listing: `file` relative to the set's folder, with forward slashes; what is marked as its defect.

  Photos of one `group` are never split between parts. folder: 'train', 'val' or 'test' where the layout says which,
  else ''. assigned: its part where that does not follow from the group, see listing.list_photos. bits: how many of a
  16-bit file's bits the camera uses, from 9 to 16.
  """
  file: str
  label: str
  group: str
  photo: pathlib.Path
  annotation: 'Annotation | None' = None
  folder: str = ''
  assigned: str | None = None
  bits: int = 16

  @property
  def part(self) -> str:
    return self.assigned or part_of(self.group)

  def read(self) -> bytes:
    """The photo's file; raises PhotoError when it can't be read."""
    return photos.read(self.photo, self.file)

  def sha256(self) -> str:
    """SHA-256 of the photo's file, hex; raises PhotoError when it can't be read."""
    return hashlib.sha256(self.read()).hexdigest()

  def decode(self, data: bytes | None = None) -> photos.Photo:
    """The photo, of the file's bytes where these were read already; errors as of photos.decode."""
    return photos.decode(self.photo if data is None else data, self.file, self.bits)


@dataclasses.dataclass(frozen=True)
class Problem:
  """What is wrong with a file of a set, as inspect.json has it. kind: a word or two with underscores."""
  file: str
  kind: str
  message: str

  def __str__(self) -> str:
    return f'{self.file}: {self.message}'


@dataclasses.dataclass(frozen=True)
class Listing(Sequence[Record]):
  """What a source found.

  records: sorted by file. taken: what was taken for what, in words, such as 'good: OK/ (24), ng: NG/ (20)'. problems:
  of files that are not in `records`, or of which something is left out. notes: lines for the user.
  """
  records: tuple[Record, ...]
  taken: str = ''
  problems: tuple[Problem, ...] = ()
  notes: tuple[str, ...] = ()

  @overload
  def __getitem__(self, index: int) -> Record: ...
  @overload
  def __getitem__(self, index: slice) -> Sequence[Record]: ...
  def __getitem__(self, index):
    return self.records[index]

  def __len__(self) -> int:
    return len(self.records)


def with_bits(records: Iterable[Record], bits: int) -> list[Record]:
  """The records of photos whose camera uses so many bits of 16-bit files."""
  return [dataclasses.replace(record, bits=bits) for record in records]


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
