"""Rules of config values: `allows(value)` says whether a value is allowed, `str(rule)` which values are."""

import dataclasses
import math
from typing import Any, ClassVar, Protocol


class Rule(Protocol):
  """Which values a key may have; `kind` is the type that text on the command line is read as."""

  @property
  def kind(self) -> type: ...

  def allows(self, value: Any) -> bool: ...

  def __str__(self) -> str: ...


@dataclasses.dataclass(frozen=True)
class Number:
  """A finite number with low <= x <= high and above < x < below."""
  low: float | None = None
  high: float | None = None
  above: float | None = None
  below: float | None = None
  kinds: ClassVar[tuple[type[float], ...]] = (int, float)
  kind: ClassVar[type] = float
  noun = 'finite number'

  def allows(self, value: Any) -> bool:
    return (isinstance(value, self.kinds) and not isinstance(value, bool) and math.isfinite(value)
            and (self.low is None or value >= self.low) and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above) and (self.below is None or value < self.below))

  def __str__(self) -> str:
    bounds = dict(zip(('at least', 'at most', 'above', 'below'), (self.low, self.high, self.above, self.below),
                      strict=True))
    return ' '.join([f'a {self.noun}', ' and '.join(f'{k} {v}' for k, v in bounds.items() if v is not None)]).strip()


class Integer(Number):
  """A whole number, bounds as for Number."""
  kinds = (int,)
  kind = int
  noun = 'whole number'


class Boolean:
  """True or False."""
  kind = bool

  def allows(self, value: Any) -> bool:
    return isinstance(value, bool)

  def __str__(self) -> str:
    return 'true or false'


class Text:
  """A text that is not empty; also a path, which is checked when it is opened."""
  kind = str

  def allows(self, value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())

  def __str__(self) -> str:
    return 'a text'


class Choice:
  """One of some values."""

  def __init__(self, *values: Any):
    self.values, self.kind = values, type(values[0])

  def allows(self, value: Any) -> bool:
    return any(value == v and isinstance(value, type(v)) for v in self.values)

  def __str__(self) -> str:
    return f'one of {", ".join(map(str, self.values))}'


class Tuple:
  """A tuple of `least` or more values that all follow a rule."""
  kind = tuple

  def __init__(self, rule: Rule, least: int = 1):
    self.rule, self.least = rule, least

  def allows(self, value: Any) -> bool:
    return isinstance(value, tuple) and len(value) >= self.least and all(map(self.rule.allows, value))

  def __str__(self) -> str:
    return f'a tuple of {self.least} or more, each {self.rule}'


class Names(Tuple):
  """A tuple of different names, of `choices` if there are any."""

  def __init__(self, *choices: str, least: int = 1):
    super().__init__(Choice(*choices) if choices else Text(), least)

  def allows(self, value: Any) -> bool:
    return super().allows(value) and len(set(value)) == len(value)

  def __str__(self) -> str:
    return f'{self.least} or more different names, each {self.rule}'


class Optional:
  """None, or a value that follows the rule; its default in a config is a placeholder."""

  def __init__(self, rule: Rule):
    self.rule, self.kind = rule, rule.kind

  def allows(self, value: Any) -> bool:
    return value is None or self.rule.allows(value)

  def __str__(self) -> str:
    return f'{self.rule}, or none'
