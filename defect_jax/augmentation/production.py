"""Production of many images: fixed chunks by index, shares by process, resume.

While a set is being made, each process records its chunks in a part, manifest.<config hash>.<process>.jsonl. Once the
parts hold all images they become manifest.jsonl, sorted by index, so that no byte of a finished set tells how many
processes made it or how often they were interrupted.
"""

import contextlib
import dataclasses
import functools
import os
import re
import time
from collections.abc import Callable, Mapping
from concurrent import futures
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt32

from defect_jax import parallel
from defect_jax.errors import UserError
from defect_jax.imagesets import manifest, writer
from defect_jax.runs.atomic import TEMPORARY, disk_full_named, write_atomic
from defect_jax.runs.folder import Stopped, Workdir
from defect_jax.runs.progress import ProgressBar

# Of indices: as many images as writer.to_levels takes them, or dicts of several by keys of writer.FOLDERS that belong
# together, and a dict per image with keys of a manifest line but `index`, `config_hash` and those of writer.FOLDERS.
Make = Callable[[UInt32[np.ndarray, 'chunk']], tuple[list, list[dict[str, Any]]]]
_THREADS = 4  # images encoded at a time; imagecodecs lets go of Python's lock


@dataclasses.dataclass(frozen=True)
class ShareProgress:
  """Images recorded by a call (made), recorded (done) and to be made (total) of its process's share, and whether the
  set is whole: all images, of all processes, and its manifest.jsonl."""
  made: int
  done: int
  total: int
  whole: bool


def run(workdir: Workdir, root: Path, count: int, chunk: int, make: Make, config_hash: str,
        compile: Callable[[], Any], process: int = 0, processes: int = 1,
        inspect: Callable[[Path, manifest.Made], dict[str, Any]] | None = None
        ) -> tuple[ShareProgress, dict[str, Any]]:
  """Calls `compile`, then `produce` for a run, and shows how far it is; also returns what the summary says of it.

  Raises Stopped if the run was asked to stop, and what `produce` raises.
  """
  began = time.monotonic()
  workdir.cut_back(-1)
  compile()
  compile_seconds = time.monotonic() - began
  share = produce(root, count, chunk, make, config_hash, ProgressBar(workdir, 'image').record, process, processes,
                  lambda: workdir.stop_requested, inspect)
  if share.done < share.total:
    raise Stopped(f'stopped at image {share.done} of {share.total}; the same command goes on')
  seconds = time.monotonic() - began
  rate = share.made / max(seconds - compile_seconds, 1e-9)
  return share, {'steps': count, 'seconds': seconds, 'compile_seconds': compile_seconds, 'images_per_second': rate,
                 'devices': parallel.devices(), 'platform': jax.default_backend(),
                 'seconds_per_image': 1 / rate if rate else None}


def produce(root: str | Path, count: int, chunk: int, make: Make, config_hash: str,
            on_progress: Callable[[int, int], None] | None = None, process: int = 0, processes: int = 1,
            stop: Callable[[], bool] = lambda: False,
            inspect: Callable[[Path, manifest.Made], dict[str, Any]] | None = None) -> ShareProgress:
  """Makes the images of a set that are not there yet; in `root` only the image folders and manifests are touched.

  Chunk k, the indices from k * chunk on, belongs to process k % processes. Chunks already recorded are passed over, one
  half written is made again, so image i must follow from its index alone. The images of one chunk are written while the
  next is made. `make` always gets a full chunk: what it returns for indices from `count` on is dropped.

  on_progress is called with (done, total) of the share after each chunk is recorded; stop is polled before each chunk,
  and if it is true, what was begun is recorded and no more; inspect looks at an image's files once they are written and
  returns further keys of its line.

  Raises UserError, with nothing touched, if the folder holds other images; DiskFull; ValueError if what `make` returned
  is no set of images.
  """
  root = Path(root)
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
  return ShareProgress(done - before, done, total, done == total and _merged(root, count, config_hash, process))


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
      images = [image if isinstance(image, dict) else {'file': image} for image in images[:len(indices)]]
      # Where an array is no image, writing it says so.
      paths = [{key: writer.image_file(i, writer.FOLDERS[key], np.asarray(image)) for key, image in files.items()}
               for i, files in zip(indices, images, strict=True)]
      made = [manifest.Made.of({**values, **files, 'index': i, 'config_hash': config_hash})
              for i, files, values in zip(indices, paths, lineage[:len(indices)], strict=True)]
      if recording:
        yield recording.result()
      recording = recorder.submit(_record, writers, file, root, made, images, inspect)
    if recording:
      yield recording.result()


def _record(writers, file, root, made, images, inspect):
  for key in {key for files in images for key in files}:
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
    writer.write_image(root, made.index, image, writer.FOLDERS[key], made.bits or 16)
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


def refuse_others(root: Path, config_hash: str, origin_of: Callable[[int], Mapping[str, str | None]]) -> None:
  """Raises UserError if an image recorded under this config would be made of another photo or by another model now.

  origin_of: of an index, what its line would have under 'model' and, if known beforehand, 'source' and 'source_sha256'.
  """
  for image in recorded(root).values():
    now = origin_of(image.index)
    before = {key: getattr(image, key) for key in now}
    if image.config_hash == config_hash and before != now:
      then, anew = ((f'of {origin["source"]} ' if 'source' in origin else '') + f'by {origin["model"]}'
                    for origin in (before, now))
      raise UserError(f'image {image.index} was made {then}, and now it would be made {anew}; put photos and weights '
                      'back as they were, or begin another run')


def recorded(root: Path) -> dict[int, manifest.Made]:
  """By index, all that is recorded in a set's folder: of its parts, then of its manifest, since another process may be
  making it of the parts."""
  made = {index: image for part in _parts(root) for index, image in _read_part(part).items()}
  whole = manifest.read(root) if (root / manifest.NAME).exists() else []
  return made | {image.index: image for image in whole}


def _read_part(part):
  """Made by index, without what a killed process half wrote and a power cut damaged."""
  made = {}
  with contextlib.suppress(FileNotFoundError):
    for line in part.read_bytes().splitlines(keepends=True):
      with contextlib.suppress(ValueError):
        image = manifest.Made.parse(line)
        made[image.index] = image
  return made
