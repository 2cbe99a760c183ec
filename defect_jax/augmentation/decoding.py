"""Images of a trained VAE: decodings of what a sampler draws, each with the photos that it starts from."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32

from defect_jax.augmentation import samplers
from defect_jax.data.dataset import Dataset

# Candidates of each image -> which to keep, and a record of why.
Select = Callable[[Float[np.ndarray, 'b candidates s s c']], tuple[Int[np.ndarray, 'b'], list[dict[str, Any]]]]


class DecodingProduction:
  """`make` of production.produce. Image i follows from (seed, i); of several candidates of it `select` keeps one."""

  def __init__(self, decode: Callable[[Float[Array, 'b z']], samplers.Images], sampler: samplers.Sampler,
               photos: Dataset, seed: int, line: Mapping[str, Any], candidates: int = 1, select: Select | None = None):
    """photos: that the sampler draws from. line: of the manifest; its class is that of images without a photo."""
    self._photos, self._line, self._select = photos, dict(line, method='vae', seed=seed), select
    key = jax.random.key(seed)

    @jax.jit
    def draw(indices):
      keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(indices)
      if select:
        keys = jax.vmap(lambda key: jax.random.split(key, candidates))(keys)
      drawn = sampler(keys.reshape(-1))
      images, starts = samplers.images(decode, drawn), jnp.stack([drawn.photo, drawn.partner], -1)
      return images.reshape(*keys.shape, *images.shape[1:]), starts.reshape(*keys.shape, 2)

    self._draw = draw

  def __call__(self, indices: UInt32[np.ndarray, 'b']) -> tuple[Float[np.ndarray, 'b s s c'], list[dict[str, Any]]]:
    images, starts = jax.device_get(self._draw(indices))
    if self._select is None:
      return images, list(map(self._lineage, starts))
    kept, records = self._select(images)
    kept = np.arange(len(indices)), kept
    return images[kept], [self._lineage(start) | {'filter': record}
                          for start, record in zip(starts[kept], records, strict=True)]

  def _lineage(self, start):
    """The line of an image that starts from the photos of these indices, -1 for none."""
    photos, (photo, partner) = self._photos, map(int, start)
    line = dict(self._line)
    if photo >= 0:
      line |= {'source': photos.files[photo], 'source_sha256': photos.sha256[photo]}
    if partner >= 0:
      line |= {'other_source': photos.files[partner]}
    classes = sorted({photos.labels[index] for index in (photo, partner) if index >= 0})
    return line | ({'class': ' '.join(classes)} if classes else {})
