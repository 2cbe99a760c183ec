"""Reads photos one after the other as a view shows them, a few ahead in threads, so that memory stays bounded."""

import collections
import dataclasses
from concurrent import futures

import numpy as np
import threadpoolctl

from defect_jax.data import parts, photos, tiles

_THREADS = 2


@dataclasses.dataclass(frozen=True)
class Sample:
  """A photo as a view shows it; `reason` says why it can't be used, '' if it can.

  record: parts.Record. image: float32 `[h, w, C]`, None where it can't be used. mask: bool `[h, w]`; all False without
  a mask.
  """
  record: parts.Record
  image: np.ndarray | None
  mask: np.ndarray | None
  reason: str = ''


def read(record, view):
  """One photo, Sample."""
  try:
    photo = photos.decode(record.photo, record.file)
    mask = photos.decode(record.mask, f'mask of {record.file}') if record.mask else None
    image, shown_mask = view.place(photo, mask, record.file)
  except photos.PhotoError as error:
    return Sample(record, None, None, error.reason if error.name == record.file else str(error))
  return Sample(record, image, np.zeros(image.shape[:2], bool) if shown_mask is None else shown_mask)


def read_all(records, view: tiles.Tiling, ahead=8):
  """Sample of every record, in order; at most `ahead` of them are held."""
  waiting = collections.deque()
  # Photos are read side by side, so each is scaled by one thread: with BLAS's own threads beside these and XLA's, a
  # 300 px photo took 12 times as long.
  with threadpoolctl.threadpool_limits(1, 'blas'), futures.ThreadPoolExecutor(_THREADS) as pool:
    try:
      for record in records:
        waiting.append(pool.submit(read, record, view))
        if len(waiting) == ahead:
          yield waiting.popleft().result()
      while waiting:
        yield waiting.popleft().result()
    finally:
      for future in waiting:
        future.cancel()
