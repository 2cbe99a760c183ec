"""How fast both losses follow when their targets change in a live run, through requests.json.

  python -m experiments.step_response
  python -m experiments.step_response --workdir=runs/response_crack -- --config.data.source=folder ...

The KLD target goes 30 % down, later back, then the MSE target 30 % down, `--hold` steps each. Since the MSE may stand
below its target by then, a last change puts it 30 % below where the MSE stands. The run is the default job, longer;
what stands after `--` goes to it. Prints how many steps each change took until the mean of 50 steps stood
at both targets for the rest of its stretch, and writes step_response.png and step_response.json to the workdir.
"""

import json
import subprocess
import sys
import time

import numpy as np
from absl import flags
from matplotlib.figure import Figure

from defect_jax.evaluation import latent
from defect_jax.runs.atomic import write_atomic
from defect_jax.runs.folder import Workdir
from experiments import command

FLAGS = flags.FLAGS
flags.DEFINE_string('config', 'configs/vae_split.py', 'Config of the run.')
flags.DEFINE_string('workdir', 'runs/step_response', 'Folder of the run; must not exist.')
flags.DEFINE_integer('first', 1000, 'Steps before the first change.')
flags.DEFINE_integer('hold', 400, 'Steps a change is held.')

_LOG = 10
# Name, target, factor and what the factor is applied to: a target before the first change, or a loss as it stands.
_CHANGES = (('KLD target 30 % lower', 'kld', 0.7, 'target/kld'), ('KLD target back', 'kld', 1.0, 'target/kld'),
            ('MSE target 30 % lower', 'mse', 0.7, 'target/mse'),
            ('MSE target 30 % below the MSE', 'mse', 0.7, 'train/mse'))


def drive(workdir, arguments):
  """Runs the job and sends the requests."""
  total = FLAGS.first + FLAGS.hold * len(_CHANGES)
  process = subprocess.Popen([
      sys.executable, '-m', 'defect_jax.main', f'--config={FLAGS.config}', f'--workdir={workdir.root}',
      f'--config.steps.total={total}', f'--config.steps.log={_LOG}', *arguments])
  first = None
  try:
    for number, (_, name, factor, reference) in enumerate(_CHANGES):
      row = _wait(process, workdir, FLAGS.first + number * FLAGS.hold)
      first = first or row
      base = (first if reference.startswith('target') else row)[reference]
      request = {'id': number + 1, 'targets': {name: factor * base}}
      write_atomic(workdir.requests_json, json.dumps(request))
    if process.wait():
      sys.exit(f'the run ended with status {process.returncode}')
  finally:
    process.terminate()


def _wait(process, workdir, step):
  """The newest row of metrics once it is within one logged step of `step`."""
  while process.poll() is None:
    rows = [row for row in workdir.read_metrics() if 'train/kld' in row]
    if rows and rows[-1]['step'] >= step - _LOG:
      return rows[-1]
    time.sleep(0.05)
  sys.exit(f'the run ended at status {process.returncode} before step {step}')


def responses(rows, first_steps):
  """Steps from each change until both losses stand at the targets for the rest of its stretch; None if never."""
  steps = np.array([row['step'] for row in rows])
  last = [*first_steps[1:], steps[-1]]
  found = []
  for start, end in zip(first_steps, last, strict=True):
    stretch = [row for row in rows if start < row['step'] <= end]
    # A row is the mean of the steps since the row before, so repeating it keeps the means of 50 steps.
    series = [np.repeat([row[key] for row in stretch], _LOG)
              for key in ('train/kld', 'train/mse', 'target/kld', 'target/mse')]
    found.append(latent.steps_to_targets(*series))
  return found


def draw(rows, changes):
  figure = Figure(figsize=(9, 5), layout='constrained')
  for axes, name, unit in zip(figure.subplots(2, sharex=True), ('kld', 'mse'), ('nats', ''), strict=True):
    steps = [row['step'] for row in rows]
    axes.plot(steps, [row[f'train/{name}'] for row in rows], label=name.upper())
    axes.step(steps, [row[f'target/{name}'] for row in rows], 'k--', where='pre', label='target')
    for change in changes:
      axes.axvline(change, color='0.8', zorder=0)
    axes.set(ylabel=f'{name.upper()} {unit}'.strip(), yscale='log' if name == 'mse' else 'linear')
    axes.legend()
  axes.set_xlabel('step')
  return figure


def main(arguments):
  workdir = Workdir(FLAGS.workdir)
  drive(workdir, arguments[1:])
  everything = workdir.read_metrics()
  rows = [row for row in everything if 'train/kld' in row]
  changes = [row['step'] for row in everything if 'request' in row]
  found = dict(zip([change[0] for change in _CHANGES], responses(rows, changes), strict=True))
  draw(rows, changes).savefig(workdir.root / 'step_response.png', dpi=110)
  write_atomic(workdir.root / 'step_response.json', json.dumps(found, indent=2) + '\n')
  for name, steps in found.items():
    print(f'{name}: {"not within the stretch" if steps is None else f"{steps} steps"}')


if __name__ == '__main__':
  command.run(main)
