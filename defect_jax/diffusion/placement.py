"""Where a defect is made in a photo: crop, target area, mask, and the canvas that the model works on."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from defect_jax.data import photos
from defect_jax.diffusion import geometry, masks
from defect_jax.diffusion.sources import FixedMask


class Placement(NamedTuple):
  """One place of a photo; boxes in its pixels. bits: of its file, that are used where it has 16."""
  photo: Shaped[np.ndarray, 'h w *c']
  crop: geometry.Box
  target: geometry.Box
  soft_mask: Float[np.ndarray, 'h w']
  canvas: geometry.Canvas
  bits: int = 16

  def files(self, made: Float[np.ndarray, 'H W 3']) -> dict[str, np.ndarray]:
    """The arrays of an image by the keys of writer.FOLDERS; made: what the model made of the canvas."""
    after = geometry.paste(self.photo, made, self.canvas, self.soft_mask)
    return {'file': after, 'mask': np.uint8(self.soft_mask > 0) * 255, 'crop_file': after[masks.slices(self.crop)],
            'difference_file': geometry.difference(photos.to_bits(self.photo, self.bits),
                                                   photos.to_bits(after, self.bits))}


@dataclasses.dataclass(frozen=True)
class Placer:
  """Draws placements.

  fixed: of sources.fixed_mask. real: {defect: masks}. size, scale: of blobs, and of real masks, see masks.random and
  masks.placed. moved: whether real masks are; else each stays where it lies in its own photo.
  """
  settings: geometry.Settings
  kind: str
  fixed: FixedMask | None
  real: Mapping[str, Sequence[masks.RealMask]]
  size: tuple[float, float]
  scale: tuple[float, float]
  moved: bool
  native: int
  multiple: int

  def __call__(self, rng: np.random.Generator, photo: Shaped[np.ndarray, 'h w *c'], name: str, defect: str
               ) -> Placement:
    """A placement of a defect in the photo called `name`."""
    shape = photo.shape[:2]
    mask = self._in_photo(rng, shape, name, defect)
    crop, target = geometry.place(shape, self.settings, rng, name, None if mask is None else masks.bounds(mask))
    if mask is None:
      mask = np.zeros(shape, bool)
      mask[masks.slices(target)] = self._in_area(rng, (target[3], target[2]), defect)
    inside = (target[0] - crop[0], target[1] - crop[1], *target[2:])
    ends = (target[0] == 0, target[1] == 0, target[0] + target[2] == shape[1], target[1] + target[3] == shape[0])
    soft_mask = np.zeros(shape, np.float32)
    soft_mask[masks.slices(crop)] = masks.feathered(mask[masks.slices(crop)], inside, self.settings.feather, ends)
    canvas = geometry.Canvas.of(self.settings, crop, masks.bounds(soft_mask > 0), self.native, self.multiple)
    return Placement(photo, crop, target, soft_mask, canvas)

  @property
  def canvas_size(self) -> tuple[int, int]:
    """(width, height) of every canvas."""
    width, height = self.settings.crop[-2:] if self.settings.mode == 'crop' else (self.native,) * 2
    return -(-width // self.multiple) * self.multiple, -(-height // self.multiple) * self.multiple

  def _in_photo(self, rng, shape, name, defect):
    """The mask of a photo, if it follows from the photo; None if it is drawn within the target area."""
    if self.fixed:
      return self.fixed(shape, name)
    if self.moved:
      return None
    width, height = (side - 2 * self.settings.feather for side in self.settings.crop)
    return masks.fixed(self._real(rng, defect), shape, (height, width))

  def _in_area(self, rng, shape, defect):
    if self.kind == 'box':
      return np.ones(shape, bool)
    if self.kind == 'random':
      return masks.random(rng, shape, *self.size)
    return masks.placed(rng, shape, self._real(rng, defect).mask, *self.scale)

  def _real(self, rng, defect):
    return self.real[defect][int(rng.integers(len(self.real[defect])))]
