"""A job: one run of one config, which is done once and goes on where it stopped."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from defect_jax.config import from_command_line
from defect_jax.runs import command, start
from defect_jax.runs.folder import Workdir

Summary = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Job:
  """What `python -m defect_jax.main` is to run; a study has one job per workdir.

  config: such as 'configs/anomaly.py:tiny'. settings: {key below config: value}. needs: jobs whose runs this one reads.
  """
  config: str
  workdir: Path
  settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  needs: tuple['Job', ...] = ()

  def arguments(self) -> list[str]:
    """The config and the settings as main takes them."""
    values = {key: command.text(value) for key, value in self.settings.items()}
    return [f'--config={self.config}', *(f'--config.{key}={value}' for key, value in values.items())]

  def finished(self) -> Summary | None:
    """The run's summary, or None where there is something to do; UserError if the run has other settings."""
    workdir = Workdir(self.workdir)
    if workdir.read_summary() is None:
      return None
    return start.finished(start.settled(from_command_line(self.arguments())[1], workdir)[0], workdir)
