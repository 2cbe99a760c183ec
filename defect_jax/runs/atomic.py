"""Files that are whole at any moment: a killed process or a full disk leaves the old content."""

import contextlib
import errno
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TEMPORARY = '.tmp'  # ends the name of a file in the making
_FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFull(OSError):
  """No space: the file named is as it was before."""

  def __str__(self) -> str:
    return self.strerror or ''


@contextlib.contextmanager
def disk_full_named(path: str | Path) -> Iterator[None]:
  """Turns "no space left" inside the block into DiskFull with `path` in its one-line message."""
  try:
    yield
  except OSError as error:
    if error.errno in _FULL and not isinstance(error, DiskFull):
      raise DiskFull(error.errno, f'disk full while writing {path}; free space and give the same command again'
                     ) from error
    raise


def write_atomic(path: str | Path, data: bytes | str, sync: bool = True) -> None:
  """Replaces a file so that at any moment it holds either its old content or all of `data`.

  `sync`: whether it also survives a power cut, for some milliseconds. Raises DiskFull or another OSError, with the old
  file intact and no temporary file left.
  """
  path = Path(path)
  temporary = path.with_name(f'.{path.name}.{os.getpid()}{TEMPORARY}')
  with disk_full_named(path):
    try:
      with open(temporary, 'wb') as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        if sync:
          os.fsync(file.fileno())
      os.replace(temporary, path)
    except BaseException:
      temporary.unlink(missing_ok=True)
      raise
    if sync:
      handle = os.open(path.parent, os.O_RDONLY)
      try:
        os.fsync(handle)
      finally:
        os.close(handle)


def plain(value: Any) -> Any:
  """`value` for JSON: arrays of one number become numbers, nan and infinity None, tuples lists."""
  if isinstance(value, dict):
    return {str(key): plain(item) for key, item in value.items()}
  if isinstance(value, list | tuple):
    return [plain(item) for item in value]
  if hasattr(value, 'tolist'):
    return plain(value.tolist())
  return None if isinstance(value, float) and not math.isfinite(value) else value
