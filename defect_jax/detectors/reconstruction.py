"""Anomaly maps of photos by a trained VAE and by baselines, tile by tile, whatever the size of the photos."""

import collections
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from defect_jax import losses, parallel
from defect_jax.data import tiles
from defect_jax.detectors import baselines, residuals
from defect_jax.models import features
from defect_jax.trained import vae as trained

OF_VAE = ('residual', 'normalised', 'ssim', 'lpips', 'kld')
OF_BASELINES = ('pca', 'pca_normalised', 'mean_image', 'mean_image_normalised', 'knn')
ON_FEATURES = ('lpips', 'knn')


@dataclasses.dataclass(frozen=True)
class Detector:
  """Makes anomaly maps.

  Attributes:
    vae: trained.VaePredictor. view: tiles.Tiling. chunk: tiles a call. layers: of VGG16, for `lpips`.
    blur: px, of the difference of image and reconstruction, see residuals.difference.
    spread: {name of a reconstruction: `[S, S]`, as of function `spread`}; the reconstructions are 'vae' and those of
      `linear`.
    linear: {'pca', 'mean_image': baselines.Linear}, or empty. neighbours: baselines.Neighbours or None.
  """
  vae: trained.VaePredictor
  view: tiles.Tiling
  chunk: int
  layers: int
  blur: float
  spread: dict
  linear: dict = dataclasses.field(default_factory=dict)
  neighbours: baselines.Neighbours | None = None

  def with_baselines(self, linear, spread, neighbours):
    """The same with baselines; arguments as the attributes."""
    return dataclasses.replace(self, linear=linear, spread=self.spread | spread, neighbours=neighbours)

  def maps_of(self, names):
    """Function of tiles `[chunk, S, S, C]` to {name: `[chunk, S, S]`} of some of OF_VAE and OF_BASELINES."""
    nets = jax.device_put(features.load('vgg16')) if set(names) & set(ON_FEATURES) else None
    constants = {'vae': self.vae.params, 'nets': nets, 'spread': self.spread}
    compiled = jax.jit(lambda constants, image: self._maps(names, constants, image))
    return lambda image: compiled(constants, image)

  def _maps(self, names, constants, image):
    posterior = self.vae.vae.encode(constants['vae']['encoder'], self.vae.normalizer, image)
    recons = {'vae': self.vae.vae.decode(constants['vae']['decoder'], self.vae.normalizer, posterior.mean)}
    recons |= {name: of.recon(image) for name, of in self.linear.items()}
    by_name = {
        'residual': lambda: residuals.absolute(image, recons['vae'], self.blur),
        'normalised': lambda: residuals.normalised(image, recons['vae'], constants['spread']['vae'], self.blur),
        'ssim': lambda: residuals.ssim(image, recons['vae']),
        'lpips': lambda: residuals.lpips(constants['nets'], image, jnp.clip(recons['vae'], 0, 1), self.layers),
        'kld': lambda: jnp.broadcast_to(losses.kld(*posterior)[:, None, None], image.shape[:3]),
        'knn': lambda: self.neighbours.map(constants['nets'], image)}
    for name in self.linear:
      by_name[name] = lambda name=name: residuals.absolute(image, recons[name], self.blur)
      by_name[f'{name}_normalised'] = lambda name=name: residuals.normalised(
          image, recons[name], constants['spread'][name], self.blur)
    return {name: by_name[name]() for name in names}

  def scan(self, images, maps_of):
    """Maps of images of any size, in order; a call's tiles may be those of many small images or some of a large one.

    Args:
      images: iterable of (key, image `[h, w, C]`). maps_of: function of `maps_of`.

    Yields (key, image, {name: float32 `[h, w]`}).
    """
    open_images, batch = collections.deque(), []
    for key, image in images:
      starts = self.view.starts(image.shape)
      blend = tiles.Blend(self.view.geometry.size, image.shape[:2])
      open_images.append([key, image, blend, len(starts)])
      for start in starts:
        batch.append((open_images[-1], start))
        if len(batch) == self.chunk:
          self._scan(batch, maps_of)
          batch = []
      yield from _finished(open_images)
    if batch:
      self._scan(batch, maps_of)
    yield from _finished(open_images)

  def _scan(self, batch, maps_of):
    cut = np.stack([self.view.cut(image, start) for (_, image, _, _), start in batch])
    found = parallel.in_chunks(maps_of, cut, self.chunk)
    for row, (entry, start) in enumerate(batch):
      entry[2].add(start, {name: values[row] for name, values in found.items()})
      entry[3] -= 1


def _finished(open_images):
  while open_images and not open_images[0][3]:
    key, image, blend, _ = open_images.popleft()
    yield key, image, blend.maps()


def spread(recon, good, blur, chunk=128):
  """Root of the mean squared residuals.difference `[S, S]` of good tiles `[N, S, S, C]`; recon: images to images."""
  apart, total = jax.jit(lambda image: residuals.difference(image, recon(image), blur)), 0.
  for part in parallel.chunks(apart, good, chunk):
    total += np.sum(np.mean(np.square(part), -1, dtype=np.float64), 0)
  return np.sqrt(total / len(good)).astype(np.float32)
