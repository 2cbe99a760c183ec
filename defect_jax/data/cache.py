"""Where things lie that can be made again."""

import os
import pathlib


def cache_folder(cache: str | os.PathLike | None = None) -> pathlib.Path:
  """The folder for what can be made again: `cache`, the environment's DEFECT_JAX_CACHE or ~/.cache/defect_jax."""
  return pathlib.Path(cache or os.environ.get('DEFECT_JAX_CACHE') or '~/.cache/defect_jax').expanduser()
