"""Where things lie that can be made again."""

import contextlib
import os
import pathlib

from defect_jax.runs import atomic


def cache_folder(cache: str | os.PathLike | None = None) -> pathlib.Path:
  """The folder for what can be made again: `cache`, the environment's DEFECT_JAX_CACHE or ~/.cache/defect_jax."""
  return pathlib.Path(cache or os.environ.get('DEFECT_JAX_CACHE') or '~/.cache/defect_jax').expanduser()


def keep(path: pathlib.Path, data: bytes | str) -> None:
  """Writes a file of the cache; a disk that is full or read-only costs the time of making it again."""
  with contextlib.suppress(OSError):
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_atomic(path, data, sync=False)
