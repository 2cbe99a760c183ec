"""Jobs that studies are made of: each a process of its own, as from the command line."""

import subprocess
import sys

from defect_jax.config import from_command_line
from defect_jax.tasks import start
from defect_jax.workdir import Workdir


def run(config, workdir, settings=None):
  """Summary of a job; runs it unless it is finished.

  Args:
    config: such as 'configs/anomaly.py:tiny'. workdir: path. settings: {key below config: value}.

  Raises SystemExit with the job's status where that is not 0; the job says itself why. UserError where the workdir
  holds a run of other settings.
  """
  described = [f'--config={config}', *(f'--config.{key}={value}' for key, value in (settings or {}).items())]
  home = Workdir(workdir)
  # Told here rather than by a process of its own, whose imports would be most of what going on with a study takes.
  if home.read_summary() is not None and (summary := start.finished(from_command_line(described)[1], home)):
    return summary
  print(f'--- {workdir}', flush=True)
  module('defect_jax.main', f'--workdir={workdir}', *described)
  return home.read_summary()


def module(name, *arguments):
  """Runs a module as from the command line; SystemExit as of `run`."""
  if status := subprocess.run([sys.executable, '-m', name, *arguments]).returncode:
    sys.exit(status)
