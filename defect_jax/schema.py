"""Rules for the values of a config, and the check of a whole resolved config against them.

A rule's `allows(value)` says whether a value may stand there, `str(rule)` what may:
  check(config, {'seed': Integer(0), 'streams': Named({'lr': Number(above=0)}), 'data': {'path': Optional(Text())}})
"""

import dataclasses
import math
import re
from collections.abc import Mapping

from ml_collections import ConfigDict

from defect_jax.config import UserError, nearest


@dataclasses.dataclass(frozen=True)
class Number:
  """A finite number with low <= x <= high and above < x < below."""
  low: float | None = None
  high: float | None = None
  above: float | None = None
  below: float | None = None
  kinds = (int, float)
  noun = 'finite number'

  def allows(self, value):
    return (isinstance(value, self.kinds) and not isinstance(value, bool) and math.isfinite(value)
            and (self.low is None or value >= self.low) and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above) and (self.below is None or value < self.below))

  def __str__(self):
    bounds = dict(zip(('at least', 'at most', 'above', 'below'), (self.low, self.high, self.above, self.below),
                      strict=True))
    return ' '.join([f'a {self.noun}', ' and '.join(f'{k} {v}' for k, v in bounds.items() if v is not None)]).strip()


class Integer(Number):
  """A whole number, bounds as for Number."""
  kinds = (int,)
  noun = 'whole number'


class Boolean:
  """True or False."""

  def allows(self, value):
    return isinstance(value, bool)

  def __str__(self):
    return 'true or false'


class Text:
  """A text that is not empty; also a path, which whoever opens it judges."""

  def allows(self, value):
    return isinstance(value, str) and bool(value.strip())

  def __str__(self):
    return 'a text'


class Choice:
  """One of some values."""

  def __init__(self, *values):
    self.values = values

  def allows(self, value):
    return any(value == v and isinstance(value, type(v)) for v in self.values)

  def __str__(self):
    return f'one of {", ".join(map(str, self.values))}'


class Tuple:
  """A tuple of `least` or more values that all follow a rule."""

  def __init__(self, rule, least=1):
    self.rule, self.least = rule, least

  def allows(self, value):
    return isinstance(value, tuple) and len(value) >= self.least and all(map(self.rule.allows, value))

  def __str__(self):
    return f'a tuple of {self.least} or more, each {self.rule}'


class Names(Tuple):
  """A tuple of different names, of `choices` where given."""

  def __init__(self, *choices, least=1):
    super().__init__(Choice(*choices) if choices else Text(), least)

  def allows(self, value):
    return super().allows(value) and len(set(value)) == len(value)

  def __str__(self):
    return f'{self.least} or more different names, each {self.rule}'


class Optional:
  """None, or a value that follows the rule; its default in a config is a placeholder."""

  def __init__(self, rule):
    self.rule = rule

  def allows(self, value):
    return value is None or self.rule.allows(value)

  def __str__(self):
    return f'{self.rule}, or none'


class Named:
  """A group whose names the config chooses; each value follows the rule or schema."""

  def __init__(self, rule, least=1):
    self.rule, self.least = rule, least


def check(config, schema, prefix=''):
  """Raises UserError for the first key that is unknown, missing or holds what its rule does not allow.

  Args:
    config: ConfigDict or dict.
    schema: dict of key to rule; a dict is a group with exactly these keys, Named one with names of its own.
    prefix: names of the groups above, each with a dot.
  """
  for key in config:
    if key not in schema:
      raise UserError(f'{prefix}{key}: no such key{nearest(key, schema)}')
  for key, rule in schema.items():
    if key not in config:
      raise UserError(f'{prefix}{key}: missing in the config')
    _check_value(prefix + key, config[key], rule)


def _check_value(name, value, rule):
  if isinstance(rule, dict | Named):
    if not isinstance(value, Mapping | ConfigDict):
      raise UserError(f'{name} = {value!r}: must be a group of keys')
    if isinstance(rule, dict):
      return check(value, rule, f'{name}.')
    if len(value) < rule.least:
      raise UserError(f'{name}: needs at least {rule.least} entry')
    for key in value:
      if not re.fullmatch(r'\w+', str(key)):
        raise UserError(f'{name}.{key}: a name is made of letters, digits and _')
    return check(value, dict.fromkeys(value, rule.rule), f'{name}.')
  if not rule.allows(value):
    choices = rule.rule if isinstance(rule, Optional) else rule
    hint = nearest(value, choices.values) if isinstance(choices, Choice) else ''
    raise UserError(f'{name} = {value!r}: must be {rule}' + (hint if 'did you mean' in hint else ''))
  return None
