"""A trained VAE: what generating, finding anomalies and analysis start from."""

import dataclasses
import functools
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from defect_jax import parallel
from defect_jax.data import dataset, regions, tiles
from defect_jax.data.samples import Sample
from defect_jax.detectors import threshold as thresholds
from defect_jax.errors import UserError
from defect_jax.models import vae as models
from defect_jax.models.normalization import Normalizer
from defect_jax.runs.folder import Workdir
from defect_jax.trained import base
from defect_jax.training import layouts

_CHUNK = 128  # images encoded at once


@dataclasses.dataclass(frozen=True)
class VaePredictor:
  """A trained VAE; alone it scores a photo by the mean difference of input and output (the thesis's anomaly score)."""
  workdir: Workdir
  config: ConfigDict
  step: int
  vae: models.Vae
  normalizer: Normalizer
  params: dict  # {'encoder', 'decoder'}
  trained_on: str | None = None  # digest of its photos, None where its version kept none
  threshold: thresholds.Threshold | None = None  # set by hand: a VAE has none of its own
  at_once: int = 32  # photos per call of `predict`

  kind: ClassVar[str] = 'vae'
  classes = good_scores = notes = ()
  about: ClassVar[dict] = {'score': 'residual_mean'}

  @functools.cached_property
  def digest(self) -> str:
    return base.digest((self.params, self.normalizer))

  @functools.cached_property
  def tiling(self) -> tiles.Tiling:
    """The whole photo; UserError where the VAE saw crops around masks, which a photo to be predicted has not."""
    if self.config.data.region == 'mask':
      raise UserError(f'run: {self.workdir.root} was trained on crops around masks (data.region = mask), so says '
                      'nothing of whole photos; name one that was trained with data.region = full or box')
    return tiles.Tiling(regions.Geometry.of(self.config.data))

  def encode(self, images: Float[Array, 'n s s c']) -> models.Posterior:
    """Posterior of images in [0, 1], NumPy `[n, z]`."""
    return self._in_chunks(_encode, 'encoder', images, _CHUNK)

  def decode(self, z: Float[Array, 'b z']) -> Float[Array, 'b s s c']:
    """Images, not clipped; to be used inside jit."""
    return self.vae.decode(self.params['decoder'], self.normalizer, z)

  def predict(self, samples: Iterable[Sample], heatmaps: bool) -> Iterator[base.Prediction]:
    """Mean absolute residuals of the reconstructions from the posterior means."""
    del heatmaps  # the score needs the map anyway
    for batch, images in base.batched(samples, self.at_once):
      means = self._in_chunks(_encode, 'encoder', images, self.at_once).mean
      residuals = np.abs(images - self._in_chunks(_decode, 'decoder', means, self.at_once)).mean(-1)
      for sample, residual in zip(batch, residuals, strict=True):
        # Black to bright over one deviation of the training photos: the same for all photos.
        yield base.Prediction(sample, float(residual.mean()), None, residual, float(self.normalizer.std))

  def functions(self) -> dict[str, base.Function]:
    """encode: images to Posterior; decode: z to images; reconstruct: images to images by the posterior means."""
    def encode(params, images):
      return self.vae.encode(params['encoder'], params['normalizer'], images)

    def decode(params, z):
      return self.vae.decode(params['decoder'], params['normalizer'], z)

    def reconstruct(params, images):
      return decode(params, encode(params, images).mean)

    params, side = self.params | {'normalizer': self.normalizer}, self.vae.size
    image, z = (jax.ShapeDtypeStruct(shape, jnp.float32)
                for shape in ((side, side, self.vae.channels), (self.vae.latent,)))
    return {function.__name__: base.Function(function, params, spec)
            for function, spec in ((encode, image), (decode, z), (reconstruct, image))}

  def photos(self, **changes: Any) -> dataset.Prepared:
    """The photos that the VAE was trained on; `changes` to config.data, such as part='dev', few_shot=0."""
    return photos_of(self.config, **changes)

  def check_photos(self, photos: dataset.Dataset) -> None:
    """Raises UserError if these are not the photos that the VAE was trained on."""
    dataset.check_same(photos, self.trained_on, self.normalizer.mean)

  def _in_chunks(self, function, network, arrays, size):
    encode_or_decode = functools.partial(function, self.vae, self.params[network], self.normalizer)
    return parallel.in_chunks(encode_or_decode, arrays, size)


# Parameters are arguments: as constants they would be compiled into a program of each VAE's own.
_encode = jax.jit(models.Vae.encode, static_argnums=0)
_decode = jax.jit(models.Vae.decode, static_argnums=0)


def open_vae(root: Any, *, key: str = 'vae', threshold: float | None = None, at_once: int = 32) -> VaePredictor:
  """The VAE of a workdir's newest sound checkpoint; UserError, which names the config's `key`, where there is none."""
  workdir, config = base.read_run(root, key, ('vae',))
  if key == 'run' and workdir.read_summary() is None:  # what scores photos is to stay as it is
    raise UserError(f'{key}: {root} is not at its end; run its command again first')
  model = model_of(config)
  step, kept = base.read_checkpoint(workdir, key, lambda tree: (
      Normalizer(*(jnp.asarray(tree['state']['normalizer'][name]) for name in Normalizer._fields)),
      base.params_of(model, tree['state'].get('average') or tree['state']['params']), layouts.data_of(tree)))
  return VaePredictor(workdir, config, step, model, *kept,
                      None if threshold is None else thresholds.by_hand(threshold, ()), at_once)


def model_of(config: ConfigDict) -> models.Vae:
  """The Vae that a config describes; UserError where its size does not fit its widths."""
  size, factor = config.data.size, models.factor(config.model.patch, config.model.widths)
  if size % factor:
    raise UserError(f'data.size = {size}: with model.patch = {config.model.patch} and {len(config.model.widths)} '
                    f'model.widths the size must be a multiple of {factor}')
  return models.Vae(size=size, channels=config.data.channels, dtype=config.dtype, **config.model)


def photos_of(config: ConfigDict, **changes: Any) -> dataset.Prepared:
  """The photos that a config's `data` describes, with `changes` to it."""
  return dataset.load(seed=config.seed, **config.data.to_dict() | changes)
