"""Configs: from a file and the command line, compared, hashed, as JSON.

No JAX here: a mistake is reported within a second, before anything heavy is imported or written.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict, FieldReference

from defect_jax.errors import UserError, nearest
from defect_jax.registry import KEYS, import_plugins, load_file
from defect_jax.schema import Table, complete, flat_keys, flatten, new_names, renamed

ROOT = Path(__file__).resolve().parents[1]  # holds configs/ beside this package

# Left out of the hash, so that the same training with another progress line is the same config.
LOGGING = ('logging', 'profiling', 'steps.log', 'steps.eval', 'steps.checkpoint')
# May differ when a run goes on (see `changes`).
MAY_CHANGE = ('steps', 'logging', 'profiling')


def parse_arg(arg: str | None, **defaults: Any) -> ConfigDict:
  """Reads the string after the colon of `config.py:tiny,method=joint,width=8`.

  defaults: a bool is switched on by its bare name; a tuple lists the choices of a word, first the default, and a bare
  word that is one of them selects it; int, float and str take `name=value`. Raises UserError for anything else.
  """
  values = {name: default[0] if isinstance(default, tuple) else default for name, default in defaults.items()}
  for item in filter(None, (part.strip() for part in (arg or '').split(','))):
    name, equals, text = item.partition('=')
    if not equals:
      name, text = _bare_word(item, defaults)
    if name not in defaults:
      raise UserError(f'config argument {item}: no such name{nearest(name, defaults)}')
    default = defaults[name]
    if isinstance(default, tuple) and text not in default:
      raise UserError(f'config argument {name}={text}: no such choice{nearest(text, default)}')
    values[name] = parse_value(f'config argument {name}', text, type(values[name]))
  return ConfigDict(values)


def _bare_word(word, defaults):
  owners = [name for name, default in defaults.items() if isinstance(default, tuple) and word in default]
  if len(owners) == 1:
    return owners[0], word
  if isinstance(defaults.get(word), bool):
    return word, 'true'
  words = [name for name, default in defaults.items() if isinstance(default, bool)]
  words += [choice for default in defaults.values() if isinstance(default, tuple) for choice in default]
  reason = f'belongs to {" and ".join(owners)}: write name={word}' if owners else f'no such word{nearest(word, words)}'
  raise UserError(f'config argument {word}: {reason}')


def parse_value(name: str, text: str, kind: type) -> Any:
  """Text to bool, int, float (finite) or str; raises UserError with `name` and the text for what is none."""
  try:
    if kind is bool:
      return {'true': True, '1': True, 'false': False, '0': False}[text.lower()]
    value = kind(text)
  except (KeyError, ValueError):
    wanted = {bool: 'true or false', int: 'a whole number', float: 'a number'}[kind]
    raise UserError(f'{name}={text}: must be {wanted}') from None
  if kind is float and not math.isfinite(value):
    raise UserError(f'{name}={text}: must be a finite number')
  return value


def from_command_line(arguments: Sequence[str]) -> tuple[str, ConfigDict, list[str]]:
  """The config that `--config=FILE.py[:arg]` and `--config.key=value` describe, in any order.

  As ml_collections' config_flags: values take the type of the default (`a,b` or `a` for a tuple, `none` for an optional
  value), `--config.on` and `--noconfig.on` switch, a later value replaces an earlier one. A relative FILE is looked for
  here, then in the folder that holds this package. Plugins come before the other keys are read, since they add some.

  Returns (FILE's name without suffix, ConfigDict, the other arguments in order). Raises UserError.
  """
  waiting, rest, file = iter(arguments), [], ''
  for argument in waiting:
    name, equals, text = argument.partition('=')
    if name in ('--config', '-config'):
      file = text if equals else next(waiting, '')
    else:
      rest.append(argument)
  if not file:
    raise UserError('--config: missing; name a config file, such as --config=configs/vae_split.py')
  config = load(file)
  if 'plugins' in config:
    own = {row + more for row, argument in enumerate(rest) if re.match(r'--?config\.plugins(=|$)', argument)
           for more in range(1 + ('=' not in argument))}
    _override(config, [argument for row, argument in enumerate(rest) if row in own])
    rest = [argument for row, argument in enumerate(rest) if row not in own]
    _import_plugins(config)
  if table := table_of(config):
    config = complete(config, table)
  rest = _override(config, rest, {_earlier(name, key): name for name, key in flat_keys(table, config).items()})
  _at_home(config, table)
  return Path(file.partition(':')[0]).stem, config.lock(), rest


def _import_plugins(config):
  if not isinstance(config.plugins, tuple) or not all(isinstance(name, str) for name in config.plugins):
    raise UserError(f'plugins = {config.plugins!r}: must be a tuple of modules or .py files')
  # Files by their whole path, so that the run can be opened from any folder.
  config.plugins = tuple(os.path.abspath(name) if name.endswith('.py') else name for name in config.plugins)
  import_plugins(config.plugins)


def load(file: str) -> ConfigDict:
  """The ConfigDict of `FILE.py[:arg]`; raises UserError for a missing or broken file."""
  name, colon, arg = file.partition(':')
  path = next((p for p in (Path(name), ROOT / name) if os.path.isfile(p)), None)
  if path is None:
    known = [f'configs/{p.name}' for p in sorted(ROOT.glob('configs/[!_]*.py'))]
    raise UserError(f'{name}: no such config file{nearest(name, known)}')
  try:
    module = load_file(path)
    config = module.get_config(arg) if colon else module.get_config()
  except UserError:
    raise
  except Exception as error:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    lines += [error.lineno] if isinstance(error, SyntaxError) else []
    where = f'{name}:{lines[-1]}' if lines else name
    raise UserError(f'{where}: not a usable config file: {type(error).__name__}: {error}') from error
  if not isinstance(config, ConfigDict):
    raise UserError(f'{name}: get_config returned {type(config).__name__}, not a ConfigDict')
  return config


def _override(config, arguments, earlier=None):
  """Sets what the arguments say; returns the others. `earlier`: {a key's name in earlier versions: its name}."""
  waiting, rest, values = iter(arguments), [], {}
  for argument in waiting:
    override = re.fullmatch(r'--?(no)?config\.([^=]*)(?:=(.*))?', argument, re.DOTALL)
    if not override:
      rest.append(argument)
      continue
    off, key, text = override.groups()
    key = (earlier or {}).get(key, key)
    group, name = _field(config, key)
    if text is None and group.get_type(name) is bool:
      text = 'false' if off else 'true'
    elif off:
      raise UserError(f'{argument}: not a switch; write --config.{key}=value')
    values[key] = group, name, _typed(group, name, f'--config.{key}', next(waiting, '') if text is None else text)
  for group, name, value in values.values():
    group[name] = value
  return rest


def _at_home(config, table):
  """Expands ~ in the values of keys that name a place."""
  def expanded(value):
    return os.path.expanduser(value) if isinstance(value, str) else value
  flat = flatten(config)
  for name, key in flat_keys(table, config).items():
    value = flat.get(name)
    if key.path and value:
      config.update_from_flattened_dict({name: tuple(map(expanded, value)) if isinstance(value, tuple) else
                                         expanded(value)})


def _field(config, key):
  """The group that holds a dotted key, and the key's last part."""
  flat = flatten(config)
  inside = [k for k in flat if k.startswith(f'{key}.')]
  if inside or flat.get(key) == {}:
    raise UserError(f'--config.{key}: a group of keys; set them one by one, such as --config.{(inside or [key])[0]}=')
  if key not in flat:
    raise UserError(f'--config.{key}: no such key{nearest(key, flat)}')
  *groups, name = key.split('.')
  for part in groups:
    config = config[part]
  return config, name


def _typed(group, name, flag, text):
  field = dict(group.items(preserve_field_references=True))[name]
  kind = group.get_type(name)
  if isinstance(field, FieldReference) and text.lower() == 'none':
    return None
  if kind is tuple:
    inner = text.strip().removeprefix('(').removesuffix(')')
    items = [item.strip().strip('\'"') for item in inner.split(',') if item.strip()]
    return tuple(parse_value(flag, item, type(group[name][0])) if group[name] else _guessed(item) for item in items)
  if kind not in (bool, int, float, str):
    raise UserError(f'{flag}: cannot be set here, its default is {group[name]!r}; change the config file')
  return parse_value(flag, text, kind)


def _guessed(item):
  """An item of a tuple whose default is empty or none and has no type: a whole number, a number, else a text."""
  for kind in (int, float):
    with contextlib.suppress(ValueError):
      return kind(item)
  return item


def table_of(config: ConfigDict) -> Table:
  """The keys of the config's task; {} if there is no such task."""
  return KEYS[config.get('task')].table() if config.get('task') in KEYS else {}


def _under(key, groups):
  return any(key == group or key.startswith(group + '.') for group in groups)


def config_hash(config: ConfigDict, table: Table | None = None, made_sets: Sequence[str] = ()) -> str:
  """SHA-256 (hex) of the resolved config without LOGGING and paths, with the digests of the made sets it names."""
  keys = flat_keys(table_of(config) if table is None else table, config)
  kept = {_earlier(name, keys.get(name)): value for name, value in flatten(config).items()
          if not _under(name, LOGGING) and not _left_out(keys.get(name), value)}
  kept |= {'made.sets': list(made_sets)} if made_sets else {}
  return hashlib.sha256(json.dumps(kept, sort_keys=True, separators=(',', ':')).encode()).hexdigest()


def _left_out(key, value):
  return key is not None and (key.path or (key.added and value in (key.default, key.before)))


def _earlier(name, key):
  """The dotted name that earlier versions had for a key, by which the hash knows it."""
  return f'{name.rpartition(".")[0]}.{key.was}'.lstrip('.') if key is not None and key.was else name


def changes(saved: ConfigDict, new: ConfigDict, ignored: Iterable[str] = (), fixed: Iterable[str] = (),
            table: Table | None = None) -> list[str]:
  """Keys of which a run that goes on would find another value than it began with, dotted and sorted.

  A key only in `new` is one that a newer version added: a change if it is not at its default, or if it stands under a
  name that the config chose. `ignored`: keys or groups that may change. `fixed`: keys among them that may not.
  """
  table = table_of(new) if table is None else table
  saved, keys = renamed(saved, table), flat_keys(table, new)
  old, now, added = flatten(saved), flatten(new), new_names(saved, new, table)
  differ = {key for key in old if key not in now or old[key] != now[key]}
  differ |= {key for key in now.keys() - old if _under(key, added) or (
      key in keys and now[key] not in (keys[key].default, keys[key].before))}
  return sorted(key for key in differ if _under(key, fixed) or not _under(key, ignored))


def resumable(saved: ConfigDict, new: ConfigDict, fixed: Iterable[str] = ()) -> None:
  """Raises UserError for keys (such as `fixed`, of `steps`) because of which a run of `saved` cannot go on as `new`."""
  later = (name for name, key in flat_keys(table_of(new) or {}, new).items() if key.later)
  if differ := changes(saved, new, (*MAY_CHANGE, *later), fixed):
    raise UserError(f'the run has another config: {", ".join(differ)} differ; '
                    'take these keys back or choose another --workdir')


def to_json(config: ConfigDict) -> str:
  """JSON text of a config; tuples become lists, placeholders their value or null."""
  return json.dumps(config.to_dict(), indent=2, allow_nan=False) + '\n'


def from_json(text: str) -> ConfigDict:
  """ConfigDict of a JSON text by `to_json`; lists become tuples. Raises ValueError for anything but an object."""
  values = json.loads(text)
  if not isinstance(values, dict):
    raise ValueError('not a JSON object')
  return ConfigDict(_with_tuples(values))


def _with_tuples(value):
  if isinstance(value, dict):
    return {key: _with_tuples(item) for key, item in value.items()}
  return tuple(map(_with_tuples, value)) if isinstance(value, list) else value
