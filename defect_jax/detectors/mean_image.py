"""The mean image of good tiles in place of a reconstruction."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Self

import jax

from defect_jax.detectors import pca
from defect_jax.detectors.base import Settings, Tiles


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MeanImage(pca.Pca):
  """Maps by a PCA without components."""
  MAPS: ClassVar[Mapping[str, str]] = {'mean_image': 'residual', 'mean_image_normalised': 'normalised'}

  @classmethod
  def fit(cls, good: Tiles, settings: Settings) -> Self:
    return cls.fit_components(good, 0, settings)
