"""How fast both losses follow when their targets change in a live run, through requests.json.

  python -m experiments.step_response
  python -m experiments.step_response --workdir=runs/response_crack -- --config.data.source=folder ...

The KLD target goes 30 % down, later back, then the MSE target 30 % down, `--hold` steps each. Since the MSE may stand
below its target by then, a last change puts it 30 % below where the MSE stands. The run is the default job, longer; the
settings after `--` are given to it. Prints how many steps each change took until the mean of 50 steps stood at both
targets for the rest of its stretch, and writes step_response.png and step_response.json to the workdir.
"""

import functools
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from matplotlib.figure import Figure

from defect_jax.evaluation import latent
from defect_jax.runs.atomic import write_atomic
from defect_jax.runs.folder import Workdir
from defect_jax.sweeps import local
from defect_jax.sweeps.job import Job
from defect_jax.sweeps.study import Study
from experiments import command, results

FLAGS = command.define(tiny='Few steps of a small network, to try the command.', publish=True)
flags.DEFINE_string('config', 'configs/vae_split.py', 'Config of the run.', flag_values=FLAGS)
flags.DEFINE_string('workdir', 'runs/step_response', 'Folder of the run.', flag_values=FLAGS)
flags.DEFINE_integer('first', 1000, 'Steps before the first change.', flag_values=FLAGS)
flags.DEFINE_integer('hold', 400, 'Steps a change is held.', flag_values=FLAGS)

_LOG = 10
# Name, target, factor and what the factor is applied to: a target before the first change, or a loss as it stands.
_CHANGES = (('KLD target 30 % lower', 'kld', 0.7, 'target/kld'), ('KLD target back', 'kld', 1.0, 'target/kld'),
            ('MSE target 30 % lower', 'mse', 0.7, 'target/mse'),
            ('MSE target 30 % below the MSE', 'mse', 0.7, 'train/mse'))

Row = Mapping[str, Any]  # of metrics.jsonl


def study(config: str, workdir: Path, settings: Mapping[str, Any], first: int,
          hold: int) -> Study[dict[str, int | None]]:
  """{change: steps until both losses stand at the targets}; its job is to be started by `drive`."""
  steps = {'steps.total': first + hold * len(_CHANGES), 'steps.log': _LOG}
  return Study('step_response', [Job(config, workdir, settings | steps)],
               lambda _: dict(zip((name for name, *_ in _CHANGES), responses(*read(Workdir(workdir))), strict=True)))


def drive(job: Job, first: int, hold: int) -> None:
  """Runs the job and sends the requests."""
  workdir, reference = Workdir(job.workdir), None
  process = subprocess.Popen([sys.executable, '-m', 'defect_jax.main', f'--workdir={job.workdir}', *job.arguments()])
  try:
    for number, (_, name, factor, base) in enumerate(_CHANGES):
      row = _wait(process, workdir, first + number * hold)
      reference = reference or row
      target = factor * (reference if base.startswith('target') else row)[base]
      write_atomic(workdir.requests_json, json.dumps({'id': number + 1, 'targets': {name: target}}))
    if process.wait():
      sys.exit(process.returncode)
  finally:
    process.terminate()


def _wait(process, workdir, step):
  """The newest row of metrics once it is within one logged step of `step`."""
  while process.poll() is None:
    rows = [row for row in workdir.read_metrics() if 'train/kld' in row]
    if rows and rows[-1]['step'] >= step - _LOG:
      return rows[-1]
    time.sleep(0.05)
  sys.exit(process.returncode or f'the run ended before step {step}')


def read(workdir: Workdir) -> tuple[list[Row], list[int]]:
  """Rows of metrics, and the steps at which a request was applied."""
  everything = workdir.read_metrics()
  return ([row for row in everything if 'train/kld' in row], [row['step'] for row in everything if 'request' in row])


def responses(rows: Sequence[Row], first_steps: Sequence[int]) -> list[int | None]:
  """Steps from each change until both losses stand at the targets for the rest of its stretch; None if never."""
  last = [*first_steps[1:], rows[-1]['step']]
  taken = []
  for start, end in zip(first_steps, last, strict=True):
    stretch = [row for row in rows if start < row['step'] <= end]
    # A row is the mean of the steps since the row before, so repeating it keeps the means of 50 steps.
    series = [np.repeat([row[key] for row in stretch], _LOG)
              for key in ('train/kld', 'train/mse', 'target/kld', 'target/mse')]
    taken.append(latent.steps_to_targets(*series))
  return taken


def draw(rows: Sequence[Row], changes: Sequence[int]) -> Figure:
  """Both losses with their targets, a line at each change."""
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


def table(steps: Mapping[str, int | None]) -> results.Table:
  """A row per change."""
  return results.Table(['change', 'steps'], [
      [name, 'not within the stretch' if count is None else str(count)] for name, count in steps.items()])


def settings_of(arguments: Sequence[str]) -> dict[str, str]:
  """{key: value} of `--config.key=value`."""
  return {key.removeprefix('--config.'): value for key, _, value in (word.partition('=') for word in arguments)}


def main(flags: flags.FlagValues, arguments: list[str]) -> None:
  first, hold = (150, 60) if flags.tiny else (flags.first, flags.hold)
  workdir = Path(flags.workdir)
  run = study(flags.config + ':tiny' * flags.tiny, workdir, settings_of(arguments), first, hold)
  steps = run.run(functools.partial(local.run, start=functools.partial(drive, first=first, hold=hold)))
  draw(*read(Workdir(workdir))).savefig(workdir / 'step_response.png', dpi=110)
  write_atomic(workdir / 'step_response.json', json.dumps(steps, indent=2) + '\n')
  print(table(steps).markdown())
  if flags.publish:
    results.publish('step_response', table(steps), steps)


if __name__ == '__main__':
  command.run(main, FLAGS, positional=True)
