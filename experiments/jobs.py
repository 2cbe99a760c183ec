"""Jobs that studies are made of: each a process of its own, as from the command line."""

import json
import subprocess
import sys
from pathlib import Path


def run(config, workdir, settings=None):
  """Summary of a job; runs it unless it is finished.

  Args:
    config: such as 'configs/anomaly.py:tiny'. workdir: path. settings: {key below config: value}.

  Raises subprocess.CalledProcessError where the job ends with another status than 0; it says itself why.
  """
  print(f'--- {workdir}', flush=True)
  overrides = [f'--config.{key}={value}' for key, value in (settings or {}).items()]
  subprocess.run([sys.executable, '-m', 'defect_jax.main', f'--config={config}', f'--workdir={workdir}', *overrides],
                 check=True)
  return json.loads((Path(workdir) / 'summary.json').read_text())
