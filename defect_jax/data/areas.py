"""Square areas of photos with what is marked in them: what an inpainting model learns from and is measured against."""

import collections
import contextlib
import dataclasses
from concurrent import futures

import numpy as np
import threadpoolctl
from scipy import ndimage

from defect_jax.config import UserError
from defect_jax.data import dataset, photos, regions
from defect_jax.data.salience import Salience

GOOD = 'good'
_THREADS = 2
_USUAL = 200  # good photos that unmarked defects are unusual beside
_BOXES, _TOP = 8, 0.05  # squares of which the one is taken whose most unusual twentieth is the most unusual
_JOINED = 4  # px; marks nearer than twice this are one defect
_EIGHT = np.ones((3, 3), bool)  # neighbours in a mask


@dataclasses.dataclass(frozen=True)
class Area:
  """A square of a photo, scaled.

  Attributes:
    image: uint8 `[S, S, 3]`. mark: bool `[S, S]`, the defect; all False where the photo has no mask.
    label: class. file, group: of the photo. salience: float32 `[S, S]`, where a defect most likely is (see
      salience.py); None in good photos and where the defect is marked.
  """
  image: np.ndarray
  mark: np.ndarray
  label: str
  file: str
  group: str
  salience: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Crop:
  """How areas are laid.

  Attributes:
    size: side of an area in pixels, scaled.
    context: (from, to), side of the square over the longer side of the defect in its middle, where there is a mask;
      squares are never smaller than `size`, so that a small defect isn't scaled up.
    share: (from, to), side over the photo's shorter side, where there is none.
  """
  size: int
  context: tuple[float, float]
  share: tuple[float, float]

  def __post_init__(self):
    for key, least in (('context', 1), ('share', 0)):
      pair = getattr(self, key)
      if len(pair) != 2 or not least <= pair[0] <= pair[1] or pair[1] == 0:
        raise UserError(f'data.{key} = {pair}: give two numbers of at least {least}, the smaller first')


def records(source, path, cell_type, part, classes, few_shot, seed):
  """The records of a part to use by class, {class: [Record]}, and notes; opens no photo.

  `few_shot`: of each defect class so many, drawn by `seed`; 0 takes all, and of good photos all are taken anyway.
  UserError for a class that is not there or has a single photo, which leaves nothing to vary.
  """
  listed, chosen, notes = dataset.list_photos(source, path, cell_type), {}, []
  for name in classes:
    found, more = dataset.choose(listed, part, (name,), 0 if name == GOOD else few_shot, seed)
    chosen[name] = found
    notes += more
  return chosen, notes


def draw(chosen, counts, view, seed, max_broken=0.):
  """Draws areas of photos.

  Args:
    chosen: {class: [Record]}. counts: {class: areas}; the photos of a class take turns. view: Crop. seed: int.
    max_broken: share of the photos that may be unusable; they are skipped, and others take their turns.

  Returns ([Area] in the order of classes, files and turns, notes). A photo's areas follow from seed and its file's
  name; of a defect that is not marked also from the good photos, beside which it is unusual. UserError where more are
  broken, or a class has less than 2 usable photos.
  """
  sides, salience = _Sides(), _salience(chosen)
  areas, broken, total = [], [], 0
  for name in sorted(chosen, key=lambda name: name == GOOD):  # good ones last: they are as large as the defects'
    found, reasons = _of_class(chosen[name], counts[name], view, seed, sides, salience)
    broken += reasons
    total += len(chosen[name])
    if len({area.file for area in found}) < 2 <= counts[name]:
      reason = f': {reasons[0][0]}: {reasons[0][1]}' if reasons else ''
      raise UserError(f'data: the class {name} has less than 2 usable photos{reason}; add photos or leave it out')
    areas += found
  dataset.check_broken(broken, total, max_broken)
  return areas, [f'skipped {file}: {reason}' for file, reason in broken]


class _Sides:
  """Sides of the squares around defects so far, over the photo's shorter side."""

  def __init__(self):
    self.known = []


def _salience(chosen):
  """The Salience of the photos; None where all defects are marked."""
  if all(record.mask for name, found in chosen.items() for record in found if name != GOOD):
    return None
  shown = []
  for record in chosen.get(GOOD, [])[:_USUAL]:
    with contextlib.suppress(photos.PhotoError):  # a broken one is reported when its own turn comes
      shown.append(photos.to_channels(photos.decode(record.photo, record.file), 3))
  return Salience(shown)


def _of_class(found, count, view, seed, sides, salience):
  turns = collections.Counter(index % len(found) for index in range(count))
  typical = tuple(sides.known)

  def one(row):
    record = found[row]
    try:
      rng = np.random.default_rng([seed, *record.file.encode()])
      return _of_photo(record, turns[row], view, rng, typical, salience)
    except photos.PhotoError as error:
      return record.file, error.reason if error.name == record.file else str(error)

  with threadpoolctl.threadpool_limits(1, 'blas'), futures.ThreadPoolExecutor(_THREADS) as pool:
    results = list(pool.map(one, sorted(turns)))
  broken = [result for result in results if isinstance(result, tuple)]
  lots = [result for result in results if not isinstance(result, tuple)]
  usable = [found[row] for row, result in zip(sorted(turns), results, strict=True) if not isinstance(result, tuple)]
  if broken and (others := usable + found[len(turns):]):  # they take the turns
    areas, more = _of_class(others, count, view, seed, sides, salience)
    return areas, broken + more
  for lot in lots:
    sides.known += [side for _, side, masked in lot if masked]
  return [area for lot in lots for area, _, _ in lot], broken


def _of_photo(record, count, view, rng, typical, salience):
  """[(Area, side over the photo's shorter side, whether around a mask)] of a photo; PhotoError."""
  photo = photos.decode(record.photo, record.file)
  mark = regions.marked(photos.decode(record.mask, f'mask of {record.file}')) if record.mask else None
  shorter, shape = min(photo.shape[:2]), photo.shape[:2]
  defects = _defects(mark, shape, record.file) if mark is not None and record.label != GOOD else []
  unmarked = record.label != GOOD and not defects
  where = salience(photos.to_channels(photo, 3)) if unmarked else None
  lot = []
  for turn in range(count):
    if defects:
      box = _around(defects[turn % len(defects)], shape, rng.uniform(*view.context), view.size, rng)
    else:
      share = typical[int(rng.integers(len(typical)))] if typical else rng.uniform(*view.share)
      side = min(max(round(share * shorter), min(view.size, shorter)), shorter)
      boxes = [tuple(int(rng.integers(0, length - side + 1)) for length in shape) + (side,)
               for _ in range(_BOXES if unmarked else 1)]
      box = max(boxes, key=lambda box: _peak(where[_cut(box)])) if unmarked else boxes[0]
    area = _area(photo, mark if defects else None, where, box, view.size, record)
    lot.append((area, box[2] / shorter, bool(defects)))
  return lot


def _defects(mark, shape, name):
  """Slices of the defects of a mask, those close to each other as one; PhotoError for a mask that is of no use."""
  if mark.shape != shape:
    raise photos.PhotoError(name, f'is {shape[1]} x {shape[0]} px, its mask {mark.shape[1]} x {mark.shape[0]} px')
  if not mark.any():
    raise photos.PhotoError(name, 'has an empty defect mask')
  if mark.all():
    raise photos.PhotoError(name, 'is marked all over, so it shows no surroundings')
  joined, _ = ndimage.label(ndimage.binary_dilation(mark, _EIGHT, _JOINED), _EIGHT)
  return ndimage.find_objects(joined * mark)


def _around(defect, shape, context, least, rng):
  """(top, left, side) of a square around a defect, which lies anywhere near its middle."""
  longer = max(part.stop - part.start for part in defect)
  side = min(max(round(context * longer), least), *shape)
  corner = []
  for part, length in zip(defect, shape, strict=True):
    spare = side - (part.stop - part.start)
    start = part.start - spare / 2 + rng.uniform(-0.25, 0.25) * max(spare, 0)
    corner.append(int(np.clip(round(start), 0, length - side)))
  return (*corner, side)


def _peak(salience):
  """Mean of the highest twentieth."""
  count = max(1, round(_TOP * salience.size))
  return np.partition(salience, -count, None)[-count:].mean()


def _cut(box):
  top, left, side = box
  return np.s_[top:top + side, left:left + side]


def _area(photo, mark, where, box, size, record):
  cut = _cut(box)
  image = photos.scale(photos.to_channels(photo[cut], 3), size)
  shown = np.zeros((size, size), bool) if mark is None else photos.scale_mask(mark[cut], size)
  salience = None if where is None else photos.scale(where[cut][..., None] / max(where.max(), 1e-6), size)[..., 0]
  return Area(np.rint(image * 255).astype(np.uint8), shown, record.label, record.file, record.group, salience)
