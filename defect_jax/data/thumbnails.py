"""Small grey copies of photos, kept in the cache as long as their files do not change."""

import contextlib
import hashlib
import io
from collections.abc import Sequence
from concurrent import futures

import numpy as np
from jaxtyping import Float16
from PIL import Image

from defect_jax.data import cache, parts, photos

SIDE = 128  # px
_FORMAT = 3  # raise it with any change of what a thumbnail is
_THREADS = 4  # large photos decoded at a time: bounds memory

Thumbnail = Float16[np.ndarray, 'SIDE SIDE']


def of(photo: photos.Photo) -> Thumbnail:
  """All of a decoded photo scaled to SIDE x SIDE px by means of areas, grey, in [0, 1]."""
  if photo.dtype == np.uint8:  # first by whole pixels, which Pillow does in a tenth of the time
    rows, columns = (max(side // (2 * SIDE), 1) for side in photo.shape[:2])
    photo = np.asarray(Image.fromarray(photo).reduce((columns, rows)))
  rows, columns = (max(side // (8 * SIDE), 1) for side in photo.shape[:2])  # of large photos some pixels will do
  return photos.scale(photos.to_channels(photo[::rows, ::columns], 1), SIDE)[..., 0].astype(np.float16)


def remember(record: parts.Record, photo: photos.Photo) -> None:
  """Keeps the thumbnail of a photo that was decoded anyway, so that nobody need decode it for that again."""
  if name := name_of(record):
    _keep(name, of(photo))


def load(records: Sequence[parts.Record]) -> list[Thumbnail | None]:
  """The thumbnails of photos, None for those that can't be read; decodes what the cache does not hold."""
  with futures.ThreadPoolExecutor(_THREADS) as pool:
    return [*pool.map(_load, records)]


def name_of(record: parts.Record) -> str:
  """What the cache knows a photo by: its path, its file's size and date, the bits it uses; '' if there is no file."""
  try:
    path = record.photo.resolve()
    known = path.stat()
  except OSError:
    return ''
  return hashlib.sha256(f'{_FORMAT} {path} {known.st_size} {known.st_mtime_ns} {record.bits}'.encode()).hexdigest()


def _load(record):
  if not (name := name_of(record)):
    return None
  with contextlib.suppress(OSError, ValueError, EOFError):  # absent or damaged: made anew
    return np.load(_place(name))
  try:
    thumbnail = of(record.decode())
  except photos.PhotoError:
    return None
  _keep(name, thumbnail)
  return thumbnail


def _place(name):
  return cache.cache_folder() / 'thumbnails' / name[:2] / f'{name}.npy'


def _keep(name, thumbnail):
  buffer = io.BytesIO()
  np.save(buffer, thumbnail)
  cache.keep(_place(name), buffer.getvalue())
