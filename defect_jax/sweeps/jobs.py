"""Jobs that studies are made of: each a process of its own, as from the command line."""

import os
import queue
import subprocess
import sys
import threading
from concurrent import futures

from defect_jax.config import UserError, from_command_line
from defect_jax.runs import start
from defect_jax.runs.folder import Workdir


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
  alone = threading.current_thread() is threading.main_thread()
  module('defect_jax.main', f'--workdir={workdir}', *described, told='' if alone else f'{workdir}: ')
  return home.read_summary()


def module(name, *arguments, told=''):
  """Runs a module as from the command line; SystemExit as of `run`. Where `told` is given, it begins each line that the
  module writes, and all go to stdout."""
  piped = {'stdout': subprocess.PIPE, 'stderr': subprocess.STDOUT} if told else {}
  with subprocess.Popen([sys.executable, '-m', name, *arguments], text=True, **piped) as process:
    for line in process.stdout or ():
      print(f'{told}{line}', end='', flush=True)
  if process.returncode:
    sys.exit(process.returncode)


def cpus():
  """The CPUs that jobs can be bound to; [] where the system cannot bind them."""
  return sorted(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else []


def each(function, items, at_once=1):
  """[function(item) of each], so many at a time, whose jobs have a share of the CPUs each.

  Small networks on small images leave a second CPU half idle, so two jobs side by side come to more than one after the
  other. Raises what `function` raises; those at work are waited for, no more are begun. UserError where there are too
  few CPUs.
  """
  if at_once == 1:
    return list(map(function, items))
  if at_once > len(cpus()):
    raise UserError(f'--at_once={at_once}: jobs can be bound to {len(cpus())} CPUs here; give at most as many, or 1')
  shares = queue.SimpleQueue()
  for number in range(at_once):
    shares.put(cpus()[number::at_once])
  # Of this thread alone and of the processes that it starts.
  with futures.ThreadPoolExecutor(at_once, initializer=lambda: os.sched_setaffinity(0, shares.get())) as pool:
    begun = [pool.submit(function, item) for item in items]
    try:
      for future in futures.as_completed(begun):
        future.result()
    except BaseException:  # Ctrl-C too
      pool.shutdown(wait=False, cancel_futures=True)
      raise
  return [future.result() for future in begun]
