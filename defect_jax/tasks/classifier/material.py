"""What a classifier is trained and measured on: real photos by what they are for, and made images beside them."""

import dataclasses

from ml_collections import ConfigDict

from defect_jax.augmentation import made
from defect_jax.data import dataset, splits
from defect_jax.data.dataset import InMemory, Skipped


@dataclasses.dataclass(frozen=True)
class Material:
  """Photos and made images of numbered `classes`, good first; all but `test` may be empty, see splits.Splits.

  skipped: photos and images left out. lines: for the user, those on what was skipped too.
  """
  classes: list[str]
  real: InMemory
  validation: InMemory
  test: InMemory
  made: InMemory
  skipped: list[Skipped]
  lines: list[str]

  @property
  def train(self) -> InMemory:
    return InMemory.joined([self.real, self.made])

  @property
  def seen(self) -> frozenset[str]:
    """SHA-256 of what is trained on, or chosen by, and of what such images were made from."""
    return frozenset(sha256 for of in (self.real, self.made, self.validation) for sha256 in of.sha256 if sha256)


def open_material(config: ConfigDict) -> Material:
  """Material of a config. Raises UserError for what cannot be trained on, before anything is written."""
  data, measured_only = config.data.to_dict(), bool(config.classifier)
  photos = splits.split(part=config.measure.part, share=config.validation.share, seed=config.seed,
                        test_only=measured_only, **data)
  images = photos.train if measured_only else made.load(config.made.sets, config.made.ratio, photos, seed=config.seed,
                                                        **data)
  splits.check_resident((photos.train, photos.validation, photos.test, images), config.data.resident_mb)
  return Material(photos.classes, photos.train, photos.validation, photos.test, images,
                  [*photos.skipped, *images.skipped], dataset.lines(photos, images))
