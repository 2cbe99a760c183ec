"""The sampling function: from noise to images of one size, compiled once, over all devices."""

import copy
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from defect_jax import parallel
from defect_jax.diffusion import schedulers

if TYPE_CHECKING:
  from defect_jax.diffusion.pipeline import Pipeline


class Encoded(NamedTuple):
  """A photo as the model sees it: scaled latents of the masked and of the original photo, and the mask."""
  masked: Float[Array, '*b h w c']
  original: Float[Array, '*b h w c']
  mask: Float[Array, '*b h w']


class Sampler:
  """Makes images of one size, `canvas` (width, height), with one schedule."""

  def __init__(self, pipeline: 'Pipeline', params: Any, canvas: tuple[int, int], batch: int,
               schedule: schedulers.Schedule, guidance: float, content: str):
    """params: of UNet and VAE, replicated."""
    self._pipeline, self._params, self.canvas, self.batch = pipeline, params, canvas, batch
    self._schedule, self._guidance, self._content = schedule, guidance, content
    self._shape = (canvas[1] // pipeline.factor, canvas[0] // pipeline.factor, pipeline.channels)
    self._noise = jax.jit(self._draw)
    self._sample = parallel.pmap(self._on_device)
    self.compile_seconds: float | None = None

  @property
  def needs_original(self) -> bool:
    """Whether sampling starts from the photo's own latents, at least outside the mask."""
    return self._content == 'original' or not self._schedule.whole

  def of(self, params: dict[str, Any]) -> 'Sampler':
    """The same sampler with other parameters {'unet', 'vae'}, without compiling again."""
    other = copy.copy(self)
    other._params = parallel.replicate(params)
    return other

  def __call__(self, seed: int, indices: Int[np.ndarray, 'b'], encoded: Sequence[Encoded],
               context: Float[np.ndarray, 'b t d'], negative: Float[np.ndarray, 't d']) -> Float[np.ndarray, 'b h w 3']:
    """Images in [0, 1]. Noise follows from seed and index; `negative` counts only if guidance is not 1."""
    return self.from_noise(self._noise(jax.random.key(seed), np.uint32(indices)), encoded, context, negative)

  def from_noise(self, noise: Float[np.ndarray, 'b 2 h w c'], encoded: Sequence[Encoded],
                 context: Float[np.ndarray, 'b t d'], negative: Float[np.ndarray, 't d']
                 ) -> Float[np.ndarray, 'b h w 3']:
    """Like a call. noise: what latents start from, and what fills the mask for content noise at a strength below 1."""
    images = self._sample(*self._inputs(noise, encoded, context, negative))
    return np.asarray(images).reshape(-1, *images.shape[2:])[:self.batch]

  def compile(self, tokens: int, features: int) -> 'Sampler':
    """Compiles ahead for contexts [tokens, features], so that its seconds are known apart; returns the sampler."""
    began = time.monotonic()
    photo = Encoded(*(np.zeros(shape, np.float32) for shape in (self._shape, self._shape, self._shape[:2])))
    noise, context = (np.zeros((self.batch, *shape), np.float32) for shape in ((2, *self._shape), (tokens, features)))
    inputs = self._inputs(noise, [photo] * self.batch, context, context[0])
    self._sample = parallel.compiled(self._sample.lower(*inputs))
    self.compile_seconds = time.monotonic() - began
    return self

  def _inputs(self, noise, encoded, context, negative):
    slots = np.minimum(np.arange(parallel.padded(self.batch)), self.batch - 1)
    stacked = Encoded(*(np.stack(part)[slots] for part in zip(*encoded, strict=True)))
    unwanted = np.broadcast_to(np.float32(negative), (parallel.devices(), *np.shape(negative)))
    return self._params, *parallel.shard((np.asarray(noise)[slots], stacked, np.float32(context)[slots])), unwanted

  def _draw(self, key, indices):
    keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(indices)
    return jax.vmap(lambda key: jax.random.normal(key, (2, *self._shape)))(keys)

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
