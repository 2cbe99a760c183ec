"""Which layout a folder of photos is of."""

import os
import pathlib

from defect_jax.config import UserError
from defect_jax.registry import SOURCES

# Most specific first; 'folder' is asked for by name.
_ORDER = ('elpv', 'table', 'classes', 'photos')
_NEAREST = 5


def recognise(path: str | os.PathLike, key: str) -> str:
  """The name of the source that reads a folder, or a table, that the config's `key` names; opens no photo.

  Raises UserError, which names the nearest layouts and what each lacks.
  """
  root = pathlib.Path(path).expanduser()
  if root.is_file() and root.suffix.lower() == '.csv':
    return 'table'
  if not root.is_dir():
    raise UserError(f'{key}: {root} {"is a file" if root.is_file() else "does not exist"}; name a folder of photos, '
                    'or a CSV file with the column path')
  lacking = {}
  for name in _ORDER:
    if not (lacks := SOURCES[name].missing(root)):
      return name
    lacking[name] = lacks
  nearest = sorted(_ORDER, key=lambda name: len(lacking[name]))[:_NEAREST]
  said = '; '.join(f'{SOURCES[name].TITLE}: {" and ".join(lacking[name])}' for name in nearest)
  raise UserError(f'{key}: {root} is of no known layout. What it lacks to be of one: {said}')
