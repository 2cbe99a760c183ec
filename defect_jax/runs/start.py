"""What a job is checked for before it starts: its task, its config by the task's keys, and its workdir. No JAX."""

import importlib
from typing import Any

from ml_collections import ConfigDict

from defect_jax.errors import UserError, nearest
from defect_jax.registry import KEYS, TASKS, import_plugins
from defect_jax.runs.folder import Workdir
from defect_jax.schema import check, flatten, left_open


def settled(config: ConfigDict, workdir: Workdir) -> tuple[ConfigDict, list[str]]:
  """The config with nothing left open, and lines that say what was taken for what.

  What stands open is as the run of the workdir has it, else as the photos say, see schema.Key. Raises UserError.
  """
  keys = _checked(config)
  config, table, saved = ConfigDict(config.to_dict()), keys.table(), workdir.read_config()
  if saved is not None and saved.get('task') == config.task:
    begun = flatten(saved)
    for name in left_open(config, table):
      config.update_from_flattened_dict({name: begun[name]})
  is_done = saved is not None and not left_open(config, table) and workdir.read_summary() is not None
  return config, [] if is_done or not hasattr(keys, 'settle') else keys.settle(config)


def run(config: ConfigDict, workdir: Workdir) -> dict[str, Any]:
  """Runs the config's task, which `finished` has checked; returns the summary."""
  return TASKS[config.task](config, workdir)


def live(workdir: Workdir) -> Any:
  """The page of the run at work, see report.live.Live; found by name, since it draws, which a refusal need not load."""
  return importlib.import_module('defect_jax.report.live').Live(workdir)


def finished(config: ConfigDict, workdir: Workdir) -> dict[str, Any] | None:
  """The summary of a run that has come to its end, None if there is something to do.

  Raises UserError for a config that its task cannot run, or a workdir that it cannot be run in.
  """
  keys = _checked(config)
  workdir.check(config, _fixed_steps(config), anew=getattr(keys, 'ANEW', False))
  total = config.get('steps', {}).get('total')
  done = max((row['step'] for row in workdir.read_metrics()), default=0) if total else 0
  if total and done > total:
    raise UserError(f'steps.total = {total}: {workdir.root} has come to step {done}; give at least as many, or another '
                    '--workdir')
  summary = workdir.finished()
  if summary is not None and hasattr(keys, 'check_finished'):
    keys.check_finished(config, summary)
  return summary


def takes_more_steps(config: ConfigDict) -> bool:
  """Whether a finished run of this config goes on by a higher steps.total."""
  return 'steps' in config and 'steps.total' not in _fixed_steps(config)


def _checked(config):
  """The module of the keys of the config's task, by which it is right."""
  task = config.get('task')
  if task not in KEYS:
    raise UserError(f'task = {task!r}: no such task{nearest(task, KEYS)}')
  import_plugins(config.get('plugins', ()))
  keys = KEYS[task]
  check(config, keys.table())
  if hasattr(keys, 'check'):
    keys.check(config)
  return keys


def _fixed_steps(config):
  keys = KEYS[config.task]
  return keys.fixed_steps(config) if hasattr(keys, 'fixed_steps') else ()
