"""The sampling function: from noise to images of one size, compiled once, over all devices."""

import copy
import functools
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from defect_jax import parallel
from defect_jax.diffusion import schedulers


class Encoded(NamedTuple):
  """A photo as the model sees it: masked `[h, w, C]`, original `[h, w, C]` (scaled latents), mask `[h, w]` float32."""
  masked: np.ndarray
  original: np.ndarray
  mask: np.ndarray


class Sampler:
  """Makes images of one size by one schedule.

  Attributes: canvas (width, height), batch, compile_seconds.
  """

  def __init__(self, pipeline, params, canvas, batch, schedule, guidance, content):
    """params: of UNet and VAE, replicated. schedule: schedulers.Schedule."""
    self._params = params
    self._pipeline, self._schedule, self._guidance, self._content = pipeline, schedule, guidance, content
    self.canvas, self.batch = canvas, batch
    self._shape = (canvas[1] // pipeline.factor, canvas[0] // pipeline.factor, pipeline.channels)
    self._noise = jax.jit(self._draw)
    self._sample, self.compile_seconds = parallel.pmap(self._on_device), None

  @property
  def needs_original(self):
    """Whether sampling starts from the photo's own latents, at least outside the mask."""
    return self._content == 'original' or not self._schedule.whole

  def of(self, params):
    """The same function of other parameters {'unet', 'vae'}, compiled no second time."""
    other = copy.copy(self)
    other._params = parallel.replicate(params)
    return other

  def __call__(self, seed, indices, encoded, context, negative):
    """Images float32 `[batch, H, W, 3]` in [0, 1].

    Args:
      seed: int. indices: uint32 `[batch]`; noise follows from both. encoded: list of Encoded.
      context: `[batch, 77, D]`. negative: `[77, D]`, only looked at where guidance is not 1.
    """
    return self.from_noise(self._noise(jax.random.key(seed), np.uint32(indices)), encoded, context, negative)

  def from_noise(self, noise, encoded, context, negative):
    """As a call, with noise `[batch, 2, h, w, C]`: what latents start from, and what fills the mask for content noise
    at a strength below 1."""
    slots = np.minimum(np.arange(parallel.padded(self.batch)), self.batch - 1)
    stacked = Encoded(*(np.stack(part)[slots] for part in zip(*encoded, strict=True)))
    parts = parallel.shard((np.asarray(noise)[slots], stacked, np.float32(context)[slots]))
    unwanted = np.broadcast_to(np.float32(negative), (parallel.devices(), *np.shape(negative)))
    images = self._sample(self._params, *parts, unwanted)
    return np.asarray(images).reshape(-1, *images.shape[2:])[:self.batch]

  def compile(self, tokens, features):
    """Compiles ahead for contexts `[77, D]`, so that the seconds it takes are known apart; returns the sampler."""
    began = time.monotonic()
    height, width, channels = self._shape
    zeros = functools.partial(np.zeros, dtype=np.float32)
    slots = parallel.padded(self.batch)
    encoded = Encoded(zeros((slots, *self._shape)), zeros((slots, *self._shape)), zeros((slots, height, width)))
    parts = parallel.shard((zeros((slots, 2, height, width, channels)), encoded, zeros((slots, tokens, features))))
    lowered = self._sample.lower(self._params, *parts, zeros((parallel.devices(), tokens, features)))
    self._sample = parallel.compiled(lowered)
    self.compile_seconds = time.monotonic() - began
    return self

  def _draw(self, key, indices):
    keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(indices)
    return jax.vmap(lambda one: jax.random.normal(one, (2, *self._shape)))(keys)

  def _on_device(self, params, noise, encoded, context, negative):
    latents = self._start(noise, encoded)

    def predict(x, timestep):
      if self._guidance == 1:
        return self._pipeline.predict(params, x, timestep, encoded, context)
      twice = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), (x, encoded))
      both = jnp.concatenate([jnp.broadcast_to(negative, context.shape), context])
      without, with_text = jnp.split(self._pipeline.predict(params, twice[0], timestep, twice[1], both), 2)
      return without + self._guidance * (with_text - without)

    return self._pipeline.decode(params, schedulers.denoise(self._schedule.rows, predict, latents))

  def _start(self, noise, encoded):
    schedule = self._schedule
    if not self.needs_original:
      return schedule.pure_noise * noise[:, 0]
    base = encoded.original
    if self._content == 'noise':
      base = jnp.where(encoded.mask[..., None] > 0, noise[:, 1], base)
    return schedule.signal * base + schedule.noise * noise[:, 0]
