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
  return [*dict.fromkeys(np.linspace(0, len(taken) - 1, min(len(taken), _MOST)).astype(int).tolist())]


def detail_kept(taken: dataset.Prepared, recon: Float[np.ndarray, 'n s s c'], center: Image) -> float | None:
  """latent.detail_kept of reconstructions of `rows` against the same squares of the photos at their own size, where
  what counts as coarse is as large in the product as in the network's pixels.

  Of sides above 1,024 px that many are taken. None where no photo has more pixels than the network.
  """
  if max(int(taken.boxes[row][2]) for row in rows(taken)) <= taken.geometry.size:
    return None
  kept = [latent.detail_kept([photo], [photos.scale(image, len(photo))], photos.scale(center, len(photo)),
                             latent.BLUR * len(photo) / len(image))
          for photo, image in zip(_own(taken), recon, strict=True) if photo is not None]
  return float(np.median(kept)) if kept else None


def _own(taken: dataset.Prepared) -> Iterator[Image | None]:
  """The square of each photo at its own size; None for one that has changed since."""
  for row in rows(taken):
    side = int(np.clip(taken.boxes[row][2], taken.geometry.size, _LARGEST))
    geometry = dataclasses.replace(taken.geometry, size=side)
    yield samples.read(taken.records[row], tiles.Tiling(geometry)).image
