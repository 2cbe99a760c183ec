"""The command line of a run, and those of like runs that its page suggests."""

import dataclasses
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LAUNCHER = 'DEFECT_JAX_LAUNCHER'  # set by launch.sh: how it was called


@dataclasses.dataclass(frozen=True)
class Command:
  """arguments: of `python -m defect_jax.main`; none where the run was begun by another program."""
  arguments: Sequence[str] = ()

  def changed(self, changes: Mapping[str, Any], workdir: str | Path) -> str:
    """The command of the same run with other values of config keys, in another workdir; without arguments the options
    to add to it."""
    replaced = re.compile('--?(no)?(' + '|'.join(('workdir', *(re.escape(f'config.{key}') for key in changes))) + ')')
    kept, is_value = [], False  # whether an argument may be the value of the one before, which is left out
    for argument in self.arguments:
      name, equals, _ = argument.partition('=')
      left_out = bool(replaced.fullmatch(name))
      if not left_out and not (is_value and not argument.startswith('--')):
        kept.append(argument)
      is_value = left_out and not equals
    options = [*kept, *(f'--config.{key}={text(value)}' for key, value in changes.items()), f'--workdir={workdir}']
    return shlex.join([*(_launched(options) if self.arguments else options)])


def of_job(name: str, settings: Mapping[str, Any], workdir: str | Path) -> str:
  """The command of another job, by its config's name."""
  return Command((f'--config=configs/{name}.py',)).changed(settings, workdir)


def _launched(options):
  """The words of the command, by launch.sh where that was used."""
  if launcher := os.environ.get(LAUNCHER):
    config = next((row for row, option in enumerate(options) if option.startswith('--config=')), None)
    if config is not None:
      return [launcher, options[config].partition('=')[2], *options[:config], *options[config + 1:]]
  return ['python', '-m', 'defect_jax.main', *options]


def text(value: Any) -> str:
  """A value as the command line takes it."""
  if value is None or isinstance(value, bool):
    return str(value).lower()
  if isinstance(value, float):
    return f'{value:.6g}'
  return ','.join(map(str, value)) if isinstance(value, tuple | list) else str(value)
