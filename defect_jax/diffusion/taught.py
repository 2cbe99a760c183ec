"""What weights were taught: classes.json beside them, and what of a run's classes and prompts they don't know."""

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from defect_jax.data.parts import GOOD
from defect_jax.data.sources import words
from defect_jax.diffusion import templates, weights
from defect_jax.errors import UserError
from defect_jax.runs.atomic import write_atomic

FILE = 'classes.json'
_RECORD = 'training.json'  # beside weights of versions that wrote no FILE


class Taught(NamedTuple):
  """classes: of what was made, with good where that was. prompts: templates. photos: how many. licence: of these and so
  of the weights, None where nobody has said."""
  classes: tuple[str, ...]
  prompts: tuple[str, ...] = ()
  photos: int | None = None
  licence: str | None = None

  @property
  def defects(self) -> list[str]:
    return [name for name in self.classes if name != GOOD]

  def write(self, folder: Path) -> None:
    """Writes FILE in the folder of the weights."""
    write_atomic(folder / FILE, json.dumps(self._asdict(), indent=2) + '\n')


NOTHING = Taught(())  # of random weights


def read(folder: str | os.PathLike) -> Taught | None:
  """What the weights in a folder were taught, None where nothing beside them says so; UserError for a damaged file."""
  for name in (FILE, _RECORD):
    path = Path(folder) / name
    try:
      values = json.loads(path.read_text())
      if name == _RECORD:
        return Taught(_texts(values['config']['data']['classes']), _texts(values['config']['prompts']))
      return Taught(_texts(values['classes']), _texts(values['prompts']), values.get('photos'), values.get('licence'))
    except FileNotFoundError:
      continue
    except (OSError, ValueError, KeyError, TypeError) as error:
      raise UserError(f'weights: {path} does not say what they were taught ({type(error).__name__}: {error}); copy it '
                      'again, or delete it') from error
  return None


def of_weights(name: str | None, adapters: str | os.PathLike | None = None) -> Taught | None:
  """What a config's `weights` were taught, or the `adapters` beside them, which were taught last; None if not known."""
  if adapters:
    return read(adapters if os.path.isdir(adapters) else Path(adapters).parent)
  if name == weights.RANDOM:
    return NOTHING
  if name != weights.DEFAULT and not os.path.isdir(str(name)):
    return None  # of the hub
  return read(weights.folder_of(name))


def unknown(taught: Taught | None, prompts: Sequence[str], defects: Sequence[str]) -> list[str] | None:
  """The defects, and words and texts of templates, that weights don't know; None where what they know is not known and
  nothing is a mere placeholder, such as ng, which no weights know unless they were taught it."""
  known = set() if taught is None else {_folded(name) for name in taught.classes}
  if taught is None:
    names: Iterable[str] = (name for name in defects if words.is_defective(name))
  else:
    names = (name for name in defects if _folded(name) not in known)
  found = dict.fromkeys(names)
  taught_texts = set() if taught is None else {text for _, text in templates.pairs(taught.prompts, taught.classes)}
  for template in prompts:
    said = [word for word in re.findall(r'\w+', templates.fill(template, ''))
            if words.is_defective(word) and _folded(word) not in known]
    found |= dict.fromkeys(said)
    text = templates.fill(template, defects[0])
    if taught and not said and '{defect' not in template and text not in taught_texts and not any(
        re.search(rf'\b{re.escape(name)}\b', _folded(text)) for name in known):
      found[f'"{text}"'] = None
  return list(found) or (None if taught is None else [])


def line(taught: Taught | None, kinds: Sequence[str]) -> str:
  """What is said of unknown kinds before anything is made."""
  names = ', '.join(kinds)
  if taught is None:
    return (f'{names}: stands for any defect, and weights know looks, not verdicts; name in defects and prompts what '
            'the defect looks like, such as scratch')
  if not taught.classes:
    return f'the weights are random and know no defect, so not {names} either: they show noise, to try the command'
  return (f'these weights were taught {", ".join(taught.defects)} and do not know {names}: what they make is no '
          f'{names}; teach them by configs/inpaint_train.py, or set --config.defects={",".join(taught.defects)}')


def _texts(values):
  if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
    raise ValueError(f'a list of texts is needed, not {values!r}')
  return tuple(values)


def _folded(name):
  return name.casefold()
