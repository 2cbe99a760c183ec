"""Jobs on this machine: one after the other, or several side by side with a share of the CPUs each."""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent import futures

from defect_jax.config import UserError
from defect_jax.runs.folder import Workdir
from defect_jax.sweeps.job import Job, Summary
from defect_jax.sweeps.study import Summaries


def process(job: Job) -> None:
  """Runs a job as a process of its own; SystemExit with its status unless that is 0. The job itself reports why.

  In a thread of `run` each line of the job begins with its workdir, and all go to stdout.
  """
  alone = threading.current_thread() is threading.main_thread()
  command = [sys.executable, '-m', 'defect_jax.main', f'--workdir={job.workdir}', *job.arguments()]
  out, error = (None, None) if alone else (subprocess.PIPE, subprocess.STDOUT)
  with subprocess.Popen(command, stdout=out, stderr=error, text=True) as child:
    for line in child.stdout or ():
      print(f'{job.workdir}: {line}', end='', flush=True)
  if child.returncode:
    sys.exit(child.returncode)


def run(jobs: Iterable[Job], at_once: int = 1, start: Callable[[Job], None] = process) -> Summaries:
  """Summaries of jobs and of those they need; runs what is not finished, a job after those that it needs.

  at_once: how many run side by side, each bound to its share of the CPUs: small networks on small images leave a second
  CPU half idle. Raises what `start` raises; jobs that are running are waited for, no more are begun. UserError where
  there are too few CPUs.
  """
  waiting, summaries = list(_in_order(jobs).values()), {}
  if at_once == 1:
    return {job.workdir: _summary(job, start) for job in waiting}
  if at_once > len(cpus()):
    raise UserError(f'--at_once={at_once}: jobs can be bound to {len(cpus())} CPUs here; give at most as many, or 1')
  shares = queue.SimpleQueue()
  for number in range(at_once):
    shares.put(cpus()[number::at_once])
  # Binds a thread and the processes that it starts.
  with futures.ThreadPoolExecutor(at_once, initializer=lambda: os.sched_setaffinity(0, shares.get())) as pool:
    running = {}
    try:
      while waiting or running:
        for job in [job for job in waiting if all(need.workdir in summaries for need in job.needs)]:
          running[pool.submit(_summary, job, start)] = job
          waiting.remove(job)
        for future in futures.wait(running, return_when=futures.FIRST_COMPLETED).done:
          summaries[running.pop(future).workdir] = future.result()
    except BaseException:  # Ctrl-C too
      pool.shutdown(wait=False, cancel_futures=True)
      raise
  return summaries


def cpus() -> list[int]:
  """The CPUs that jobs can be bound to; [] where the system cannot bind them."""
  return sorted(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else []


def _in_order(jobs):
  """{workdir: job} of jobs and of those they need, the latter first."""
  ordered = {}
  for job in jobs:
    for each in (*_in_order(job.needs).values(), job):
      if ordered.setdefault(each.workdir, each) != each:
        raise ValueError(f'{each.workdir}: two jobs of one study want this folder')
  return ordered


def _summary(job: Job, start: Callable[[Job], None]) -> Summary:
  if (summary := job.finished()) is not None:
    return summary
  print(f'--- {job.workdir}', flush=True)
  start(job)
  if (summary := Workdir(job.workdir).read_summary()) is None:
    raise RuntimeError(f'{job.workdir}: the job ended without a summary.json')
  return summary
