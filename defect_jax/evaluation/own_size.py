"""What is left of photos at their own size: scaling loses what a network of few pixels never sees."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from defect_jax.data import dataset, photos, samples, tiles
from defect_jax.evaluation import latent

Image = Float[np.ndarray, 'h w c']
_LARGEST = 1024  # px a side that photos are compared at, at most
_MOST = 32  # photos that are compared


def rows(taken: dataset.Prepared) -> list[int]:
  """The photos that are compared: of many some, spread over the set."""
  return dataset.spread(len(taken), _MOST)


def detail_kept(taken: dataset.Prepared, recon: Float[np.ndarray, 'n s s c'], center: Image) -> float | None:
  """latent.detail_kept of reconstructions of `rows` against the same squares of the photos at their own size, where
  what counts as coarse is as large in the product as in the network's pixels.

  Of sides above 1,024 px that many are taken. None where no photo has more pixels than the network.
  """
  if max(int(taken.boxes[row][2]) for row in rows(taken)) <= taken.geometry.size:
    return None
  return _median(_kept(sample.image, image, center) for sample, image in zip(_own(taken), recon, strict=True)
                 if sample.image is not None)


def defects_kept(taken: dataset.Prepared, recon: Float[np.ndarray, 'n s s c'], center: Image) -> float | None:
  """The same of what is marked as defective; None where nothing is."""
  return _median(_kept(sample.image, image, center, [sample.mask])
                 for sample, image in zip(_own(taken), recon, strict=True)
                 if sample.image is not None and sample.mask is not None and sample.mask.any())


def _median(shares):
  known = [*shares]
  return float(np.median(known)) if known else None


def _kept(photo, image, center, masks=None):
  side = len(photo)
  return latent.detail_kept([photo], [photos.scale(image, side)], photos.scale(center, side),
                            latent.BLUR * side / len(image), masks)


def _own(taken: dataset.Prepared) -> Iterator[samples.Sample]:
  """The square of each photo at its own size; without an image where it has changed since."""
  for row in rows(taken):
    side = int(np.clip(taken.boxes[row][2], taken.geometry.size, _LARGEST))
    yield samples.read(taken.records[row], tiles.Tiling(dataclasses.replace(taken.geometry, size=side)))
