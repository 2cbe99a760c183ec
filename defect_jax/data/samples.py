"""Reads photos one after the other as a Tiling shows them, a few ahead in threads, so that memory stays bounded."""

import collections
import contextlib
import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent import futures

import numpy as np
import threadpoolctl
from jaxtyping import Bool, Float

from defect_jax.data import dataset, parts, photos, tiles
from defect_jax.errors import UserError

_THREADS = 2
_SIDE = 128  # px of a photo that its level is taken of, at least, along each side


@dataclasses.dataclass(frozen=True)
class Traits:
  """What a photo is like. size: height and width in px. depth: 8 or 16 bits. level: its median, in [0, 1]."""
  size: tuple[int, int]
  depth: int
  level: float

  @classmethod
  def of(cls, photo: photos.Photo) -> 'Traits':
    """Of a decoded photo; some of a large one's pixels stand for all."""
    rows, columns = (max(side // _SIDE, 1) for side in photo.shape[:2])
    level = float(np.median(photos.to_channels(photo[::rows, ::columns], 1)))
    return cls(photo.shape[:2], 8 * photo.itemsize, level)


@dataclasses.dataclass(frozen=True)
class Sample:
  """A photo as a Tiling shows it, with what is marked in it; `reason` says why it can't be used, '' if it can.

  sha256: of its file, hex.
  """
  record: parts.Record
  image: Float[np.ndarray, 'h w c'] | None
  mask: Bool[np.ndarray, 'h w'] | None
  reason: str = ''
  traits: Traits | None = None
  sha256: str = ''


def read(record: parts.Record, tiling: tiles.Tiling) -> Sample:
  """One photo."""
  try:
    data = record.read()
    photo = record.decode(data)
    mask = record.annotation.read(photo.shape[:2]) if record.annotation else None
    image, shown_mask = tiling.place(photo, mask, record.file)
  except photos.PhotoError as error:
    return Sample(record, None, None, error.told_of(record.file))
  return Sample(record, image, np.zeros(image.shape[:2], bool) if shown_mask is None else shown_mask,
                traits=Traits.of(photo), sha256=hashlib.sha256(data).hexdigest())


def traits(records: Sequence[parts.Record]) -> list[Traits | None]:
  """The traits of photos, None for those that can't be read."""
  def read(record):
    with contextlib.suppress(photos.PhotoError):
      return Traits.of(record.decode())

  with futures.ThreadPoolExecutor(_THREADS) as pool:
    return [*pool.map(read, records)]


def read_all(records: Iterable[parts.Record], tiling: tiles.Tiling, ahead: int = 8) -> Iterator[Sample]:
  """Every photo, in order; at most `ahead` of them are held."""
  waiting = collections.deque()
  # Photos are read side by side, so each is scaled by one thread: with BLAS's own threads beside these and XLA's, a
  # 300 px photo took 12 times as long.
  with threadpoolctl.threadpool_limits(1, 'blas'), futures.ThreadPoolExecutor(_THREADS) as pool:
    try:
      for record in records:
        waiting.append(pool.submit(read, record, tiling))
        if len(waiting) == ahead:
          yield waiting.popleft().result()
      while waiting:
        yield waiting.popleft().result()
    finally:
      for future in waiting:
        future.cancel()


def usable(records: Sequence[parts.Record], tiling: tiles.Tiling, skipped: list[dataset.Skipped],
           max_broken: float) -> Iterator[Sample]:
  """Samples that can be used, in order; the others are added to `skipped`.

  Raises UserError if more than the share `max_broken` of the records cannot be used.
  """
  broken = []
  for sample in read_all(records, tiling):
    if not sample.reason:
      yield sample
      continue
    broken.append(dataset.Skipped(sample.record.file, sample.reason))
    skipped.append(broken[-1])
    dataset.check_skipped(broken, len(records), max_broken)


def check_masks(records: Iterable[parts.Record]) -> None:
  """Raises UserError for a mask that cannot be read or is not of its photo's size."""
  for record in records:
    if record.annotation:
      with contextlib.suppress(photos.PhotoError):  # a broken photo is skipped later
        shape = record.decode().shape[:2]
        try:
          record.annotation.read(shape)
        except photos.PhotoError as error:
          reason = f'{error.told_of(record.file)}; put the right mask there or remove it'
          raise UserError(f'{record.file}: {reason}') from error
