"""status.json, by which other programs see that a run is alive and how far it is."""

import contextlib
import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

from defect_jax.runs.atomic import plain, write_atomic

HEARTBEAT = 1.0  # seconds; readers take status.json as stale after 2
STATES = ('starting', 'running', 'paused', 'stopping', 'stopped', 'finished', 'failed')


class Status:
  """Writes status.json at every update and, by a thread, at least every HEARTBEAT seconds in between."""

  def __init__(self, path: Path):
    self._path = path
    self._now = {'state': 'starting', 'pid': os.getpid(), 'host': socket.gethostname(), 'step': 0, 'steps_total': 0,
                 'message': ''}
    self._lock = threading.Lock()
    self._ended = threading.Event()
    self._thread = threading.Thread(target=self._beat, daemon=True, name='status')
    self._write()
    self._thread.start()

  def update(self, **values: Any) -> None:
    """Sets any of state, step, steps_total, message."""
    if unknown := values.keys() - {'state', 'step', 'steps_total', 'message'}:
      raise ValueError(f'no such field of status.json: {unknown}')
    if values.get('state', 'running') not in STATES:
      raise ValueError(f'no such state: {values["state"]}')
    with self._lock:
      self._now |= plain(values)
    self._write()

  def end(self) -> None:
    """Ends the thread."""
    self._ended.set()
    self._thread.join()

  def _beat(self):
    while not self._ended.wait(HEARTBEAT):
      self._write()

  def _write(self):
    # A status that cannot be written must not end a run: what matters is written elsewhere, and reports a full disk.
    with self._lock, contextlib.suppress(OSError):
      write_atomic(self._path, json.dumps(self._now | {'updated': time.time()}) + '\n', sync=False)
