"""Jobs that studies are made of: each a process of its own, as from the command line."""

import json
import subprocess
import sys
from pathlib import Path


def run(config, workdir, settings=None):
  """Summary of a job; runs it unless it is finished.

  Args:
    config: such as 'configs/anomaly.py:tiny'. workdir: path. settings: {key below config: value}.

  Raises SystemExit with the job's status where that is not 0; the job says itself why.
  """
  print(f'--- {workdir}', flush=True)
  overrides = [f'--config.{key}={value}' for key, value in (settings or {}).items()]
  module('defect_jax.main', f'--config={config}', f'--workdir={workdir}', *overrides)
  return json.loads((Path(workdir) / 'summary.json').read_text())


def module(name, *arguments):
  """Runs a module as from the command line; SystemExit as of `run`."""
  if status := subprocess.run([sys.executable, '-m', name, *arguments]).returncode:
    sys.exit(status)
