"""Small grey copies of photos, kept in the cache as long as their files do not change."""

import contextlib
import hashlib
import io
from collections.abc import Sequence
from concurrent import futures

import numpy as np
from jaxtyping import Float16

from defect_jax.data import cache, parts, photos
from defect_jax.runs import atomic

SIDE = 64  # px
_FORMAT = 1  # raise it with any change of what a thumbnail is
_THREADS = 4  # large photos decoded at a time: bounds memory

Thumbnail = Float16[np.ndarray, 'SIDE SIDE']


def of(photo: photos.Photo) -> Thumbnail:
  """All of a decoded photo scaled to SIDE x SIDE px by means of areas, grey, in [0, 1]."""
  rows, columns = (max(side // (16 * SIDE), 1) for side in photo.shape[:2])  # of large photos some pixels will do
  return photos.scale(photos.to_channels(photo[::rows, ::columns], 1), SIDE)[..., 0].astype(np.float16)


def remember(record: parts.Record, photo: photos.Photo) -> None:
  """Keeps the thumbnail of a photo that was decoded anyway, so that nobody need decode it for that again."""
  _keep(_place(record), of(photo))


def load(records: Sequence[parts.Record]) -> list[Thumbnail | None]:
  """The thumbnails of photos, None for those that can't be read; decodes what the cache does not hold."""
  with futures.ThreadPoolExecutor(_THREADS) as pool:
    return [*pool.map(_load, records)]


def _load(record):
  try:
    place = _place(record)
    with contextlib.suppress(OSError, ValueError, EOFError):  # absent or damaged: made anew
      return np.load(place)
    thumbnail = of(record.decode())
  except (OSError, photos.PhotoError):
    return None
  _keep(place, thumbnail)
  return thumbnail


def _place(record):
  path = record.photo.resolve()
  known = path.stat()
  name = hashlib.sha256(f'{_FORMAT} {path} {known.st_size} {known.st_mtime_ns} {record.bits}'.encode()).hexdigest()
  return cache.cache_folder() / 'thumbnails' / name[:2] / f'{name}.npy'


def _keep(place, thumbnail):
  with contextlib.suppress(OSError):  # a full or read-only disk costs the time of decoding again
    place.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.save(buffer, thumbnail)
    atomic.write_atomic(place, buffer.getvalue(), sync=False)
