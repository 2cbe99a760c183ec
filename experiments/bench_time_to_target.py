"""Seconds until both losses stand at their targets, against the same training in plain PyTorch.

  python -m experiments.bench_time_to_target

Both train the default job's network on the same 25 photos from the same initial parameters, with the same streams,
policy and targets, and look at their losses every `steps.log` steps. The peer (torch_peer.py) runs with the fastest of
its memory layouts and thread counts. What counts are the seconds up to the first step from which the 50-step means stay
at the targets to the end; compile time is shown apart. That both then stand at the same losses is checked too. Runs
alternate. Other programs on the machine slow both down, but not equally: run it on a quiet one.
"""

import concurrent.futures
import dataclasses
import itertools
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from absl import flags
from jaxtyping import Float

from configs import vae_split
from defect_jax.evaluation import latent
from experiments import bench, command

FLAGS = command.define(quick=True)
flags.DEFINE_integer('steps', 1200, 'Steps of each run.', lower_bound=latent.WINDOW, flag_values=FLAGS)
flags.DEFINE_integer('runs', 3, 'Runs of each side.', lower_bound=1, flag_values=FLAGS)

Steps = Float[np.ndarray, ' steps']
Targets = Mapping[str, float]
_TRIAL = 3.0  # seconds for each setting of the peer


@dataclasses.dataclass(frozen=True)
class Run:
  """Losses and the seconds from the start of each step, and the seconds of compilation before it."""
  kld: Steps
  mse: Steps
  seconds: Steps
  compile_seconds: float

  def to_targets(self, targets: Targets) -> tuple[int, float] | tuple[None, None]:
    """(steps, seconds) until both losses stay at their targets, or (None, None)."""
    steps = latent.steps_to_targets(self.kld, self.mse, targets['kld'], targets['mse'])
    return (steps, float(self.seconds[steps - 1])) if steps else (None, None)

  def end(self) -> tuple[float, float]:
    """Means of the last 50 steps: kld, mse."""
    return float(self.kld[-latent.WINDOW:].mean()), float(self.mse[-latent.WINDOW:].mean())


def same_end(ours: Run, peer: Run, targets: Targets) -> bool:
  """Whether two Runs end with KLDs within 5 % of one another and neither MSE more than 5 % above its target."""
  (our_kld, our_mse), (peer_kld, peer_mse) = ours.end(), peer.end()
  return bool(abs(our_kld / peer_kld - 1) <= latent.BAND and
              max(our_mse, peer_mse) <= (1 + latent.BAND) * targets['mse'])


def timed(advance: Callable[[int], tuple[Steps, Steps]], steps: int, log: int) -> tuple[Steps, Steps, Steps]:
  """Runs `advance(n) -> kld, mse` in pieces of `log` steps; returns kld, mse and seconds of all steps."""
  pieces, ends, began = [], [0.0], time.perf_counter()
  for first in range(0, steps, log):
    pieces.append(advance(min(log, steps - first)))
    ends.append(time.perf_counter() - began)
  kld, mse = (np.concatenate(values) for values in zip(*pieces, strict=True))
  ends_at = np.minimum(np.arange(len(ends)) * log, steps)
  return kld, mse, np.interp(np.arange(1, steps + 1), ends_at, ends)


def run_ours(job: bench.Job, steps: int, log: int, seed: int) -> Run:
  """A Run by Trainer.step under pmap, with resident photos."""
  warm, feed = job.feed(seed)
  jax.block_until_ready(feed.advance(warm, 1))
  box = [job.feed(seed)[0]]

  def advance(count):
    box[0], metrics = feed.advance(box[0], count)
    return metrics['train/kld'], metrics['train/mse']
  return Run(*timed(advance, steps, log), feed.compile_seconds)


def peer_of(job: bench.Job, seed: int, threads: int, channels_last: bool) -> Any:
  """A fresh torch_peer.Peer."""
  import torch  # only where PyTorch runs

  from experiments import torch_peer
  # As XLA does: denormal numbers in the moments are slow. Threads inherit this, so it comes before there are any.
  torch.set_flush_denormal(True)
  torch.set_num_threads(threads)
  torch.manual_seed(seed)
  lr = {name: stream.lr for name, stream in job.streams.items()}
  return torch_peer.Peer(job.vae, job.params, job.normalizer, job.images, job.batch, lr, job.control, job.targets,
                         channels_last)


def run_peer(job: bench.Job, steps: int, log: int, seed: int, setting: tuple[int, bool]) -> Run:
  """A Run by PyTorch."""
  peer_of(job, seed, *setting).step()  # oneDNN prepares its kernels
  peer = peer_of(job, seed, *setting)

  def advance(count):
    values = [peer.step() for _ in range(count)]
    return np.array([v['kld'] for v in values]), np.array([v['mse'] for v in values])
  return Run(*timed(advance, steps, log), 0.0)


def fastest_setting(job: bench.Job, most: int) -> tuple[int, bool]:
  """The peer's fastest (threads, channels_last), by up to `most` steps of each, a few seconds.

  Cores that share a unit, or that other programs need, may be slower together than fewer of them. The settings do not
  take turns step by step, since a change of the thread count costs time itself.
  """
  import torch
  seconds = {}
  for setting in itertools.product(sorted({1, torch.get_num_threads(), os.cpu_count()}), (False, True)):
    peer = peer_of(job, 0, *setting)
    seconds[setting] = []
    for _ in range(3):
      peer.step()  # oneDNN prepares its kernels
    while len(seconds[setting]) < most and sum(seconds[setting]) < _TRIAL:
      began = time.perf_counter()
      peer.step()
      seconds[setting].append(time.perf_counter() - began)
  bench.print_times({f'PyTorch step, threads: {threads}, {"channels_last" if last else "contiguous"}': values
                     for (threads, last), values in seconds.items()})
  return min(seconds, key=lambda setting: np.median(seconds[setting]))


def own_process() -> concurrent.futures.ProcessPoolExecutor:
  """A process for one side only, that keeps its thread pool and idles while the other side runs.

  In one process the idle threads of OpenMP, which spin a while for work, and those of XLA would take each other's
  cores. To forbid the spinning (OMP_WAIT_POLICY=PASSIVE) would slow down PyTorch; so it has the settings with which it
  is fastest alone.
  """
  return concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context('spawn'))


def print_run(side: str, run: Run, targets: Targets) -> float | None:
  """A line of the table; returns the seconds to the targets."""
  steps, seconds = run.to_targets(targets)
  reached = f'{seconds:8.2f} s, {steps} steps' if steps else 'targets not reached'
  per_step = np.median(np.diff(run.seconds)) * 1e3
  kld, mse = run.end()
  print(f'{side:8s} {reached}   {per_step:.1f} ms a step   end: KLD {kld:.2f} (target {targets["kld"]:.4g}), MSE '
        f'{mse:.3e} (target {targets["mse"]:.3e})   compiled in {run.compile_seconds:.1f} s', flush=True)
  return seconds


def main(flags: flags.FlagValues) -> None:
  command.check_installed('torch', 'torch')
  config = vae_split.get_config('tiny' if flags.quick else None)
  steps, runs, trial = (latent.WINDOW, 1, 3) if flags.quick else (flags.steps, flags.runs, 50)
  bench.print_load()
  ours, peer, same = [], [], []
  with own_process() as our_process, own_process() as peer_process:
    setting = peer_process.submit(fastest_setting, bench.Job.of(config), trial).result()
    for seed in range(runs):
      job = bench.Job.of(config, seed)
      arguments = job, steps, config.steps.log, seed
      our_run = our_process.submit(run_ours, *arguments).result()
      peer_run = peer_process.submit(run_peer, *arguments, setting).result()
      ours.append(print_run('ours', our_run, job.targets))
      peer.append(print_run('PyTorch', peer_run, job.targets))
      same.append(same_end(our_run, peer_run, job.targets))
  print(f'end losses: {sum(same)} of {runs} pairs of runs have KLDs within 5 % of one another and both MSE at most '
        '1.05 of the target')
  reached = None not in ours + peer
  bench.print_result('bench_time_to_target', float(np.median(ours)) if reached else None,
                     float(np.median(peer)) if reached else None, ('jaxlib', 'flax', 'optax', 'torch'),
                     same_end=all(same), threads=setting[0], layout='channels_last' if setting[1] else 'contiguous')
  if not flags.quick and not (reached and all(same)):
    sys.exit('a run did not reach the targets, or two did not end at the same losses: the ratio says nothing')


if __name__ == '__main__':
  command.run(main, FLAGS)
