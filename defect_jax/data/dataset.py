"""Photos as every task takes them, prepared or in memory, and how a config's photos are listed, chosen and opened."""

import dataclasses
import hashlib
import itertools
import math
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import Array, Bool, Float, Float64, Int, Shaped, UInt16

from defect_jax.config import UserError
from defect_jax.data import listing, parts, photos, prepared, regions

_LEAST_SEEN = 0.5  # of a marked defect; photos that show less are reported


@dataclasses.dataclass(frozen=True)
class Skipped:
  """A photo that was left out."""
  file: str
  reason: str

  def __str__(self) -> str:
    return f'skipped {self.file}: {self.reason}'


class Dataset(Protocol):
  """Square photos of one size; `dataset[i]` is photo i over the full range of uint16.

  labels: the class of each photo, a name or a number. files: relative to the set's folder. groups: see parts.Record.
  sha256: of each photo's file; of a made image that of its source, '' where it has none. skipped: photos left out.
  notes: further lines for the user. records: of the photos, where these are known.
  nbytes: of all images as uint16, half as many as of float32.
  """
  labels: Sequence
  files: Sequence[str]
  groups: Sequence[str]
  sha256: Sequence[str]
  skipped: Sequence[Skipped]
  notes: Sequence[str]
  records: Sequence[parts.Record]

  @property
  def shape(self) -> tuple[int, ...]: ...
  def __len__(self) -> int: ...
  def __getitem__(self, index: int) -> UInt16[np.ndarray, 's s c']: ...

  def images(self) -> Float[np.ndarray, 'n s s c']:
    """All images, in [0, 1]."""

  def arrays(self) -> Iterator[np.ndarray]:
    """What `digest` is of."""

  @property
  def nbytes(self) -> int:
    return 2 * math.prod(self.shape)

  @property
  def noun(self) -> str:
    """What one of them is called: a photo, or a tile of one."""
    return 'photo'

  def digest(self) -> str:
    """SHA-256 of the decoded photos, hex: whether these are the photos that a run began with."""
    return digest(self)


@dataclasses.dataclass(frozen=True)
class Prepared(Dataset):
  """The photos that were prepared in the cache, from which they are read one by one.

  source, rows: the images, and which of them are the photos. boxes: the square each image shows, see regions.Box.
  """
  source: Sequence[Mapping]
  rows: Sequence[int]
  geometry: regions.Geometry
  labels: list[str]
  files: list[str]
  groups: list[str]
  sha256: list[str]
  boxes: Int[np.ndarray, 'n 4']
  skipped: tuple[Skipped, ...] = ()
  notes: tuple[str, ...] = ()
  records: Sequence[parts.Record] = ()

  @property
  def shape(self) -> tuple[int, ...]:
    return len(self.rows), self.geometry.size, self.geometry.size, self.geometry.channels

  def __len__(self) -> int:
    return len(self.rows)

  def __getitem__(self, index: int) -> UInt16[np.ndarray, 's s c']:
    return self.source[self.rows[index]]['image']

  def images(self, dtype: type = np.float32) -> Shaped[np.ndarray, 'n s s c']:
    """All images: float32 in [0, 1], or uint16."""
    images = np.empty(self.shape, dtype)
    for row, image in enumerate(self.arrays()):
      images[row] = image if dtype == np.uint16 else as_float(image)
    return images

  def arrays(self) -> Iterator[np.ndarray]:
    return (self[row] for row in range(len(self)))


@dataclasses.dataclass(frozen=True)
class InMemory(Dataset):
  """Images in memory: float32 in [0, 1], or uint8 or uint16 over the full range; `masks` of them."""
  pixels: Shaped[np.ndarray, 'n s s c']
  labels: Sequence = ()
  files: Sequence[str] = ()
  groups: Sequence[str] = ()
  sha256: Sequence[str] = ()
  masks: Bool[np.ndarray, 'n s s'] | None = None
  skipped: tuple[Skipped, ...] = ()
  notes: tuple[str, ...] = ()
  records: Sequence[parts.Record] = ()
  noun: str = 'photo'

  def __len__(self) -> int:
    return len(self.pixels)

  def __getitem__(self, index: int) -> UInt16[np.ndarray, 's s c']:
    image = self.pixels[index]
    if image.dtype == np.uint8:
      return image * np.uint16(257)
    return image if image.dtype == np.uint16 else as_uint16(image)

  @property
  def shape(self) -> tuple[int, ...]:
    return self.pixels.shape

  def images(self) -> Float[np.ndarray, 'n s s c']:
    if self.pixels.dtype == np.uint8:
      return np.float32(self.pixels) / 255
    return as_float(self.pixels) if self.pixels.dtype == np.uint16 else self.pixels

  def arrays(self) -> Iterator[np.ndarray]:
    columns = self.pixels, self.masks, np.asarray(self.labels) if len(self.labels) else None
    return (column for column in columns if column is not None)

  def only(self, rows: Bool[np.ndarray, 'n'] | Int[np.ndarray, 'm'] | Sequence[int]) -> 'InMemory':
    """Some of the photos, by a choice or by their places."""
    rows = np.arange(len(self))[np.asarray(rows, None if len(rows) else int)]

    def taken(column):
      if column is None or not len(column):
        return column
      return column[rows] if isinstance(column, np.ndarray) else [column[row] for row in rows]

    return dataclasses.replace(self, **{name: taken(getattr(self, name)) for name in (
        'pixels', 'labels', 'files', 'groups', 'sha256', 'masks', 'records')})

  @classmethod
  def joined(cls, datasets: Sequence['InMemory']) -> 'InMemory':
    """All photos of some sets of numbered classes, without masks."""
    def texts(name):
      return [text for photos in datasets for text in getattr(photos, name)]

    pixels, labels = ([getattr(photos, name) for photos in datasets] for name in ('pixels', 'labels'))
    known = all(len(photos.records) == len(photos) for photos in datasets)
    return cls(np.concatenate(pixels), np.concatenate(labels), texts('files'), texts('groups'), texts('sha256'),
               records=texts('records') if known else ())


def as_float(images: UInt16[Array | np.ndarray, '*shape']) -> Float[Array | np.ndarray, '*shape']:
  """uint16 over the full range to float32 in [0, 1]; everybody converts by this one rounding."""
  return images.astype(np.float32) * np.float32(1 / 65535)


def as_uint16(images: Float[np.ndarray, '*shape']) -> UInt16[np.ndarray, '*shape']:
  """[0, 1] to the full range of uint16."""
  return np.round(images * 65535).astype(np.uint16)


def spread(count: int, most: int) -> list[int]:
  """At most so many rows of a set of `count`, spread over it from its first to its last."""
  return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int)).tolist()


def taken(dataset: Dataset, rows: Sequence[int]) -> Float[np.ndarray, 'n s s c']:
  """Some of the photos, in [0, 1]; no others are held."""
  return np.stack([as_float(dataset[row]) for row in rows])


def mean_image(dataset: Dataset) -> Float64[np.ndarray, 's s c']:
  """Mean of the photos, one by one, since a set need not fit into memory."""
  return sum(as_float(dataset[row]).astype(np.float64) for row in range(len(dataset))) / len(dataset)


def digest(*datasets: Dataset) -> str:
  """SHA-256 of the decoded photos of some sets, of their masks and labels where they are in memory; hex."""
  sha256 = hashlib.sha256()
  for array in itertools.chain(*(dataset.arrays() for dataset in datasets)):
    sha256.update(np.ascontiguousarray(array))
  return sha256.hexdigest()


def is_close(mean: Array | np.ndarray, other: Array | np.ndarray) -> bool:
  """Whether two mean images are of the same photos: another processor scales photos to other last bits."""
  return np.allclose(mean, other, rtol=0, atol=3e-6)


def others(what: str) -> UserError:
  """The error where what is learnt from differs from what a run was trained on."""
  return UserError(f'data: the {what} are others than those that the run began with; put them back, or begin another '
                   'run by another --workdir')


def check_same(dataset: Dataset, before: str | None, mean: Float[Array | np.ndarray, 's s c'] | None = None) -> None:
  """Raises UserError if the photos differ from those that a run was trained on.

  before: their digest; None where the run's version kept none. mean: their mean image, which is asked if that differs.
  """
  if dataset.digest() != before and not is_close(mean, mean_image(dataset)):
    raise others('photos')


def lines(*datasets: Any) -> list[str]:
  """What the user should know of datasets or splits, each line once: photos that were skipped, and the notes."""
  return [*dict.fromkeys(str(line) for photos in datasets for line in (*photos.skipped, *photos.notes))]


def load(*, source: str, part: str, path: str | os.PathLike | None = None, defects: Sequence[str] | None = None,
         few_shot: int | None = None, max_broken: float = 0.01, seed: int = 0,
         records: Collection[parts.Record] | None = None, cache: str | os.PathLike | None = None,
         **others: Any) -> Prepared:
  """Opens the photos that the values of a config's `data` group describe, sorted by file; decodes no others.

  defects: classes to take; None: all. few_shot: how many photos to draw by `seed`; None or 0: all. max_broken: share of
  the chosen photos that may be unusable; they are skipped. records: what the source lists. cache: see
  cache.cache_folder. others: the geometry's values, what the source itself takes, and any others.
  """
  if part not in (*parts.PARTS, parts.TEST):
    raise UserError(f'data.part: {part!r} is none of {", ".join(parts.PARTS)}')
  geometry = regions.Geometry.of(others)
  listed = listing.list_photos(source, path, defects=defects or (), **others) if records is None else records
  chosen, notes = listing.choose(listed, part, defects, few_shot, seed)
  notes = [*(listed.notes if isinstance(listed, parts.Listing) else ()), *notes]
  fingerprints, unreadable = [], []
  for record in chosen:
    try:
      fingerprints.append(prepared.fingerprint(record))
    except photos.PhotoError as error:
      unreadable.append(Skipped(record.file, error.reason))
  check_skipped(unreadable, len(chosen), max_broken)
  if len(fingerprints) < 2:
    raise UserError(f'data: only {len(fingerprints)} of {len(chosen)} photos in part {part} can be read; at least 2 '
                    'are needed')
  images, entries = prepared.prepare(fingerprints, geometry, cache)
  rows = [row for row, entry in enumerate(entries) if not entry.reason]
  kept = [entries[row] for row in rows]
  skipped = *unreadable, *(Skipped(entry.file, entry.reason) for entry in entries if entry.reason)
  check_skipped(skipped, len(chosen), max_broken)
  if len(kept) < 2:
    raise UserError(f'data: only {len(kept)} usable photo in part {part}; at least 2 are needed')
  if cut_off := [entry.file for entry in kept if entry.seen < _LEAST_SEEN]:
    remedy = 'take a larger data.box' if geometry.region == 'box' else 'data.fit=pad shows all of a photo'
    notes.append(f'{cut_off[0]}: less than half of its marked defect lies in what is looked at '
                 f'({len(cut_off)} such {"photo" if len(cut_off) == 1 else "photos"}); {remedy}')
  labels, files, groups, sha256 = ([getattr(entry, name) for entry in kept]
                                   for name in ('label', 'file', 'group', 'sha256'))
  boxes = np.array([entry.box for entry in kept], np.int64)
  return Prepared(images, rows, geometry, labels, files, groups, sha256, boxes, skipped, tuple(notes),
                  [fingerprints[row].record for row in rows])


def check_skipped(skipped: Sequence[Skipped], count: int, max_broken: float) -> None:
  """Raises UserError if more than the share `max_broken` of `count` photos is skipped."""
  if len(skipped) > max_broken * count:
    first, others = skipped[0], len(skipped) - 1
    more = f'(and {others} more of {count} chosen photos)' if others else f'(1 of {count})'
    raise UserError(f'{first.file}: {first.reason} {more}; replace or remove it, or raise data.max_broken')
