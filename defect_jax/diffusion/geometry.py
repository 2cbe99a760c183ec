"""Photo -> crop around the target area -> canvas that the model works on -> back into the photo.

Boxes are (left, top, width, height) in pixels of the upright photo, photos uint8 or uint16 `[H, W]` or `[H, W, 3]`,
canvases float32 `[H, W, 3]` in [0, 1].
"""

import dataclasses

import numpy as np

from defect_jax.config import UserError
from defect_jax.data import photos
from defect_jax.diffusion import masks

MODES = ('crop', 'masked')
CROP_STEP = 8  # pixels of a latent: sides of a crop are multiples of it


@dataclasses.dataclass(frozen=True)
class Settings:
  """Which part of a photo is worked on.

  Attributes:
    mode: 'crop', the crop at its own resolution; 'masked', the mask's surroundings within the crop, scaled to the
      model's native size.
    crop: (width, height), which is laid around the target area, or at random without one; or a box.
    target: box of the area that may change; (width, height), laid at random in the crop; None, all of the crop.
    feather: pixels over which a mask's edge fades.
    padding: least number of pixels around the mask in mode masked.
  """
  mode: str
  crop: tuple[int, ...]
  target: tuple[int, ...] | None
  feather: int
  padding: int

  def __post_init__(self):
    if len(self.crop) not in (2, 4):
      raise UserError(f'geometry.crop = {self.crop}: give width,height or left,top,width,height')
    if self.target is not None and len(self.target) not in (2, 4):
      raise UserError(f'geometry.target = {self.target}: give left,top,width,height, or width,height, or none')
    for key in ('crop', 'target'):
      box = getattr(self, key)
      if box is not None and (min(box[-2:]) < 1 or min(box) < 0):
        raise UserError(f'geometry.{key} = {box}: its sides must be at least 1 and its corner inside the photo')
    if any(side % CROP_STEP for side in self.crop[-2:]):
      raise UserError(f'geometry.crop = {self.crop}: its sides must be multiples of {CROP_STEP}, such as '
                      f'{tuple(max(CROP_STEP, side // CROP_STEP * CROP_STEP) for side in self.crop[-2:])}')
    if self.target is not None and any(a > b for a, b in zip(self.target[-2:], self.crop[-2:], strict=True)):
      raise UserError(f'geometry.target = {self.target}: is larger than the crop {self.crop[-2:]}; enlarge '
                      'geometry.crop')
    if self.target is not None and len(self.target) == len(self.crop) == 4 and not contains(self.crop, self.target):
      raise UserError(f'geometry.target = {self.target}: reaches beyond the crop {self.crop}; move one of them')


def contains(outer, inner):
  """Whether box `inner` lies in box `outer`."""
  return all(o <= i and i + n <= o + m for o, m, i, n in zip(outer[:2], outer[2:], inner[:2], inner[2:], strict=True))


def place(shape, settings, rng, name, marked=None):
  """Crop and target area of an image to be made.

  Args:
    shape: (height, width) of the photo. settings: Settings. rng: NumPy Generator for what is laid at random.
    name: of the photo, for errors. marked: bounding box of a mask that is fixed in the photo; it is the target area
      where settings give none.

  Returns two boxes, the second inside the first. PhotoError where this photo does not allow it.
  """
  photo, target = (0, 0, shape[1], shape[0]), settings.target
  if target is None and marked is not None:
    target = _grown(marked, settings.feather, photo)
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
  corner = []
  for axis, length in enumerate((shape[1], shape[0])):
    last = length - size[axis]
    if target is None or len(target) == 2:
      corner.append(int(rng.integers(0, last + 1)))
    else:
      corner.append(min(max(target[axis] + (target[2 + axis] - size[axis]) // 2, 0), last))
  return (*corner, *size)


def _grown(box, by, bounds):
  """`box` enlarged on each side, inside `bounds`."""
  low = [max(box[axis] - by, bounds[axis]) for axis in (0, 1)]
  high = [min(box[axis] + box[2 + axis] + by, bounds[axis] + bounds[2 + axis]) for axis in (0, 1)]
  return (*low, high[0] - low[0], high[1] - low[1])


@dataclasses.dataclass(frozen=True)
class View:
  """How a box of a photo becomes a canvas: scaled to `size` (width, height), then continued to the right and downwards
  by reflection to `canvas` (width, height)."""
  box: tuple[int, int, int, int]
  size: tuple[int, int]
  canvas: tuple[int, int]


def view(settings, crop, marked, native, multiple):
  """The View of an image to be made.

  Args:
    settings: Settings. crop: box. marked: bounding box, in the photo, of all that may change.
    native: side in pixels that the model was made for. multiple: what the UNet's sides in pixels are multiples of.
  """
  if settings.mode == 'crop':
    return View(crop, crop[2:], tuple(-(-side // multiple) * multiple for side in crop[2:]))
  grown = _grown(marked, settings.padding, crop)
  box = grown[:2] + (max(grown[2:]),) * 2
  # A square as far as the crop allows, with the mask in its middle.
  corner = [min(max(marked[a] + (marked[2 + a] - box[2 + a]) // 2, crop[a]), max(crop[a], crop[a] + crop[2 + a] -
                                                                               box[2 + a])) for a in (0, 1)]
  sides = [min(box[2 + a], crop[2 + a]) for a in (0, 1)]
  size = tuple(max(1, round(side * native / max(sides))) for side in sides)
  return View((*corner, *sides), size, (native, native))


def to_canvas(photo, view):
  """The canvas of a photo."""
  left, top, width, height = view.box
  image = photos.to_channels(photo[top:top + height, left:left + width], 3)
  return _continued(photos.scale(image, view.size[::-1]), view, 'reflect')


def mask_to_canvas(mask, view):
  """The canvas' part of a mask bool `[H, W]` of the photo: every pixel that a mark reaches. Nothing beyond `size`."""
  left, top, width, height = view.box
  return _continued(masks.reduce(mask[top:top + height, left:left + width], view.size[::-1]), view, 'constant')


def _continued(image, view, how):
  more = [(0, canvas - side) for canvas, side in zip(view.canvas[::-1], view.size[::-1], strict=True)]
  return np.pad(image, more + [(0, 0)] * (image.ndim - 2), how)


def paste(photo, canvas, view, alpha):
  """The photo with what was made laid over it.

  Args:
    photo: as decoded. canvas: what the model made of `to_canvas`. view: View.
    alpha: float32 `[H, W]` in [0, 1], of the photo; 0 outside the view's box.

  Returns an array like `photo`, equal to it in every bit where alpha is 0.
  """
  left, top, width, height = view.box
  made = photos.scale(np.asarray(canvas)[:view.size[1], :view.size[0]], (height, width))
  made = made if photo.ndim == 3 else photos.grey(made)
  full_scale = np.float32(np.iinfo(photo.dtype).max)
  region = (slice(top, top + height), slice(left, left + width))
  share = alpha[region] if photo.ndim == 2 else alpha[region][..., None]
  mixed = photo[region] + share * (np.clip(made, 0, 1) * full_scale - photo[region])
  after = photo.copy()
  after[region] = np.where(share > 0, np.rint(np.clip(mixed, 0, full_scale)), photo[region]).astype(photo.dtype)
  return after


def difference(before, after):
  """uint8 `[H, W]`: 255 - |before - after| in levels of 8 bits, of the channel that changed most."""
  levels = np.abs(before.astype(np.int64) - after.astype(np.int64)) / (257 if before.dtype == np.uint16 else 1)
  return np.rint(255 - (levels if levels.ndim == 2 else levels.max(-1))).astype(np.uint8)


def changed_outside_mask(before, after, mask):
  """How many pixels differ where the mask is 0; all of them where size, depth or mode differ."""
  if before.shape != after.shape or before.dtype != after.dtype:
    return int(np.prod(before.shape[:2]))
  differs = before != after
  return int(np.sum((differs if differs.ndim == 2 else differs.any(-1)) & (mask == 0)))
