"""Keys that are left open, settled by the photos when a run begins: layout, classes, how many, what is held out.

Solar cells of the elpv-dataset are a benchmark with fixed parts; a person's own photos are all used.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from defect_jax.data import coverage, depth, listing, parts
from defect_jax.data.parts import GOOD
from defect_jax.registry import SOURCES

_NAMED = 5  # problems that are named one by one
_SPLITS = {
    'hash': 'parts by the hash of their groups, for studies: the pool is trained on',
    'folders': 'train/ is trained on, the other folders are held out',
    'none': 'all are taken, none are held out',
    'kfold': 'all are taken, and measured by {folds}-fold cross-validation'}


def settle(config: ConfigDict, data: ConfigDict, *, elpv: Mapping[str, Any], own: Mapping[str, Any], otherwise: str,
           key: str = 'data.path', path: Any = None, alone: str = GOOD, taken: Sequence[str] = (),
           tiles: ConfigDict | None = None, **asked: Any) -> list[str]:
  """Settles what is open in a config's group `data`; returns the lines that say what was taken for what.

  elpv, own: values of the keys that are open, for solar cells and for other photos. own['defects' or 'classes'] is a
  function of the listed classes. otherwise: `split` where neither fixed parts nor the photos' own folders are wanted.
  path: of the photos, if it isn't data.path. alone: the class of a folder of nothing but photos. taken: the classes
  that are trained on, if not those that `data` names. tiles: the group that says whether photos are cut into tiles.
  asked: further arguments of list_photos. Raises UserError.
  """
  path, prefix = data.path if path is None else path, key[:key.rfind('.') + 1]
  if data.source == listing.AUTO:
    data.source = listing.source_of(path, key)
  if data.source == 'elpv':
    _fill(data, {'split': 'hash', 'bits': 16} | dict(elpv))
    _fill(tiles or {}, {'on': False, 'reduce': 1})
    _fill(config.get('measure', {}), {'part': 'dev'})
    return []
  if data.source == 'photos' and alone != GOOD:
    _fill(data, {'defects': (alone,)})
    asked['defects'] = data.defects
  listed = listing.list_photos(data.source, path, key=key, **{'masks': data.get('masks', 'as_is')} | asked)
  classes = listing.labels_of(listed)
  _fill(data, {name: value(classes) if callable(value) else value for name, value in own.items()})
  about_bits = ''
  if data.bits is None:
    data.bits, about_bits = depth.bits_of(listed, f'{prefix}bits')
  if data.split is None:
    measured = config.get('measure', {}).get('part')
    data.split = 'hash' if measured == 'final' else 'folders' if _has_folders(
        listed, taken or _named(data, classes), otherwise) else otherwise
  about_shape = _shape(data, tiles or {}, listed) if 'fit' in data else []
  return [*_taken(data, listed, path, prefix), *filter(None, [about_bits]), *about_shape,
          *_measured(config, data, listed), *_problems(listed)]


def _shape(data: ConfigDict, tiles: ConfigDict | dict, listed: parts.Listing) -> list[str]:
  """Settles whether photos are cut into tiles; what of them is looked at, where they are not square."""
  left_open = tiles.get('on', False) is None
  on, reduce = coverage.tiles(listed, data.size) if left_open and data.region == 'full' else (False, 1)
  _fill(tiles, {'on': on, 'reduce': reduce})
  if on:
    return [f'photos are strips: cut into tiles of {data.size} px, once they are {tiles["reduce"]} times smaller; '
            '--config.tiles.on=False takes each as one square']
  return [f'note: {line}' for line in coverage.lines(listed, data.fit, data.region, tiles.get('on', False))]


def _measured(config: ConfigDict, data: ConfigDict, listed: parts.Listing) -> list[str]:
  """Settles which photos a detector is tested on: defective ones, or where there are none good ones with a pasted
  defect."""
  measure = config.get('measure', {})
  if measure.get('part', '') is not None:
    return []
  is_tested = {'hash': lambda record: record.part == 'dev', 'folders': lambda record: record.folder == parts.TEST}.get(
      data.split, lambda record: True)
  measure.part = 'dev' if config.mode == 'predict' or any(
      record.label != GOOD and (not data.defects or record.label in data.defects) and is_tested(record)
      for record in listed) else 'synthetic'
  return [] if measure.part == 'dev' else [
      'no defective photos to test: defects are pasted on good ones, to see what would be found']


def _fill(data: ConfigDict | dict, values: Mapping[str, Any]) -> None:
  for name, value in values.items():
    if name in data and data[name] in (None, ()):
      data[name] = value


def _named(data, classes):
  """The classes that a task takes of those that are there."""
  return [name for name in data.get('defects') or data.get('classes') or classes if name in classes]


def _has_folders(listed: parts.Listing, named: Collection[str], otherwise: str) -> bool:
  """Whether train/ holds all that a task trains on and others hold more, all that is tested if it is to be measured."""
  def labels(*folders):
    return {record.label for record in listed if record.folder in folders}
  held_out = labels('val', 'test')
  return bool(named) and labels('train').issuperset(named) and (
      bool(held_out) if otherwise == 'none' else held_out.issuperset(named))


def _taken(data: ConfigDict, listed: parts.Listing, path: Any, prefix: str) -> Iterator[str]:
  title, group = getattr(SOURCES[data.source], 'TITLE', data.source), f'--config.{prefix}'
  taken = listed.taken or ', '.join(
      f'{sum(record.label == name for record in listed)} {name}' for name in listing.labels_of(listed))
  yield f'{path}: {title}; {taken}; {_SPLITS[data.split].format(folds=data.folds)}'
  classes = 'classes' if 'classes' in data else 'defects'
  yield f'to have it otherwise: {group}source=, {group}{classes}=, {group}split='


def _problems(listed: parts.Listing) -> Iterator[str]:
  for problem in listed.problems[:_NAMED]:
    yield f'note: {problem}'
  if (more := len(listed.problems) - _NAMED) > 0:
    yield f'note: and {more} more like these; configs/inspect.py lists them all'


def defects_of(classes: Sequence[str]) -> tuple[str, ...]:
  """All classes that are not good; good where there are no others."""
  return only_defects(classes) or tuple(classes)


def only_defects(classes: Sequence[str]) -> tuple[str, ...]:
  """All classes that are not good."""
  return tuple(name for name in classes if name != GOOD)


def good_or_all(classes: Sequence[str]) -> tuple[str, ...]:
  """Good if it is among the classes, else all."""
  return (GOOD,) if GOOD in classes else tuple(classes)
