"""Which layout a folder of photos is of."""

import os
import pathlib

from defect_jax.config import UserError
from defect_jax.data.sources import tree
from defect_jax.registry import SOURCES

# Most specific first; 'folder' is asked for by name.
_PUBLISHED = ('elpv', 'severstal', 'dagm', 'kolektor2', 'kolektor', 'mvtec_ad2', 'mvtec_loco', 'visa', 'btad', 'mpdd',
              'mvtec_ad')
_ORDER = (*_PUBLISHED, 'table', 'annotated', 'classes', 'photos')
_NEAREST = 5
_LOOKED_AT = 100  # folders in a folder, for sets that lie in them


def recognise(path: str | os.PathLike, key: str) -> str:
  """The name of the source that reads a folder, or a table, that the config's `key` names; opens no photo.

  Raises UserError, which names the nearest layouts and what each lacks, or the sets that lie in the folder.
  """
  root = pathlib.Path(path).expanduser()
  if root.is_file() and root.suffix.lower() == '.csv':
    return 'table'
  if not root.is_dir():
    raise UserError(f'{key}: {root} {"is a file" if root.is_file() else "does not exist"}; name a folder of photos, '
                    'or a CSV file with the column path')
  if (root / 'manifest.jsonl').is_file():
    raise UserError(f'{key}: {root} is a set of made images; name a folder of real photos, and the set in made.sets')
  lacking = {}
  for name in _ORDER:
    if not (lacks := SOURCES[name].missing(root)):
      break
    lacking[name] = lacks
    if name == _PUBLISHED[-1]:
      _check_not_above(root, key)
  else:
    nearest = sorted(_ORDER, key=lambda name: (len(lacking[name]), -_ORDER.index(name)))[:_NEAREST]
    said = '; '.join(f'{SOURCES[name].TITLE}: {" and ".join(lacking[name])}' for name in nearest)
    raise UserError(f'{key}: {root} is of no known layout. What it lacks to be of one: {said}')
  return name


def _check_not_above(root, key):
  """Raises UserError for a folder of sets of published layouts, which are of a product each."""
  folders = [folder for top in tree.subfolders(root)[:_LOOKED_AT] for folder in (top, *tree.subfolders(top))]
  sets = {folder.relative_to(root).as_posix(): name for folder in folders[:_LOOKED_AT] for name in _PUBLISHED
          if not SOURCES[name].missing(folder)}
  if sets:
    first = next(iter(sets))
    holds = f'{len(sets)} sets' if len(sets) > 1 else 'a set'
    raise UserError(f'{key}: {root} holds {holds} in the layout of {SOURCES[sets[first]].TITLE}, {", ".join(sets)}; '
                    f'name one, such as {root / first}')
