"""Can I use it? How the rules of advice.py become the answers of a page, and `usable` and `reasons` of a summary."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, ParamSpec

from ml_collections import ConfigDict

from defect_jax.runs.folder import Workdir
from defect_jax.schema import flatten

P = ParamSpec('P')
LACKS = ('few_held_out',)  # codes that say that too little is known, not that the result is bad
SKIP = 'skip'  # the state of a rule that has nothing to say of a run
State = bool | str | None  # True: fine, False: a reason not to use the result, None: not known


@dataclasses.dataclass(frozen=True)
class Facts:
  """A run's summary, in which what is missing is None, its config by dotted keys, its command with other settings."""
  summary: Mapping[str, Any]
  config: Mapping[str, Any]
  command: Callable[[Mapping[str, Any]], str]

  def __getitem__(self, key: str) -> Any:
    return self.summary.get(key)

  @classmethod
  def of(cls, summary: Mapping[str, Any], config: ConfigDict, workdir: Workdir) -> 'Facts':
    """Of a run in a workdir."""
    def command(changes):
      goes_on = [*changes] in (['steps.total'], ['measure.part'])  # in the same workdir
      name = next(iter(changes)).rpartition('.')[2]
      return workdir.command.changed(changes, workdir.root if goes_on else f'{workdir.root}_{name}')
    return cls(summary, flatten(config), command)


class Rule(NamedTuple):
  """A row of the table. code: a reason as summary.json has it. tasks: of which runs it says something. state: see
  State. sentence: in words, with the figure, by the state. changes: {key: value} of the config that would mend it, a
  whole command, or nothing. needed: whether a run is not known to be usable while this is not known."""
  code: str
  tasks: tuple[str, ...]
  state: Callable[[Facts], State]
  sentence: Callable[[Facts, State], str]
  changes: Callable[[Facts], Mapping[str, Any] | str] = lambda facts: {}
  needed: bool = False


class Answer(NamedTuple):
  """What a rule says of a run; for `state` see Rule. command: what to do about it, '' for nothing to copy."""
  code: str
  state: bool | None
  sentence: str
  command: str = ''
  needed: bool = False


def answers(task: str, facts: Facts, rules: Iterable[Rule]) -> list[Answer]:
  """What the rules of a task say of a run: first what speaks against its use, then what is not known, then the rest."""
  said = []
  for rule in rules:
    if task in rule.tasks and not isinstance(state := rule.state(facts), str):
      changes = {} if state else rule.changes(facts)
      command = changes if isinstance(changes, str) else facts.command(changes) if changes else ''
      said.append(Answer(rule.code, state, rule.sentence(facts, state), command, rule.needed))
  return sorted(said, key=lambda answer: (False, None, True).index(answer.state))


def verdict_of(said: Sequence[Answer]) -> dict[str, Any]:
  """The summary's `usable` and `reasons`, the codes of what speaks against the use. None: not known, also where the
  only reason is that too little was held out."""
  reasons = list(dict.fromkeys(answer.code for answer in said if answer.state is False))
  if any(code not in LACKS for code in reasons):
    return {'usable': False, 'reasons': reasons}
  known = any(answer.state for answer in said) and not any(answer.needed and answer.state is None for answer in said)
  return {'usable': True if known and not reasons else None, 'reasons': reasons}


def timed(measure: Callable[P, dict[str, Any]]) -> Callable[P, dict[str, Any]]:
  """Decorates what measures figures for the answers alone: says how long that took, which is `answers_seconds`."""
  @functools.wraps(measure)
  def measured(*arguments: P.args, **keywords: P.kwargs) -> dict[str, Any]:
    began = time.monotonic()
    figures = measure(*arguments, **keywords)
    seconds = time.monotonic() - began
    print(f'measured for the answers: {seconds:.1f} s', flush=True)
    return figures | {'answers_seconds': seconds}
  return measured
