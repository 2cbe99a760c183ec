"""Keys of a config: their defaults, rules and meaning, and the check of a whole config against them.

  table = {'seed': Key(0, Integer(0)), 'data': {'path': Key(None, Optional(Text()), path=True)}}
  config = defaults(table)
  check(config, table)
"""

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict, FieldReference

from defect_jax.errors import UserError, nearest
from defect_jax.rules import Choice, Optional, Rule


@dataclasses.dataclass(frozen=True)
class Key:
  """A key of a config; `default` is None only if the rule is Optional, `unit` and `text` (its meaning) are for help.

  path: whether it names a place, or a share of the work, so that the config's hash leaves it out.
  added: whether it came with a later version; the hash leaves it out at its default or at `before`, what runs of
  versions before had in its place, so that it stays as it was.
  open: whether the default means that it is settled when a run begins, by the photos; config.json has what came out.
  later: whether a run takes another value afterwards in its workdir, since nothing is trained by it.
  was: its name in earlier versions, in the same group. Saved configs, the command line and the hash know it by this.
  """
  default: Any
  rule: Rule
  unit: str = ''
  text: str = ''
  path: bool = False
  added: bool = False
  was: str = ''
  before: Any = None
  open: bool = False
  later: bool = False


@dataclasses.dataclass(frozen=True)
class Named:
  """A group with `least` or more names that the config chooses; what stands under each follows the table."""
  table: 'Table'
  least: int = 1
  text: str = ''


Table = dict[str, 'Key | Named | Table']


def with_defaults(table: Table, **values: Any) -> Table:
  """A table with other defaults; groups in `values` are dicts."""
  made = dict(table)
  for name, value in values.items():
    entry = table[name]
    if isinstance(entry, Key):
      made[name] = dataclasses.replace(entry, default=value)
    elif isinstance(entry, dict):
      made[name] = with_defaults(entry, **value)
  return made


def defaults(table: Table) -> ConfigDict:
  """A new config with every key at its default; groups of Named are empty."""
  return ConfigDict({name: _initial(entry) for name, entry in table.items()})


def _initial(entry: 'Key | Named | Table') -> Any:
  if isinstance(entry, Key):  # an Optional one is a reference, which may become None
    return FieldReference(entry.default, entry.rule.kind) if isinstance(entry.rule, Optional) else entry.default
  return ConfigDict() if isinstance(entry, Named) else defaults(entry)


def complete(config: ConfigDict, table: Table, begun: bool = False) -> ConfigDict:
  """A copy of a config by an earlier version: keys under the names of this one, missing ones at their default.

  begun: whether it is of a run, which has `before` for what its version did not know.
  """
  made, filled = ConfigDict(renamed(config, table), convert_dict=True), functools.partial(complete, begun=begun)
  for name, entry in table.items():
    made[name] = _in_group(filled, made[name], entry) if name in made else _initial(entry)
    if begun and name not in config and isinstance(entry, Key) and entry.before is not None:
      made[name] = entry.before
  return made


def left_open(config: Mapping | ConfigDict, table: Table) -> list[str]:
  """Dotted names of the keys that the photos are still to settle."""
  flat = flatten(config)
  return [name for name, key in flat_keys(table, config).items() if key.open and flat[name] == key.default]


def renamed(config: Mapping | ConfigDict, table: Table) -> dict[str, Any]:
  """The config as a dict, with renamed keys under their new names."""
  names = {entry.was: name for name, entry in table.items() if isinstance(entry, Key) and entry.was}
  return {names.get(name, name): _in_group(renamed, value, table.get(name)) for name, value in _items(config)}


def _in_group(function, value, entry):
  """The group with its keys treated by `function`; any other value as it is."""
  if not _is_group(value) or not isinstance(entry, Named | dict):
    return value
  if isinstance(entry, Named):
    return {key: _in_group(function, group, entry.table) for key, group in _items(value)}
  return function(value, entry)


def _items(config):
  return config.items(preserve_field_references=True) if isinstance(config, ConfigDict) else config.items()


def _is_group(value: Any) -> bool:
  return isinstance(value, Mapping | ConfigDict)


def flatten(config: Mapping | ConfigDict, prefix: str = '') -> dict[str, Any]:
  """Dotted names to values; placeholders to their value or None, empty groups to {}."""
  flat = {}
  for key in config:
    value = config[key]
    if _is_group(value) and len(value):
      flat |= flatten(value, f'{prefix}{key}.')
    else:
      flat[prefix + str(key)] = {} if _is_group(value) else value
  return flat


def flat_keys(table: Table, config: Mapping | ConfigDict, prefix: str = '') -> dict[str, Key]:
  """Dotted name to Key; the keys under Named are those of the names that the config has."""
  flat = {}
  for name, entry in table.items():
    group = (config.get(name) or {}) if _is_group(config) else {}
    if isinstance(entry, Key):
      flat[prefix + name] = entry
    elif isinstance(entry, Named):
      for key in group:
        flat |= flat_keys(entry.table, group[key], f'{prefix}{name}.{key}.')
    else:
      flat |= flat_keys(entry, group, f'{prefix}{name}.')
  return flat


def new_names(saved: Mapping | ConfigDict, new: Mapping | ConfigDict, table: Table, prefix: str = '') -> list[str]:
  """Dotted names that `new` has in groups of Named, and `saved` has not."""
  names = []
  for name, entry in table.items():
    if isinstance(entry, Key) or name not in saved or name not in new:
      continue
    if isinstance(entry, Named):
      names += [f'{prefix}{name}.{key}' for key in new[name] if key not in saved[name]]
    else:
      names += new_names(saved[name], new[name], entry, f'{prefix}{name}.')
  return names


def describe(config: Mapping | ConfigDict, table: Table) -> Iterator[str]:
  """Lines for help: each key with its value in the config, unit, allowed values and meaning."""
  values = flatten(config)
  for name, key in flat_keys(table, config).items():
    yield f'  {name} = {values.get(name, key.default)!r} {key.unit}'.rstrip()
    yield f'      {key.rule}. {key.text}'.rstrip()


def check(config: Mapping | ConfigDict, table: Table, prefix: str = '') -> None:
  """Raises UserError for the first key that is unknown, missing or has a value that its rule does not allow."""
  for key in config:
    if key not in table:
      raise UserError(f'{prefix}{key}: no such key{nearest(key, table)}')
  for key, entry in table.items():
    if key not in config:
      raise UserError(f'{prefix}{key}: missing in the config')
    _check_entry(prefix + key, config[key], entry)


def _check_entry(name: str, value: Any, entry: 'Key | Named | Table') -> None:
  if isinstance(entry, Key):
    if not entry.rule.allows(value):
      choices = entry.rule.rule if isinstance(entry.rule, Optional) else entry.rule
      hint = nearest(value, choices.values) if isinstance(choices, Choice) else ''
      raise UserError(f'{name} = {value!r}: must be {entry.rule}' + (hint if 'did you mean' in hint else ''))
  elif not _is_group(value):
    raise UserError(f'{name} = {value!r}: must be a group of keys')
  elif isinstance(entry, Named):
    if len(value) < entry.least:
      raise UserError(f'{name}: needs at least {entry.least} entry')
    for key in value:
      if not re.fullmatch(r'\w+', str(key)):
        raise UserError(f'{name}.{key}: a name is made of letters, digits and _')
    check(value, dict.fromkeys(value, entry.table), f'{name}.')
  else:
    check(value, entry, f'{name}.')
