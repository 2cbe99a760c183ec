"""Photo -> crop around the target area -> canvas that the model works on -> back into the photo.

Boxes are (left, top, width, height) in pixels of the upright photo, photos uint8 or uint16, canvases in [0, 1].
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8

from defect_jax.data import photos
from defect_jax.diffusion import masks
from defect_jax.errors import UserError

Box = tuple[int, ...]
MODES = ('crop', 'masked')
CROP_STEP = 8  # pixels of a latent: sides of a crop are multiples of it


@dataclasses.dataclass(frozen=True)
class Settings:
  """Which part of a photo is worked on.

  mode: 'crop', the crop at its own resolution; 'masked', the mask's surroundings in it, scaled to the native size.
  crop: a box, or (width, height), which is laid around the target area, or at random without one. target: box of the
  area that may change; (width, height), laid at random in the crop; None, all of the crop. feather: pixels over which
  a mask's edge fades. padding: fewest pixels around the mask in mode masked.
  """
  mode: str
  crop: Box
  target: Box | None
  feather: int
  padding: int

  def __post_init__(self) -> None:
    if len(self.crop) not in (2, 4):
      raise UserError(f'geometry.crop = {self.crop}: give width,height or left,top,width,height')
    if self.target is not None and len(self.target) not in (2, 4):
      raise UserError(f'geometry.target = {self.target}: give left,top,width,height, or width,height, or none')
    for key, box in (('crop', self.crop), ('target', self.target)):
      if box is not None and (min(box[-2:]) < 1 or min(box) < 0):
        raise UserError(f'geometry.{key} = {box}: its sides must be at least 1 and its corner inside the photo')
    if any(side % CROP_STEP for side in self.crop[-2:]):
      raise UserError(f'geometry.crop = {self.crop}: its sides must be multiples of {CROP_STEP}, such as '
                      f'{tuple(max(CROP_STEP, side // CROP_STEP * CROP_STEP) for side in self.crop[-2:])}')
    if self.target is not None and np.greater(self.target[-2:], self.crop[-2:]).any():
      raise UserError(f'geometry.target = {self.target}: is larger than the crop {self.crop[-2:]}; enlarge '
                      'geometry.crop')
    if self.target is not None and len(self.target) == len(self.crop) == 4 and not contains(self.crop, self.target):
      raise UserError(f'geometry.target = {self.target}: reaches beyond the crop {self.crop}; move one of them')


def contains(outer: Box, inner: Box) -> bool:
  """Whether box `inner` lies in box `outer`."""
  return all(o <= i and i + n <= o + m for o, m, i, n in zip(outer[:2], outer[2:], inner[:2], inner[2:], strict=True))


def place(shape: tuple[int, int], settings: Settings, rng: np.random.Generator, name: str, bounds: Box | None = None
          ) -> tuple[Box, Box]:
  """Crop and target area of an image to be made, the second inside the first.

  bounds: bounding box of a mask that is fixed in the photo: the target area, unless settings give one. Raises
  PhotoError if the photo, of `shape` and `name`, does not allow it.
  """
  photo, target = (0, 0, shape[1], shape[0]), settings.target
  if target is None and bounds is not None:
    target = _grown(bounds, settings.feather, photo)
  if target is not None and len(target) == 4 and not contains(photo, target):
    raise photos.PhotoError(name, f'is {shape[1]} x {shape[0]} px, the target area {target} reaches beyond it')
  crop = settings.crop
  if crop[-2] > shape[1] or crop[-1] > shape[0] or (len(crop) == 4 and not contains(photo, crop)):
    raise photos.PhotoError(name, f'is {shape[1]} x {shape[0]} px, the crop {crop} is larger or reaches beyond it')
  if len(crop) == 2:
    crop = _around(target, crop, shape, rng)
  if target is None:
    target = crop
  elif len(target) == 2:
    target = (*(crop[axis] + int(rng.integers(0, crop[2 + axis] - target[axis] + 1)) for axis in (0, 1)), *target)
  if not contains(crop, target):
    raise photos.PhotoError(name, f'has its target area {tuple(target)} outside the crop {tuple(crop)}')
  return tuple(crop), tuple(target)


def _around(target, size, shape, rng):
  """The box of a crop: centred on the target area as far as the photo allows, at random without a fixed one."""
  last = shape[1] - size[0], shape[0] - size[1]
  if target is None or len(target) == 2:
    return (*(int(rng.integers(0, most + 1)) for most in last), *size)
  return (*(min(max(target[a] + (target[2 + a] - size[a]) // 2, 0), last[a]) for a in (0, 1)), *size)


def _grown(box, by, bounds):
  """`box` enlarged on each side, inside `bounds`."""
  low = [max(box[axis] - by, bounds[axis]) for axis in (0, 1)]
  high = [min(box[axis] + box[2 + axis] + by, bounds[axis] + bounds[2 + axis]) for axis in (0, 1)]
  return (*low, high[0] - low[0], high[1] - low[1])


@dataclasses.dataclass(frozen=True)
class Canvas:
  """How a box of a photo becomes what the model works on: scaled to `scaled` (width, height), then continued to the
  right and downwards by reflection to `size` (width, height)."""
  box: Box
  scaled: tuple[int, int]
  size: tuple[int, int]

  @classmethod
  def of(cls, settings: Settings, crop: Box, bounds: Box, native: int, multiple: int) -> 'Canvas':
    """The canvas of an image to be made; bounds: box of all that may change. native, multiple: of the pipeline."""
    if settings.mode == 'crop':
      width, height = (-(-side // multiple) * multiple for side in crop[2:])
      return cls(crop, (crop[2], crop[3]), (width, height))
    grown = _grown(bounds, settings.padding, crop)
    side = max(grown[2:])
    # A square as far as the crop allows, with the mask in its middle.
    corner = [min(max(bounds[a] + (bounds[2 + a] - side) // 2, crop[a]), max(crop[a], crop[a] + crop[2 + a] - side))
              for a in (0, 1)]
    sides = [min(side, crop[2 + a]) for a in (0, 1)]
    scaled = tuple(max(1, round(length * native / max(sides))) for length in sides)
    return cls((*corner, *sides), scaled, (native, native))


def to_canvas(photo: Shaped[np.ndarray, 'h w *c'], canvas: Canvas) -> Float[np.ndarray, 'H W 3']:
  """The pixels of a photo's canvas."""
  image = photos.to_channels(photo[masks.slices(canvas.box)], 3)
  return _continued(photos.scale(image, canvas.scaled[::-1]), canvas, 'reflect')


def mask_to_canvas(mask: Bool[np.ndarray, 'h w'], canvas: Canvas) -> Bool[np.ndarray, 'H W']:
  """The canvas' part of a photo's mask: every pixel that the mask reaches. Nothing beyond `scaled`."""
  return _continued(masks.reduce(mask[masks.slices(canvas.box)], canvas.scaled[::-1]), canvas, 'constant')


def _continued(image, canvas, mode):
  more = [(0, whole - side) for whole, side in zip(canvas.size[::-1], canvas.scaled[::-1], strict=True)]
  return np.pad(image, more + [(0, 0)] * (image.ndim - 2), mode)


def paste(photo: Shaped[np.ndarray, 'h w *c'], made: Float[np.ndarray, 'H W 3'], canvas: Canvas,
          soft_mask: Float[np.ndarray, 'h w']) -> Shaped[np.ndarray, 'h w *c']:
  """The photo with what the model made of its canvas laid over it; equal to it in every bit where soft_mask is 0."""
  made = photos.scale(np.asarray(made)[:canvas.scaled[1], :canvas.scaled[0]], (canvas.box[3], canvas.box[2]))
  made = made if photo.ndim == 3 else photos.grey(made)
  full_scale, region = np.float32(np.iinfo(photo.dtype).max), masks.slices(canvas.box)
  share = soft_mask[region] if photo.ndim == 2 else soft_mask[region][..., None]
  mixed = photo[region] + share * (np.clip(made, 0, 1) * full_scale - photo[region])
  after = photo.copy()
  after[region] = np.where(share > 0, np.rint(np.clip(mixed, 0, full_scale)), photo[region]).astype(photo.dtype)
  return after


def difference(before: Shaped[np.ndarray, 'h w *c'], after: Shaped[np.ndarray, 'h w *c']) -> UInt8[np.ndarray, 'h w']:
  """255 - |before - after| in levels of 8 bits, of the channel that changed most."""
  levels = np.abs(before.astype(np.int64) - after.astype(np.int64)) / (257 if before.dtype == np.uint16 else 1)
  return np.rint(255 - (levels if levels.ndim == 2 else levels.max(-1))).astype(np.uint8)


def changed_outside_mask(before: Shaped[np.ndarray, 'h w *c'], after: Shaped[np.ndarray, 'h w *c'],
                         mask: Shaped[np.ndarray, 'h w']) -> int:
  """How many pixels differ where the mask is 0; all of them if size, depth or mode differ."""
  if before.shape != after.shape or before.dtype != after.dtype:
    return int(np.prod(before.shape[:2]))
  differs = before != after
  return int(np.sum((differs if differs.ndim == 2 else differs.any(-1)) & (mask == 0)))
