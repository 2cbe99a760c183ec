"""Chosen photos, cut and scaled once, kept in a cache that can't be stale.

Only the chosen photos are prepared, in the array_record format, which tfds writes and reads without importing
TensorFlow.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import shutil
import typing
from collections.abc import Mapping, Sequence
from concurrent import futures

import filelock
import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from defect_jax.config import UserError
from defect_jax.data import parts, photos, regions
from defect_jax.data.cache import cache_folder

# Part of the cache's key: raise it with any change of how photos are decoded, cut or scaled, and of what is kept.
FORMAT = 3
SPLIT = 'photos'
_CHUNK = 64  # prepared images held at a time
_THREADS = 4  # large photos decoded at a time: bounds memory


@dataclasses.dataclass(frozen=True)
class Source:
  """A chosen photo with the SHA-256 of its file and the digest of its annotation ('' without one)."""
  record: parts.Record
  sha256: str
  annotation: str


@dataclasses.dataclass(frozen=True)
class Entry:
  """What is known of a prepared photo but its pixels; `reason` says why it couldn't be used, '' if it could.

  seen: share of its marked defect that the square shows, 1 where none is marked.
  """
  file: str
  label: str
  group: str
  sha256: str
  box: tuple[int, int, int, int]
  seen: float
  reason: str


@dataclasses.dataclass
class PhotoConfig(tfds.core.BuilderConfig):
  """`name` is the key of `sources` and `geometry`."""
  sources: tuple[Source, ...] = ()
  geometry: regions.Geometry | None = None


class Photos(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
  """Prepares the photos of a PhotoConfig as uint16 images over the full range, in the order of the config."""

  VERSION = tfds.core.Version('1.0.0')
  # No downloads. tfds 4.9.10 would look for checksum files with importlib_resources, which it doesn't require.
  url_infos: typing.ClassVar[dict] = {}

  def _info(self):
    side, channels = self.builder_config.geometry.size, self.builder_config.geometry.channels
    features = tfds.features.FeaturesDict({
        'image': tfds.features.Tensor(
            shape=(side, side, channels), dtype=np.uint16, encoding=tfds.features.Encoding.BYTES),
        **{name: tfds.features.Text() for name in ('file', 'class', 'group', 'sha256')},
        'box': tfds.features.Tensor(shape=(4,), dtype=np.int64), 'seen': np.float32, 'reason': tfds.features.Text()})
    return tfds.core.DatasetInfo(builder=self, features=features, disable_shuffling=True)

  def _split_generators(self, dl_manager):
    del dl_manager  # nothing is downloaded
    return {SPLIT: self._generate_examples()}

  def _generate_examples(self):
    config = self.builder_config
    with futures.ThreadPoolExecutor(_THREADS) as pool:
      for start in range(0, len(config.sources), _CHUNK):
        chunk = config.sources[start:start + _CHUNK]
        yield from enumerate(pool.map(_example, chunk, itertools.repeat(config.geometry)), start)


def fingerprint(record: parts.Record) -> Source:
  """Reads a photo and its annotation for their digests; raises PhotoError when they can't be read."""
  return Source(record, record.sha256(), record.annotation.digest() if record.annotation else '')


def prepare(sources: Sequence[Source], geometry: regions.Geometry, cache: str | os.PathLike | None = None,
            ) -> tuple[Sequence[Mapping], list[Entry]]:
  """Prepares photos, or finds them prepared in the folder `cache`, see cache.cache_folder.

  Returns the tfds data source and one Entry per photo, both in the order of `sources`. Photos that can't be used are
  black and have a reason. Raises UserError when the cache can't be written or a photo changes meanwhile.
  """
  root = cache_folder(cache)
  chosen = [(s.record.file, s.record.label, s.record.group, s.record.bits, s.sha256, s.annotation)
            for s in sources]
  key = _sha256(json.dumps([FORMAT, dataclasses.asdict(geometry), chosen]).encode())  # all that the images follow from
  try:
    with filelock.FileLock(root / Photos.name / key / 'lock'), _quiet():
      return _prepared(PhotoConfig(name=key, sources=tuple(sources), geometry=geometry), root)
  except OSError as error:
    raise UserError(f'cache folder {root}: {error.strerror or error}; free space there or name another folder by '
                    'the environment variable DEFECT_JAX_CACHE') from error


def _prepared(config, root):
  builder = Photos(config=config, data_dir=root, file_format='array_record')
  folder = pathlib.Path(builder.data_path)
  if folder.exists():
    with contextlib.suppress(Exception):  # a damaged cache shows itself in many ways; all mean: prepare anew
      return _opened(builder)
    shutil.rmtree(folder)
    builder = Photos(config=config, data_dir=root, file_format='array_record')
  for leftover in folder.parent.glob('incomplete.*'):  # of processes that were killed; we hold the lock
    shutil.rmtree(leftover)
  builder.download_and_prepare()
  return _opened(builder)


def _opened(builder):
  """Reads every record once, which also has array_record check them."""
  source = builder.as_data_source(split=SPLIT)
  entries = []
  for example in source:
    file, label, group, sha256 = (example[name].decode() for name in ('file', 'class', 'group', 'sha256'))
    left, top, width, height = map(int, example['box'])
    entries.append(Entry(file, label, group, sha256, (left, top, width, height), float(example['seen']),
                         example['reason'].decode()))
  if len(entries) != len(builder.builder_config.sources):
    raise ValueError(f'{len(entries)} records')
  return source, entries


def _example(source, geometry):
  record = source.record
  try:
    photo, mask = _read(source)
    image, box = regions.place(photo, mask, geometry, record.file)
    seen, reason = regions.seen(mask, box, geometry), ''
  except photos.PhotoError as error:
    image, box, seen = np.zeros((geometry.size, geometry.size, geometry.channels), np.float32), (0, 0, 0, 0), 0.0
    reason = error.told_of(record.file)
  return {
      'image': np.round(image * 65535).astype(np.uint16), 'file': record.file, 'class': record.label,
      'group': record.group, 'sha256': source.sha256, 'box': np.array(box, np.int64), 'seen': np.float32(seen),
      'reason': reason}


def _read(source):
  """The decoded photo and its mask or None; UserError where they changed since their digests were taken."""
  record, data = source.record, source.record.read()
  _check_unchanged(record.file, _sha256(data), source.sha256)
  photo = record.decode(data)
  if record.annotation is None:
    return photo, None
  mask = record.annotation.read(photo.shape[:2])
  _check_unchanged(f'mask of {record.file}', record.annotation.digest(), source.annotation)
  return photo, mask


def _check_unchanged(name, digest, before):
  if digest != before:
    raise UserError(f'{name}: changed while it was being read; start again once the folder is at rest')


def _sha256(data):
  return hashlib.sha256(data).hexdigest()


@contextlib.contextmanager
def _quiet():
  """Keeps what tfds prints, logs and draws off the terminal."""
  tfds.disable_progress_bar()
  verbosity = logging.get_verbosity()
  logging.set_verbosity(logging.ERROR)
  try:
    with open(os.devnull, 'w') as nowhere, contextlib.redirect_stdout(nowhere):
      yield
  finally:
    logging.set_verbosity(verbosity)
