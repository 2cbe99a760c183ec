"""Opens each photo of a set once, with its mask, and finds what stands out before anything is trained on it.

Threads do it: decoders give the interpreter free, so that two are as quick as two processes.
"""

import collections
import dataclasses
import hashlib
import itertools
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any

import numpy as np
import threadpoolctl

from defect_jax.data import annotations, likeness, parts, photos, thumbnails
from defect_jax.data.parts import GOOD, Problem

_SEEN = 16384  # pixels of a photo that its levels are taken from
_EDGE = 0.02  # of the range: a photo whose pixels all lie this near its end is black or saturated
_LEAST_GAP = math.log(1.15)  # between two kinds of photos, in side or aspect
_FEW = 8  # photos, of which nothing is said by comparison
_LEAST_GROUPS, _MOST_SHOTS = 3, 20  # by names: groups, and photos of one


@dataclasses.dataclass(frozen=True)
class Look:
  """What one photo is. size: width and height in px, upright. bits: of its file. turned: EXIF's orientation, 1 to 8.
  low, high: the levels in [0, 1] that 1 % of its pixels lie below and above. marked: what share its mask marks, None
  where it has none that can be used."""
  record: parts.Record
  size: tuple[int, int]
  bits: int
  channels: int
  turned: int = 1
  low: float = 0.
  high: float = 1.
  marked: float | None = None
  sha256: str = ''

  @property
  def depth(self) -> str:
    """Bits of its values, and how many of these its camera uses."""
    return str(self.bits) if self.record.bits >= self.bits else f'{self.record.bits} of {self.bits}'


@dataclasses.dataclass(frozen=True)
class Kinds:
  """Two kinds of photos in one class: in words, and the photos of each, most first."""
  label: str
  sides: tuple[tuple[str, list[Look]], tuple[str, list[Look]]]

  def problem(self) -> Problem:
    (most, usual), (few, others) = self.sides
    message = f'{len(others)} of {len(usual) + len(others)} photos of {self.label} are {few}, the others {most}'
    return Problem(others[0].record.file, 'mixed_kinds', message)


@dataclasses.dataclass(frozen=True)
class Inspection:
  """What a set of photos is. layout: its source's name; title: in words. looks: at the photos that can be read.
  groups: of each file, as given, else by likeness. guessed: by name, see groups_by_name, where none are given.
  depth: on the bits that are used, see depth.bits_of."""
  layout: str
  title: str
  listed: parts.Listing
  looks: Sequence[Look]
  problems: Sequence[Problem]
  kinds: Sequence[Kinds]
  groups: Mapping[str, str]
  guessed: Mapping[str, str]
  depth: str

  @property
  def classes(self) -> dict[str, dict[str, int]]:
    """{class: {'photos', 'masks', 'groups'}}, of all that are listed."""
    return {label: {'photos': len(records), 'masks': sum(record.annotation is not None for record in records),
                    'groups': len({self.groups[record.file] for record in records})}
            for label, records in _by_class(self.listed, lambda record: record.label).items()}

  sizes = property(lambda self: self._counts(lambda look: f'{look.size[0]} x {look.size[1]}'))
  bit_depths = property(lambda self: self._counts(lambda look: look.depth))
  channels = property(lambda self: self._counts(lambda look: str(look.channels)))

  def by_class(self) -> dict[str, list[Look]]:
    """The looks at the photos of each class."""
    return _by_class(self.looks, lambda look: look.record.label)

  def as_json(self, commands: Sequence[str]) -> dict[str, Any]:
    """inspect.json, see the contract."""
    return {'layout': self.layout, 'classes': self.classes, 'sizes': self.sizes, 'bit_depths': self.bit_depths,
            'channels': self.channels, 'problems': [*map(dataclasses.asdict, self.problems)], 'commands': [*commands]}

  def sentences(self) -> list[str]:
    """What matters most."""
    taken = self.listed.taken or ', '.join(f'{label} ({counts["photos"]})' for label, counts in self.classes.items())
    masked = any(record.annotation for record in self.listed)
    lines = [f'{self.title}: {len(self.listed)} photos; {taken}{"" if masked else "; no masks"}.']
    if self.looks:
      bits, channels = (' and '.join(counts) for counts in (self.bit_depths, self.channels))
      lines.append(f'{size_words(self.looks)}, {bits} bits, {channels} channel{"" if channels == "1" else "s"}.')
    lines += [f'{self.depth[0].upper()}{self.depth[1:]}.'] if self.depth else []
    turned = sum(look.turned > 1 for look in self.looks)
    lines += [f'{turned} of them are turned by EXIF and are read upright.'] if turned else []
    kinds = collections.Counter(problem.kind.replace('_', ' ') for problem in self.problems)
    lines += [f'To mend: {", ".join(f"{kind} ({count})" for kind, count in kinds.items())}.'] if kinds else []
    return lines + self.group_sentences()

  def group_sentences(self) -> list[str]:
    """On the groups that the names suggest."""
    if not self.guessed:
      return []
    sizes = collections.Counter(self.guessed.values())
    group, count = sizes.most_common(1)[0]
    some = [file for file, of in self.guessed.items() if of == group][:2]
    return [f'The names suggest {len(sizes)} groups of up to {count} photos, such as {" and ".join(some)}; if these '
            'show one part, keep them together by an index.csv with the columns path and group.']

  def _counts(self, words: Callable[[Look], str]) -> dict[str, int]:
    return dict(collections.Counter(map(words, self.looks)).most_common())


def _by_class(items, label_of):
  by_class = collections.defaultdict(list)
  for item in items:
    by_class[label_of(item)].append(item)
  return dict(sorted(by_class.items(), key=lambda pair: (pair[0] != GOOD, pair[0])))


def look_at_all(records: Iterable[parts.Record]) -> Iterator[tuple[Look | None, list[Problem]]]:
  """What each photo is, None where it cannot be read, and what is wrong with it or its mask; in order."""
  # Photos are scaled side by side, so each by one thread.
  with threadpoolctl.threadpool_limits(1, 'blas'), futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
    yield from pool.map(_look, records)


def _look(record: parts.Record) -> tuple[Look | None, list[Problem]]:
  try:
    header, data = photos.header(record.photo, record.file), record.read()
    photo = record.decode(data)
  except photos.PhotoError as error:
    return None, [Problem(record.file, 'broken', error.told_of(record.file))]
  thumbnails.remember(record, photo)  # for their likeness
  height, width = photo.shape[:2]
  low, high = _levels(photo)
  marked, problems = _marked(record, (height, width))
  look = Look(record, (width, height), header.bits, 1 if photo.ndim == 2 else 3, header.orientation, low, high, marked,
              hashlib.sha256(data).hexdigest())
  return look, [*problems, *_exposure(record.file, low, high)]


def _levels(photo: photos.Photo) -> tuple[float, float]:
  step = max(1, math.isqrt(photo.shape[0] * photo.shape[1] // _SEEN))
  low, high = np.percentile(photo[::step, ::step], (1, 99)) / np.iinfo(photo.dtype).max
  return float(low), float(high)


def _exposure(file: str, low: float, high: float) -> Iterator[Problem]:
  if high <= _EDGE:
    yield Problem(file, 'black', 'is black all over')
  elif low >= 1 - _EDGE:
    yield Problem(file, 'saturated', 'is as bright as can be all over')
  elif high - low < 1 / 255:
    yield Problem(file, 'uniform', 'has one level all over')


def _marked(record: parts.Record, shape: tuple[int, int]) -> tuple[float | None, list[Problem]]:
  """The share of a photo that its annotation marks, and what is wrong with that."""
  if record.annotation is None:
    return None, []
  try:
    mask = record.annotation.read(shape)
  except photos.PhotoError as error:
    return None, [Problem(record.file, 'mask_unusable', error.told_of(record.file))]
  marked = float(mask.mean())
  if annotations.looks_inverted(mask):
    return marked, [Problem(record.file, 'mask_inverted', f'its mask marks {100 * marked:.0f} % of it')]
  if not marked and record.label != GOOD:
    return marked, [Problem(record.file, 'mask_empty', f'is of {record.label}, and its mask marks nothing')]
  if marked and record.label == GOOD:
    return marked, [Problem(record.file, 'good_marked', 'is good, and a defect is marked in it')]
  return marked, []


def copies(looks: Iterable[Look]) -> Iterator[Problem]:
  """Photos whose files are byte for byte the same as an earlier one's."""
  first: dict[str, parts.Record] = {}
  for look in looks:
    record, other = look.record, first.setdefault(look.sha256, look.record)
    if other.label != record.label:
      yield Problem(record.file, 'copy_in_another_class', f'is the same file as {other.file}, so it is both '
                    f'{other.label} and {record.label}')
    elif other.folder != record.folder:
      yield Problem(record.file, 'copy_in_another_part', f'is the same file as {other.file}, and what is trained on '
                    'cannot be tested on')
    elif other is not record:
      yield Problem(record.file, 'copy', f'is the same file as {other.file}; the second one adds nothing')


def kinds(looks: Iterable[Look]) -> Iterator[Kinds]:
  """Classes in which two kinds of photos are learned as one."""
  for label, of_class in _by_class(looks, lambda look: look.record.label).items():
    if found := _two_kinds(of_class):
      what, *sides = found
      one, other = ((_words(what, side), side) for side in sorted(sides, key=len, reverse=True))
      yield Kinds(label, (one, other))


def _two_kinds(looks: Sequence[Look]) -> tuple[str, list[Look], list[Look]] | None:
  """What photos differ in, and those on both sides of the widest gap in it; None where they are of one kind."""
  measures: dict[str, Callable[[Look], float]] = {
      'channels': lambda look: look.channels, 'bits': lambda look: look.bits,
      'shape': lambda look: math.log(look.size[0] / look.size[1]),
      'size': lambda look: math.log(look.size[0] * look.size[1]) / 2}
  for what, measure in measures.items():
    ordered = sorted(looks, key=measure)
    values = np.array([*map(measure, ordered)])
    if len(values) < _FEW or (gaps := np.diff(values)).max() < _LEAST_GAP:
      continue
    cut = int(gaps.argmax()) + 1
    if max(values[:cut].std(), values[cut:].std()) < gaps[cut - 1] / 4:  # else they vary freely, as cut-outs do
      return what, ordered[:cut], ordered[cut:]
  return None


def _words(what: str, looks: Sequence[Look]) -> str:
  """How photos of one kind are, such as '1130 x 460 px'."""
  if what == 'channels':
    return 'in colour' if looks[0].channels == 3 else 'grey'
  if what == 'bits':
    return f'of {looks[0].bits} bits'
  return size_words(looks)


def size_words(looks: Iterable[Look]) -> str:
  """Such as '1130 x 460 px', or '103 to 632 x 222 to 403 px' where they differ."""
  sides = ((min(values), max(values)) for values in zip(*(look.size for look in looks), strict=True))
  return ' x '.join(str(low) if low == high else f'{low} to {high}' for low, high in sides) + ' px'


def groups_by_name(files: Iterable[str]) -> dict[str, str]:
  """File -> group, guessed from names that differ in their last part alone, as 003_regular and 003_overexposed do.

  {} where the names say nothing: the last parts are not the same few in each group, or no two photos share the rest.
  """
  groups, lasts = collections.defaultdict(list), set()
  for file in files:
    folder, _, name = file.rpartition('/')
    *beginning, last = re.split(r'[ _.-]+', name.rpartition('.')[0])
    groups[(folder, *(beginning or [last]))].append(file)
    lasts.add(last if beginning else '')
  members = [*groups.values()]
  together = sum(len(group) for group in members if len(group) > 1)
  everyone = sum(map(len, members))
  if len(members) < _LEAST_GROUPS or 2 * together < everyone or 2 * len(lasts) > everyone or len(lasts) > _MOST_SHOTS:
    return {}
  return {file: '/'.join(filter(None, (key[0], '_'.join(key[1:])))) for key, group in groups.items() for file in group}


def conclude(layout: str, title: str, listed: parts.Listing, looks: Sequence[Look],
             problems: Iterable[Problem], depth: str = '') -> Inspection:
  """What follows from the looks at all photos; problems: those of the listing and of the looks."""
  mixed, given = [*kinds(looks)], {record.file: record.group for record in listed}
  first = {look.sha256: look.record for look in reversed(looks)}
  alike = likeness.alike([*first.values()])
  problems = *_once(problems), *copies(looks), *_alike_across(alike), *(pair.problem() for pair in mixed)
  if any(group != file for file, group in given.items()):
    return Inspection(layout, title, listed, looks, problems, mixed, given, {}, depth)
  shown = {record.file: together[0].file for together in alike for record in together}
  shown = given | {look.record.file: shown.get(file := first[look.sha256].file, file) for look in looks}
  return Inspection(layout, title, listed, looks, problems, mixed, shown, groups_by_name(given), depth)


def _once(problems: Iterable[Problem]) -> Iterable[Problem]:
  """The first of each kind for each file: what the listing saw in some files, the looks saw in all."""
  first: dict[tuple[str, str], Problem] = {}
  for problem in problems:
    first.setdefault((problem.file, problem.kind), problem)
  return first.values()


def _alike_across(alike: Iterable[Sequence[parts.Record]]) -> Iterator[Problem]:
  """The first pair of each two classes among photos that show one part."""
  for together in alike:
    pairs = {}
    for one, other in itertools.combinations(together, 2):
      if one.label != other.label:
        pairs.setdefault((one.label, other.label), (one, other))
    for one, other in pairs.values():
      message = f'is {other.label} and shows the same as {one.file}, which is {one.label}'
      yield Problem(other.file, 'alike_in_another_class', message)
