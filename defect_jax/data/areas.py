"""Square areas of photos with what is marked in them: what an inpainting model learns from and is measured against."""

import collections
import contextlib
import dataclasses
import os
from collections.abc import Mapping, Sequence
from concurrent import futures
from typing import Any

import numpy as np
import threadpoolctl
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

from defect_jax.config import UserError
from defect_jax.data import dataset, listing, parts, photos
from defect_jax.data.parts import GOOD
from defect_jax.data.salience import Salience

_THREADS = 2
_USUAL = 200  # good photos that unmarked defects are unusual beside
_BOXES, _TOP = 8, 0.05  # squares of which the one is taken whose most unusual twentieth is the most unusual
_JOINED = 4  # px; masks nearer than twice this are one defect
_EIGHT = np.ones((3, 3), bool)  # neighbours in a mask


@dataclasses.dataclass(frozen=True)
class Area:
  """A square of a photo, scaled.

  mask: the defect; all False where the photo has no annotation. label: class. file, group: of the photo.
  salience: where a defect most likely is (see salience.py); None in good photos and where the defect is marked.
  """
  image: UInt8[np.ndarray, 's s 3']
  mask: Bool[np.ndarray, 's s']
  label: str
  file: str
  group: str
  salience: Float[np.ndarray, 's s'] | None = None


@dataclasses.dataclass(frozen=True)
class Crop:
  """How areas are laid.

  size: side of an area in pixels, scaled. context: (from, to), side of the square over the longer side of the defect in
  its middle, where there is a mask; squares are never smaller than `size`, so that a small defect isn't scaled up.
  share: (from, to), side over the photo's shorter side, where there is none.
  """
  size: int
  context: tuple[float, float]
  share: tuple[float, float]

  def __post_init__(self) -> None:
    for key, least in (('context', 1), ('share', 0)):
      pair = getattr(self, key)
      if len(pair) != 2 or not least <= pair[0] <= pair[1] or pair[1] == 0:
        raise UserError(f'data.{key} = {pair}: give two numbers of at least {least}, the smaller first')


def records(*, source: str, part: str, classes: Sequence[str], few_shot: int, seed: int,
            path: str | os.PathLike | None = None, **others: Any) -> tuple[dict[str, list[parts.Record]], list[str]]:
  """The records, by class, and notes that the values of a config's `data` group describe; opens no photo.

  `few_shot`: so many of each defect class, drawn by `seed`; 0 takes all, and good photos are all taken anyway.
  Raises UserError for a class that is not there or has a single photo, which leaves nothing to vary.
  """
  listed, chosen, notes = listing.list_photos(source, path, **others), {}, []
  for name in classes:
    chosen[name], more = listing.choose(listed, part, (name,), 0 if name == GOOD else few_shot, seed)
    notes += more
  return chosen, notes


def draw(chosen: Mapping[str, list[parts.Record]], counts: Mapping[str, int], crop: Crop, seed: int,
         max_broken: float = 0.) -> tuple[list[Area], list[dataset.Skipped]]:
  """Draws `counts` areas of each class of photos, which take turns.

  Of the photos the share `max_broken` may be unusable; they are skipped, and others take their turns. Returns the areas
  in the order of classes, files and turns. A photo's areas follow from seed and its file's name; of a defect that is
  not marked also from the good photos, beside which it is unusual. Raises UserError if more photos are broken, or a
  class has less than 2 usable photos.
  """
  salience = _salience(chosen)
  sides = []  # of the squares around defects so far, over the photo's shorter side
  areas, skipped = [], []
  for name in sorted(chosen, key=lambda name: name == GOOD):  # good ones last: they are as large as the defects'
    drawn, broken = _of_class(chosen[name], counts[name], crop, seed, sides, salience)
    skipped += broken
    if len({area.file for area in drawn}) < 2 <= counts[name]:
      reason = f': {broken[0].file}: {broken[0].reason}' if broken else ''
      raise UserError(f'data: the class {name} has less than 2 usable photos{reason}; add photos or leave it out')
    areas += drawn
  dataset.check_skipped(skipped, sum(map(len, chosen.values())), max_broken)
  return areas, skipped


def _salience(chosen):
  """The Salience of the photos; None where all defects are marked."""
  if all(record.annotation for name, own in chosen.items() for record in own if name != GOOD):
    return None
  good = []
  for record in chosen.get(GOOD, [])[:_USUAL]:
    with contextlib.suppress(photos.PhotoError):  # a broken one is reported when its own turn comes
      good.append(photos.to_channels(record.decode(), 3))
  return Salience(good)


def _of_class(records, count, crop, seed, sides, salience):
  """([Area], [Skipped]) of the photos of a class."""
  turns = collections.Counter(index % len(records) for index in range(count))
  typical = tuple(sides)

  def draws_of(record, turns):
    try:
      rng = np.random.default_rng([seed, *record.file.encode()])
      return _of_photo(record, turns, crop, rng, typical, salience)
    except photos.PhotoError as error:
      return dataset.Skipped(record.file, error.told_of(record.file))

  with threadpoolctl.threadpool_limits(1, 'blas'), futures.ThreadPoolExecutor(_THREADS) as pool:
    results = list(pool.map(lambda row: draws_of(records[row], turns[row]), range(len(turns))))
  broken = [result for result in results if isinstance(result, dataset.Skipped)]
  usable = [record for record, result in zip(records, results, strict=False) if result not in broken]
  if broken and (others := usable + records[len(turns):]):  # they take the turns
    areas, more = _of_class(others, count, crop, seed, sides, salience)
    return areas, broken + more
  drawn = [draw for result in results if result not in broken for draw in result]
  sides += [side for _, side, masked in drawn if masked]
  return [area for area, _, _ in drawn], broken


def _of_photo(record, count, crop, rng, typical, salience):
  """[(Area, side over the photo's shorter side, whether around a mask)] of a photo; PhotoError."""
  photo = record.decode()
  shorter, shape = min(photo.shape[:2]), photo.shape[:2]
  mask = record.annotation.read(shape) if record.annotation else None
  defects = _defects(mask, record.file) if mask is not None and record.label != GOOD else []
  unmarked = record.label != GOOD and not defects
  where = salience(photos.to_channels(photo, 3)) if unmarked else None
  areas = []
  for turn in range(count):
    if defects:
      box = _around(defects[turn % len(defects)], shape, rng.uniform(*crop.context), crop.size, rng)
    else:
      share = typical[int(rng.integers(len(typical)))] if typical else rng.uniform(*crop.share)
      side = min(max(round(share * shorter), min(crop.size, shorter)), shorter)
      boxes = [tuple(int(rng.integers(0, length - side + 1)) for length in shape) + (side,)
               for _ in range(_BOXES if unmarked else 1)]
      box = boxes[0] if where is None else max(boxes, key=lambda box: _peak(where[_cut(box)]))
    area = _area(photo, mask if defects else None, where, box, crop.size, record)
    areas.append((area, box[2] / shorter, bool(defects)))
  return areas


def _defects(mask, name):
  """Slices of the defects of a mask, those close to each other as one; PhotoError for a mask that is of no use."""
  if not mask.any():
    raise photos.PhotoError(name, 'has an empty defect mask')
  if mask.all():
    raise photos.PhotoError(name, 'is marked all over, so it shows no surroundings')
  joined, _ = ndimage.label(ndimage.binary_dilation(mask, _EIGHT, _JOINED), _EIGHT)
  return ndimage.find_objects(joined * mask)


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


def _area(photo, mask, where, box, size, record):
  cut = _cut(box)
  image = photos.scale(photos.to_channels(photo[cut], 3), size)
  placed = np.zeros((size, size), bool) if mask is None else photos.scale_mask(mask[cut], size)
  salience = None if where is None else photos.scale(where[cut][..., None] / max(where.max(), 1e-6), size)[..., 0]
  return Area(np.rint(image * 255).astype(np.uint8), placed, record.label, record.file, record.group, salience)
