"""Production of many images: fixed chunks by index, shares by process, resume.

While a set is being made, each process records its chunks in a part, manifest.<config hash>.<process>.jsonl. Once the
parts hold all images they become manifest.jsonl, sorted by index, so that no byte of a finished set tells how many
processes made it or how often they were interrupted.
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
import re
from concurrent import futures

import numpy as np

from defect_jax.config import UserError
from defect_jax.imagesets import manifest, writer
from defect_jax.runs.atomic import TEMPORARY, disk_full_named, write_atomic

_THREADS = 4  # images encoded at a time; imagecodecs lets go of Python's lock


@dataclasses.dataclass(frozen=True)
class Progress:
  """How far a production has come.

  `made`: images recorded by this call. `done`, `total`: images recorded and to be made of this process's share.
  `whole`: whether the set has all images, of all processes, and its manifest.jsonl.
  """
  made: int
  done: int
  total: int
  whole: bool


def produce(root, count, chunk, make, config_hash, on_progress=None, process=0, processes=1, stop=lambda: False,
            inspect=None):
  """Makes the images of a set that are not there yet.

  Chunk k, the indices from k * chunk on, belongs to process k % processes. Chunks already recorded are passed over, one
  half written is made again, so image i must follow from its index alone. The images of one chunk are written while the
  next is made.

  Args:
    root: the set's folder; of what it holds only the folders of images and the manifest's files are touched.
    count: images of the whole set. chunk: images a call of `make`.
    make: function of indices, uint32 `[chunk]`, to (`chunk` images as writer.to_levels takes them, list of one dict an
      image with keys of a manifest line but `index`, `config_hash` and those of writer.FOLDERS). Instead of an image
      there may be a dict of several that belong together, by keys of writer.FOLDERS. Always gets a full chunk: what it
      returns for indices from `count` on is dropped.
    config_hash: hex; a folder with images of another is refused.
    on_progress: called with (done, total) of the share after each chunk is recorded.
    process, processes: which share to make. stop: polled before each chunk; true ends after what was begun.
    inspect: looks at an image's files once they are written: (root, Made) -> dict of further keys of its line.

  Returns Progress. Raises UserError, with nothing touched, where the folder holds other images; DiskFull; ValueError
  for what `make` returned.
  """
  root = pathlib.Path(root)
  share = [range(first, min(first + chunk, count)) for first in range(process * chunk, count, processes * chunk)]
  made = _checked(root, count, config_hash)
  pending = [indices for indices in share
             if not all(i in made and all(writer.is_whole(root / file) for file in made[i].files()) for i in indices)]
  total = sum(map(len, share))
  before = done = total - sum(map(len, pending))
  if pending:
    part = _claimed(root, config_hash, process)
    with contextlib.closing(_recorded(root, part, pending, chunk, make, config_hash, stop, inspect)) as chunks:
      for recorded in chunks:
        done += recorded
        if on_progress:
          on_progress(done, total)
  return Progress(done - before, done, total, done == total and _merged(root, count, config_hash, process))


def _recorded(root, part, pending, chunk, make, config_hash, stop, inspect):
  """Makes and records chunks; yields the number of images of each that is recorded."""
  with disk_full_named(part), open(part, 'ab') as file, futures.ThreadPoolExecutor(_THREADS) as writers, \
       futures.ThreadPoolExecutor(1) as recorder:  # left in reverse: where `make` raises, the chunk before is recorded
    recording = None
    for indices in pending:
      if stop():
        break
      images, lineage = make(np.arange(indices[0], indices[0] + chunk, dtype=np.uint32))
      if not len(images) == len(lineage) == chunk:
        raise ValueError(f'make returned {len(images)} images and {len(lineage)} lineages for {chunk} indices')
      images = [of if isinstance(of, dict) else {'file': of} for of in images[:len(indices)]]
      made = [manifest.Made.of({**values, **_paths(i, of), 'index': i, 'config_hash': config_hash})
              for i, of, values in zip(indices, images, lineage[:len(indices)], strict=True)]
      if recording:
        yield recording.result()
      recording = recorder.submit(_record, writers, file, root, made, images, inspect)
    if recording:
      yield recording.result()


def _paths(index, images):
  """{key of writer.FOLDERS: path}; where an array is no image, writing it says so."""
  return {key: writer.image_file(index, writer.FOLDERS[key], np.asarray(image)) for key, image in images.items()}


def _record(writers, file, root, made, images, inspect):
  for key in {key for of in images for key in of}:
    (root / writer.FOLDERS[key]).mkdir(exist_ok=True)
  made = list(writers.map(functools.partial(_write, root, inspect), made, images))
  # A killed process leaves no line without its image, since the lines come last. After a power cut it may, since only
  # the lines are synced; the next start looks at each recorded image.
  file.write(''.join(image.line() for image in made).encode())
  file.flush()
  os.fsync(file.fileno())
  return len(made)


def _write(root, inspect, made, images):
  """Writes what belongs to an image; Made, with what a look at the files adds."""
  for key, image in images.items():
    writer.write_image(root, made.index, image, writer.FOLDERS[key])
  return dataclasses.replace(made, **inspect(root, made)) if inspect else made


def _checked(root, count, config_hash):
  """Made by index, of all that is recorded; UserError where the folder holds anything else."""
  # Before the parts are read: a process that is at work has its part before its first image.
  names = [f'{folder}/{name}' for folder in writer.FOLDERS.values() for name in _names(root / folder)]
  parts, made = _parts(root), recorded(root)
  others = [part.name for part in parts if part.name.split('.')[1] != config_hash]
  others += [image.file for image in made.values() if image.config_hash != config_hash]
  if others:
    raise UserError(f'{root}: holds {others[0]} of another config; choose another folder')
  if made and max(made) >= count:
    raise UserError(f'{root}: holds image {max(made)}, but only {count} are to be made; raise their number or choose '
                    'another folder')
  ours = {file for image in made.values() for file in image.files()}
  for name in names:
    number = re.fullmatch(r'\w+/(\d{6,})\.(png|tif)', name)
    begun = parts and (name.endswith(TEMPORARY) or (number and int(number[1]) < count))
    if name not in ours and not begun:
      raise UserError(f'{root}: {name} is not an image made here; choose another folder')
  return made


def _names(folder):
  try:
    return sorted(os.listdir(folder))
  except FileNotFoundError:
    return []
  except OSError as error:
    raise UserError(f'{folder}: cannot be read ({error.strerror}); choose another folder') from error


def _claimed(root, config_hash, process):
  """This process's part with whole lines only; its name claims the folder before any image is there."""
  part = root / f'manifest.{config_hash}.{process}.jsonl'
  try:
    (root / writer.IMAGES).mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(f'{root}: cannot be written ({error.strerror}); choose another folder') from error
  text = ''.join(image.line() for image in _read_part(part).values()).encode()
  if part.exists() and part.read_bytes() != text:
    write_atomic(part, text)
  return part


def _merged(root, count, config_hash, process):
  """Makes manifest.jsonl of the parts where all images are recorded; whether the set is whole."""
  parts, made = _parts(root), recorded(root)
  if len(made) < count:
    return False
  if parts:
    for folder in writer.FOLDERS.values():
      for leftover in (root / folder).glob(f'.*{TEMPORARY}'):
        leftover.unlink(missing_ok=True)
    part = root / f'manifest.{config_hash}.{process}.jsonl'
    with contextlib.suppress(FileNotFoundError):  # another process has come here at the same time and tidied up
      write_atomic(part, ''.join(made[index].line() for index in range(count)))
      os.replace(part, root / manifest.NAME)
    for part in parts:
      part.unlink(missing_ok=True)
  return True


def _parts(root):
  return sorted(root.glob('manifest.*.jsonl'))


def recorded(root):
  """Made by index, all that is recorded in a set's folder, of its parts and its manifest.

  In this order, since another process may be making one of the other.
  """
  made = {}
  for part in _parts(root):
    made |= _read_part(part)
  if (root / manifest.NAME).exists():
    made |= {image.index: image for image in manifest.read(root)}
  return made


def _read_part(part):
  """Made by index, without what a killed process half wrote and a power cut damaged."""
  made = {}
  with contextlib.suppress(FileNotFoundError):
    for line in part.read_bytes().splitlines(keepends=True):
      with contextlib.suppress(ValueError):
        image = manifest.Made.parse(line)
        made[image.index] = image
  return made
