"""Made defects against real ones, each as a square around its mask: of an image set, and of a pipeline in training."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from jaxtyping import Bool, Float

from defect_jax.data import dataset, parts, photos, regions
from defect_jax.diffusion import examples, masks
from defect_jax.errors import UserError
from defect_jax.evaluation import generation
from defect_jax.imagesets import manifest, writer

Images = Float[np.ndarray, 'n s s 3']
Masks = Bool[np.ndarray, 'n s s']
_LEAST = 16  # px of a square, before it is scaled
_MOST_APART = 120  # whose distances are measured
_MOST_TRAINED = 400  # areas trained on that are measured


def measure(made: Sequence[manifest.Made], root: Path, records: parts.Listing, defects: Sequence[str], part: str,
            against: str, size: int, seed: int) -> dict[str, Any]:
  """generation.measure of a set made of photos of `part` against real defects; all None if there are none. Where none
  are held out, the distances of those of the part from one another say what counts as a copy. Also sample_distance, to
  the real defects of `part`, None without any."""
  geometry, labels = regions.Geometry(size=size, channels=3, region='mask'), {record.label for record in records}
  known = [name for name in defects if name in labels]
  if known and len(known) < len(defects):
    logging.warning('measured against real defects of %s alone: there are none of the others', ', '.join(known))
  real, pool = (_real(known or defects, records, geometry, of_part) for of_part in (against, part))
  measured: dict[str, Any] = {'measured_against': f'{len(real)} real defects of the part {against}',
                              'sample_distance': None}
  if not made or not (len(real) or len(pool)):
    return dict.fromkeys(generation.NAMES) | measured
  squares = [square for image in made if (square := _square(root, image, geometry)) is not None]
  if len(pool):
    measured['sample_distance'] = generation.sample_distance(np.stack(_some(squares)), pool.images(), pool.groups)
  return generation.measure(np.stack(squares), pool.images(), real.images(), seed, groups=pool.groups) | measured


def distance(made: Images, made_masks: Masks, real: dataset.InMemory, margin: float, size: int) -> float | None:
  """generation.sample_distance of made areas to real defects, by the squares around their masks, see `squares`."""
  assert real.masks is not None, 'defects have masks'
  rows = _some(range(len(real)))
  return generation.sample_distance(squares(made, made_masks, margin, size), squares(
      real.only(rows).images(), real.masks[rows], margin, size), [real.groups[row] for row in rows])


def _some(items):
  """At most _MOST_APART of them, evenly drawn."""
  return [items[row] for row in np.unique(np.linspace(0, len(items) - 1, min(len(items), _MOST_APART)).astype(int))]


def _real(classes, records, geometry, part):
  try:
    return dataset.load(source='folder', records=records, part=part, defects=classes, max_broken=1.,
                        **dataclasses.asdict(geometry))
  except UserError as error:
    logging.info('no real defects of part %s to measure against: %s', part, error)
    return dataset.InMemory(np.zeros((0, geometry.size, geometry.size, 3), np.float32))


def _square(root, image, geometry):
  try:
    photo, mask = (writer.read_levels(root / name) for name in (image.file, image.mask))
    return regions.place(photo, mask > 0, geometry, image.file)[0]
  except photos.PhotoError as error:
    logging.warning('not measured: %s', error)
    return None


def squares(images: Images, made_masks: Masks, margin: float, size: int) -> Float[np.ndarray, 'n size size 3']:
  """The square around each mask, `margin` times as wide, scaled to `size`."""
  whole, cut = images.shape[1], []
  for image, mask in zip(images, made_masks, strict=True):
    left, top, width, height = masks.bounds(mask)
    side = int(np.clip(round(margin * max(width, height)), min(_LEAST, whole), whole))
    x, y = (int(np.clip(start, 0, whole - side)) for start in (left + (width - side) // 2, top + (height - side) // 2))
    cut.append(photos.scale(np.float32(image[masks.slices((x, y, side, side))]), size))
  return np.stack(cut)


class KidReference:
  """Real defects that made ones are compared with; `enough`: for KID; kid_of_training: of those trained on."""

  def __init__(self, train: dataset.InMemory, real: dataset.InMemory, margin: float, size: int, seed: int):
    """Takes defects that were trained on, others, and keywords of `squares`."""
    self._seed, self._square = seed, functools.partial(squares, margin=margin, size=size)
    self._train, self._real = (self._square(areas.images(), areas.masks)
                               for areas in (examples.few(train, _MOST_TRAINED), real))
    self.count, self.enough, self.kid_of_training = len(real), len(real) >= generation.LEAST_REAL, None
    if self.enough:
      self._features = generation.features_of(self._real)
      self.kid_of_training = generation.kid(generation.features_of(self._train), self._features)

  def kid(self, images: Images | None, made_masks: Masks) -> tuple[float | None, tuple[float, float] | None]:
    """KID of made areas and its 95 % interval; None if there are too few real ones."""
    if not self.enough:
      return None, None
    made = generation.features_of(self._square(images, made_masks))
    return generation.kid(made, self._features), generation.kid_interval(made, self._features, self._seed)

  def copies(self, images: Images, made_masks: Masks) -> dict[str, Any]:
    """Novelty and memorised fraction of made areas."""
    return generation.copies(self._square(images, made_masks), self._train,
                             generation.nearest_of_images(self._real, self._train))


def realism(reference: KidReference | None, made: Images, pasted: Images, made_masks: Masks,
            before: Callable[[], Images]) -> dict[str, Any]:
  """KID of areas made after training, before it, and by cut and paste, and their novelty; None without a reference."""
  if reference is None:
    return dict.fromkeys(('kid_before', 'kid_after', 'kid_after_ci', 'kid_cutpaste', 'kid_of_training', 'novelty',
                          'memorised_fraction'))
  after, interval = reference.kid(made, made_masks)
  return {'kid_before': reference.kid(before() if reference.enough else None, made_masks)[0], 'kid_after': after,
          'kid_after_ci': interval, 'kid_cutpaste': reference.kid(pasted, made_masks)[0],
          'kid_of_training': reference.kid_of_training, **reference.copies(made, made_masks)}
