"""A study: jobs, and the table that is made of their summaries."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from defect_jax.sweeps.job import Job, Summary

Table = TypeVar('Table')
Summaries = dict[Path, Summary]  # by workdir
Executor = Callable[[Sequence[Job]], Summaries]  # runs what is not finished, jobs after those that they need


@dataclasses.dataclass(frozen=True)
class Study(Generic[Table]):
  """name: of its results. jobs: those they need are run too. table: makes the results of the jobs' summaries."""
  name: str
  jobs: Sequence[Job]
  table: Callable[[Summaries], Table]

  def run(self, execute: Executor) -> Table:
    return self.table(execute(self.jobs))
