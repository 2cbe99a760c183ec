"""The lock of a run, which the process at work holds and the end of that process gives back.

By fcntl's record locks, not filelock's flock, since other programs and runs of earlier versions ask for these.
"""

import errno
import fcntl
import os
from pathlib import Path


class Held(Exception):
  """Another process holds the lock."""


class Lock:
  """A lock on a file. Closing any handle of that file in this process gives the lock back (POSIX)."""

  def __init__(self, path: Path):
    self._path = path
    self._handle: int | None = None

  @property
  def acquired(self) -> bool:
    return self._handle is not None

  def acquire(self) -> None:
    """Makes the file if there is none, and takes the lock; raises Held or OSError."""
    self._handle = self._locked(os.O_CREAT)

  def check(self) -> None:
    """Raises Held if another process holds the lock. Not for a process that holds it itself, which would lose it."""
    if self._path.exists():
      os.close(self._locked())

  def release(self) -> None:
    """Gives the lock back; nothing if it is not held."""
    if self._handle is not None:
      os.close(self._handle)
      self._handle = None

  def _locked(self, flags: int = 0) -> int:
    handle = os.open(self._path, os.O_RDWR | flags, 0o644)
    try:
      fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      os.close(handle)
      if error.errno in (errno.EACCES, errno.EAGAIN):
        raise Held from error
      raise
    return handle
