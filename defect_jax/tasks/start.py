"""What a job is checked for before it starts: its task, its config by the task's schema, and its workdir."""

import importlib

from defect_jax.config import UserError, nearest
from defect_jax.schema import check

TASKS = {name: f'defect_jax.tasks.{name}'
         for name in ('vae', 'generate', 'anomaly', 'inpaint', 'inpaint_train', 'classifier')}


def find_task(config):
  """The module of `config.task`.

  It has SCHEMA (see schema.check), `run(config, workdir)`, which opens the workdir once it has checked its data and
  returns the summary, and, where a schedule depends on keys of steps, `FIXED_STEPS(config)`, which names them.
  """
  task = config.get('task')
  if task not in TASKS:
    raise UserError(f'task = {task!r}: no such task{nearest(task, TASKS)}')
  return importlib.import_module(TASKS[task])


def finished(config, workdir):
  """The summary of a run that has come to its end, None where there is something to do.

  UserError for a config that does not fit its task, or a workdir that it cannot be run in.
  """
  task = find_task(config)
  check(config, task.SCHEMA)
  workdir.check(config, _fixed_steps(config))
  _check_total(config, workdir)
  return workdir.finished()


def takes_more_steps(config):
  """Whether a finished run of this config goes on by a higher steps.total."""
  return 'steps' in config and 'steps.total' not in _fixed_steps(config)


def _fixed_steps(config):
  task = find_task(config)
  return task.FIXED_STEPS(config) if hasattr(task, 'FIXED_STEPS') else ()


def _check_total(config, workdir):
  """UserError where a run has gone beyond the steps that are asked for."""
  total = config.get('steps', {}).get('total')
  done = max((row.get('step', 0) for row in workdir.read_metrics()), default=0) if total else 0
  if total and done > total:
    raise UserError(f'steps.total = {total}: {workdir.root} has come to step {done}; give at least as many, or another '
                    '--workdir')
