"""What was changed in photos by inpainting: whether it lies on the part, and whether it can be seen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging
from jaxtyping import Bool, Float

from defect_jax.data import part_area, parts, photos, regions
from defect_jax.evaluation import visibility
from defect_jax.imagesets import manifest, writer

_BESIDE = 0.5  # of a mask beside the part: the defect is
_ALWAYS, _FILLED = 0.9, 0.9  # of the photos show the part at a pixel of its box; of the box is such pixels


class _Change(NamedTuple):
  number: int
  source: str
  before: Float[np.ndarray, 's s 3']
  after: Float[np.ndarray, 's s 3']
  mask: Bool[np.ndarray, 's s']
  area: part_area.Area | None
  beside: float | None


def look(made: Sequence[manifest.Made], root: Path, photo_folder: Path, real: Sequence[parts.Record], size: int,
         seed: int) -> dict[str, Any]:
  """Looks at the images of a set in `root` beside their sources; real: photos of real defects, with masks.

  changes_seen: how many images were looked at. beside_part: share of the defects of which more than half lies beside
  the part, None where it fills the photos. part_box: [left, top, width, height] where the part is in all photos, if
  there is such a box. visible: share whose change shows within the mask, compared with the photos before, in squares of
  `size` px around the masks; visible_real: of the real defects by the same measure. None is what cannot be said.
  beside_images, unseen_images: the indices of those that lie beside the part, or show nothing.
  """
  geometry = regions.Geometry(size=size, channels=3, region='mask')
  changes = []
  for row in visibility.evenly(len(made), visibility.count_of(size)):
    try:
      changes.append(_change(made[row], root, photo_folder, geometry))
    except photos.PhotoError as error:
      logging.warning('not looked at: %s', error)
  areas = {change.source: change.area for change in changes}
  result: dict[str, Any] = dict.fromkeys(('beside_part', 'part_box', 'visible', 'visible_real'))
  result |= {'changes_seen': len(changes), 'beside_images': [], 'unseen_images': []}
  if part_area.clear(list(areas.values())):
    judged = [change for change in changes if change.beside is not None]
    result['beside_images'] = [change.number for change in judged if change.beside > _BESIDE]
    result['beside_part'] = len(result['beside_images']) / len(judged)
    result['part_box'] = _box([area for area in areas.values() if area is not None])
  sources = [change.source for change in changes]
  if not visibility.enough(sources):
    return result
  before, after, masks = (np.stack([getattr(change, name) for change in changes])
                          for name in ('before', 'after', 'mask'))
  usual = visibility.Usual(before, sources, masks, seed)
  visible = usual.scores(after, sources, masks) > usual.threshold
  result['visible'] = float(np.mean(visible))
  result['unseen_images'] = [change.number for change, shows in zip(changes, visible, strict=True) if not shows]
  if squares := _real(real, geometry):
    images, real_masks = map(np.stack, zip(*squares, strict=True))
    result['visible_real'] = usual.share(images, [''] * len(images), real_masks)
  return result


def _change(image, root, photo_folder, geometry):
  photo = photos.decode(photo_folder / str(image.source), str(image.source), image.bits or 16)
  after, mask = (writer.read_levels(root / name) for name in (image.file, image.mask))
  before, box = regions.place(photo, mask > 0, geometry, image.file)
  area = part_area.of_photo(photo)
  return _Change(image.index, str(image.source), before, regions.place(after, mask > 0, geometry, image.file)[0],
                 regions.place_mask(mask > 0, box, geometry), area,
                 None if area is None else part_area.share_beside(area, mask > 0))


def _real(records, geometry):
  """[(square, mask)] of real defects, evenly drawn."""
  squares = []
  for row in visibility.evenly(len(records), visibility.count_of(geometry.size)):
    try:
      photo = records[row].decode()
      mask = records[row].annotation.read(photo.shape[:2])
      square, box = regions.place(photo, mask, geometry, records[row].file)
    except photos.PhotoError as error:
      logging.warning('not looked at: %s', error)
      continue
    squares.append((square, regions.place_mask(mask, box, geometry)))
  return squares


def _box(areas):
  """The box that nearly all areas fill; None where the photos differ in size, or the part in place."""
  if len({area.shape for area in areas}) > 1:
    return None
  always = np.mean(areas, 0) >= _ALWAYS
  if not always.any():
    return None
  rows, columns = np.flatnonzero(always.any(1)), np.flatnonzero(always.any(0))
  box = int(columns[0]), int(rows[0]), int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1
  filled = always[box[1]:box[1] + box[3], box[0]:box[0] + box[2]].mean()
  return list(box) if filled >= _FILLED else None
