"""metrics.jsonl: a JSON object per logged step, {'step': int, name: number, ...}."""

import contextlib
import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from defect_jax.runs.atomic import disk_full_named, plain, write_atomic


def read(path: Path) -> list[dict[str, Any]]:
  """The rows in order; what a killed run half wrote is left out."""
  rows = []
  for line in path.read_bytes().splitlines() if path.exists() else ():
    with contextlib.suppress(ValueError):
      rows.append(json.loads(line))
  return [row for row in rows if isinstance(row, dict) and isinstance(row.get('step'), int)]


def append(path: Path, row: Mapping[str, Any]) -> None:
  """Adds a row; raises DiskFull with the file as it was."""
  line = json.dumps({'step': row['step']} | plain(row), allow_nan=False) + '\n'
  with disk_full_named(path), open(path, 'ab', buffering=0) as file:
    size = file.tell()
    try:
      if file.write(line.encode()) < len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
      file.truncate(size)
      raise


def cut_back(path: Path, step: int) -> None:
  """Drops the rows after `step`, and half-written ones: a resumed run writes them again."""
  text = ''.join(json.dumps(row) + '\n' for row in read(path) if row['step'] <= step)
  if path.exists() and path.read_text(errors='replace') != text:
    write_atomic(path, text)
