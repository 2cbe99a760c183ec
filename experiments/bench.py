"""What the benchmarks share: the default job's parts, alternating timings, the last line's JSON."""

import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from defect_jax import parallel
from defect_jax.data import dataset
from defect_jax.models.normalization import Normalizer
from defect_jax.models.vae import Vae
from defect_jax.registry import LOSSES
from defect_jax.tasks.keys import vae as vae_keys
from defect_jax.training import routing
from defect_jax.training.autoencoder import Autoencoder
from defect_jax.training.control import Control
from defect_jax.training.feeds import ResidentFeed
from defect_jax.training.trainer import Trainer, TrainState
from experiments import results

Times = dict[str, Float[np.ndarray, ' rounds']]  # seconds of every call


@dataclasses.dataclass(frozen=True)
class Job:
  """A config's training; params: initial ones."""
  vae: Vae
  params: dict
  normalizer: Normalizer
  images: Float[np.ndarray, 'n s s c']
  targets: dict
  streams: dict
  control: Control
  batch: int

  @classmethod
  def of(cls, config: ConfigDict, seed: int = 0) -> 'Job':
    """The job of a config such as configs/vae_split.py's, with photos of ELPV and initial parameters by `seed`."""
    config = ConfigDict(config.to_dict())
    config.data.update(source='elpv', path=None, region='full')
    vae_keys.settle(config)
    data = config.data
    images = dataset.load(**data.to_dict()).images()
    variance = float(images.var(0).mean())
    vae = Vae(size=data.size, channels=data.channels, dtype=config.dtype, **config.model)
    params = jax.device_get(vae.init(jax.random.key(seed)))
    streams, _ = routing.resolve(config.streams.to_dict(), params)
    targets = {'kld': config.targets.kld, 'mse': config.targets.mse_of_variance * variance}
    normalizer = Normalizer(jnp.asarray(images.mean(0)), jnp.float32(variance ** 0.5))
    return cls(vae, params, normalizer, images, targets, streams, Control(**config.control.to_dict()), config.batch)

  def feed(self, seed: int = 0) -> tuple[TrainState, ResidentFeed]:
    """(state, feed) as the default job has them on a CPU: `state, metrics = feed.advance(state, steps)`."""
    names = dict.fromkeys([*self.targets, *(stream.loss for stream in self.streams.values())])
    trainer = Trainer(Autoencoder(self.vae), {name: LOSSES[name] for name in names}, self.streams, jax.random.key(seed),
                      self.control)
    state = parallel.replicate(trainer.init(self.params, normalizer=self.normalizer, targets=self.targets))
    return state, ResidentFeed(trainer, self.images, self.batch, jax.random.key(seed + 1), 1)


def alternate(functions: Mapping[str, Callable[[], Any]], rounds: int, warm: int = 2) -> Times:
  """Seconds of every call; the functions take turns, so that all meet the same machine."""
  seconds = {name: [] for name in functions}
  for turn in range(warm + rounds):
    for name, function in functions.items():
      began = time.perf_counter()
      jax.block_until_ready(function())
      if turn >= warm:
        seconds[name].append(time.perf_counter() - began)
  return {name: np.array(values) for name, values in seconds.items()}


def print_times(seconds: Times, per: float = 1) -> None:
  """A line for each name: median, and the middle half, in ms."""
  for name, values in seconds.items():
    low, middle, high = np.percentile(values, (25, 50, 75)) * 1e3 / per
    print(f'{name:42s} {middle:9.2f} ms   middle half {low:.2f} to {high:.2f}')


def print_result(name: str, ours: float | None, peer: float | None, packages: Iterable[str], **more: Any) -> None:
  """The last line. ours, peer: seconds, or None where not reached; ratio says how many times faster ours is."""
  ratio = peer / ours if ours and peer else None
  device = jax.local_devices()[0]
  computing = 'cpu' if device.platform == 'cpu' else f'{device.platform}: {jax.device_count()} x {device.device_kind}'
  machine = f'{results.machine()}, {computing}'
  versions = {package: importlib.metadata.version(package) for package in ('jax', *packages)}
  print(json.dumps({'name': name, 'ours': ours, 'peer': peer, 'ratio': ratio, **more, 'machine': machine,
                    'versions': versions}), flush=True)


def print_load() -> None:
  """Timings of a machine that does other things tell little."""
  print(f'load of the machine before: {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores', flush=True)


def torch_device() -> str | None:
  """'cpu' or 'cuda', as JAX computes; None, and a line that says why, where PyTorch cannot take part."""
  if importlib.util.find_spec('torch') is None:
    return None
  import torch
  device = {'cpu': 'cpu', 'gpu': 'cuda'}.get(jax.default_backend())
  if device is None or (device == 'cuda' and not torch.cuda.is_available()):
    print(f'PyTorch is left out: the one that is installed cannot compute on the {jax.default_backend()}', flush=True)
    return None
  if device == 'cuda':  # as XLA multiplies float32 by default
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
  torch.set_num_threads(len(os.sched_getaffinity(0)))
  return device


def peak_memory(device: str | None) -> dict[str, float]:
  """{'peak_gb': of JAX, 'peak_gb_torch': of PyTorch on `device`}, of accelerators, where they tell it."""
  known = jax.local_devices()[0].memory_stats() or {}
  peaks = {'peak_gb': known['peak_bytes_in_use'] / 1e9} if 'peak_bytes_in_use' in known else {}
  if device == 'cuda':
    import torch
    peaks['peak_gb_torch'] = torch.cuda.max_memory_allocated() / 1e9
  return peaks
