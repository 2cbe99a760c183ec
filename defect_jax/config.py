"""Configs: from a file and the command line, compared, hashed, as JSON.

No jax here: a mistake is reported within a second, before anything heavy is imported or written.
"""

import contextlib
import difflib
import hashlib
import importlib.util
import json
import math
import os
import re
import traceback
from collections.abc import Mapping
from pathlib import Path

from ml_collections import ConfigDict, FieldReference

ROOT = Path(__file__).resolve().parents[1]  # holds configs/ beside this package

# Left out of the hash, so that the same training on another machine or with another progress line is the same config.
LOGGING = ('logging', 'profiling', 'steps.log', 'steps.eval', 'steps.checkpoint')
PATHS = ('workdir', 'data.path', 'data.more', 'vae', 'classifier', 'photos', 'set', 'made.sets', 'share')
# May differ when a run goes on (see `changes`).
MAY_CHANGE = ('steps', 'logging', 'profiling')
# Groups whose names the config chooses: a name more is a change, not a key that a newer version added.
NAMED = ('streams',)


class UserError(Exception):
  """A mistake the user can fix: one line with the file or key, the reason and the remedy."""


def nearest(name, names):
  """A hint in brackets: the most similar of `names`, or all of them where none is similar and they are few."""
  names = [str(n) for n in names]
  matches = difflib.get_close_matches(str(name), names, 1, 0.6)
  matches = matches or [n for n in names if n.rpartition('.')[2] == str(name).rpartition('.')[2]]
  if matches:
    return f' (did you mean {matches[0]}?)'
  return f' (known: {", ".join(names)})' if 0 < len(names) <= 12 else ''


def parse_arg(arg, **defaults):
  """Reads the string after the colon of `config.py:tiny,method=joint,width=8`.

  Args:
    arg: the string, or None or '' for none.
    **defaults: a bool is switched on by its bare name; a tuple lists the choices of a word, first the default, and a
      bare word that is one of them selects it; int, float and str take `name=value`.

  Returns a ConfigDict with one value for each default; raises UserError for anything else.
  """
  values = {name: default[0] if isinstance(default, tuple) else default for name, default in defaults.items()}
  for item in filter(None, (part.strip() for part in (arg or '').split(','))):
    name, equals, text = item.partition('=')
    if not equals:
      name, text = _bare_word(item, defaults)
    if name not in defaults:
      raise UserError(f'config argument {item}: no such name{nearest(name, defaults)}')
    values[name] = _argument(name, text, defaults[name])
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


def _argument(name, text, default):
  if isinstance(default, tuple):
    if text not in default:
      raise UserError(f'config argument {name}={text}: no such choice{nearest(text, default)}')
    return text
  return parse_value(f'config argument {name}', text, type(default))


def parse_value(name, text, kind):
  """Text to bool, int, float (finite) or str; `name` and the text stand in the UserError for what does not fit."""
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


def from_command_line(arguments):
  """The config that `--config=FILE.py[:arg]` and `--config.key=value` describe, in any order.

  As ml_collections' config_flags, with one clear line for whatever does not fit: values take the type of the default
  (`a,b` or `a` for a tuple, `none` for an optional value), `--config.on` and `--noconfig.on` switch, a later value
  replaces an earlier one. A relative FILE is looked for here, then in the folder that holds this package.

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
  rest = _override(config, rest)
  return Path(file.partition(':')[0]).stem, config.lock(), rest


def load(file):
  """The ConfigDict of `FILE.py[:arg]`; raises UserError for a missing or broken file."""
  name, colon, arg = file.partition(':')
  path = next((p for p in (Path(name), ROOT / name) if os.path.isfile(p)), None)
  if path is None:
    known = [f'configs/{p.name}' for p in sorted(ROOT.glob('configs/[!_]*.py'))]
    raise UserError(f'{name}: no such config file{nearest(name, known)}')
  try:
    source = importlib.util.spec_from_file_location(f'{path.stem}_config', path)
    module = importlib.util.module_from_spec(source)
    source.loader.exec_module(module)
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


def _override(config, arguments):
  waiting, rest, values = iter(arguments), [], {}
  for argument in waiting:
    found = re.fullmatch(r'--?(no)?config\.([^=]*)(?:=(.*))?', argument, re.DOTALL)
    if not found:
      rest.append(argument)
      continue
    off, key, text = found.groups()
    group, name = _field(config, key)
    if text is None and group.get_type(name) is bool:
      text = 'false' if off else 'true'
    elif off:
      raise UserError(f'{argument}: not a switch; write --config.{key}=value')
    values[key] = _typed(group, name, f'--config.{key}', next(waiting, '') if text is None else text)
  for key, value in values.items():
    group, name = _field(config, key)
    group[name] = value
  return rest


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
  """An item of a tuple whose default is empty or none, so tells no type: a whole number, a number, else a text."""
  for kind in (int, float):
    with contextlib.suppress(ValueError):
      return kind(item)
  return item


def flatten(config, prefix=''):
  """Dotted keys to values; placeholders to their value or None, empty groups to {}."""
  flat = {}
  for key in config:
    value = config[key]
    if isinstance(value, Mapping | ConfigDict) and len(value):
      flat |= flatten(value, f'{prefix}{key}.')
    else:
      flat[prefix + str(key)] = {} if isinstance(value, Mapping | ConfigDict) else value
  return flat


def _under(key, groups):
  return any(key == group or key.startswith(group + '.') for group in groups)


def config_hash(config):
  """SHA-256 (hex) of the resolved config without what stands in LOGGING and PATHS."""
  kept = {key: value for key, value in flatten(config).items() if not _under(key, LOGGING + PATHS)}
  return hashlib.sha256(json.dumps(kept, sort_keys=True, separators=(',', ':')).encode()).hexdigest()


def changes(saved, new, ignored=(), fixed=()):
  """Keys of which a run that goes on would find another value than it began with.

  A key only in `new` is one that a newer version added and is no change, except among the NAMED groups.

  Args:
    saved: the config the run began with. new: the one it is to go on with.
    ignored: keys or groups that may change. fixed: keys among them that may not.

  Returns a sorted list of dotted keys.
  """
  old, now = flatten(saved), flatten(new)
  differ = {key for key in old if key not in now or old[key] != now[key]}
  differ |= {key for key in now if key not in old and _under(key, _new_names(saved, new))}
  return sorted(key for key in differ if _under(key, fixed) or not _under(key, ignored))


def _new_names(saved, new):
  return [f'{group}.{name}' for group in NAMED if group in new and group in saved
          for name in new[group] if name not in saved[group]]


def resumable(saved, new, fixed=()):
  """Raises UserError naming the keys where a run of config `saved` cannot go on with config `new`.

  Args:
    saved, new: configs.
    fixed: keys of `steps` that a schedule depends on, so that they may not change either.
  """
  if differ := changes(saved, new, MAY_CHANGE, fixed):
    raise UserError(f'the run has another config: {", ".join(differ)} differ; '
                    'take these keys back or choose another --workdir')


def to_json(config):
  """JSON text of a config; tuples become lists, placeholders their value or null."""
  return json.dumps(config.to_dict(), indent=2, allow_nan=False) + '\n'


def from_json(text):
  """ConfigDict of a JSON text by `to_json`; lists become tuples. Raises ValueError for anything but an object."""
  values = json.loads(text)
  if not isinstance(values, dict):
    raise ValueError('not a JSON object')
  return ConfigDict(_with_tuples(values))


def _with_tuples(value):
  if isinstance(value, dict):
    return {key: _with_tuples(item) for key, item in value.items()}
  return tuple(map(_with_tuples, value)) if isinstance(value, list) else value
