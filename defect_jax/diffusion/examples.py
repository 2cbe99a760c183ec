"""Areas of photos with masks of what is to be made anew: what an inpainting pipeline learns from."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from defect_jax.data import areas
from defect_jax.data.dataset import InMemory
from defect_jax.diffusion import masks
from defect_jax.errors import UserError


def good(examples: InMemory) -> InMemory:
  """Those of good photos."""
  return examples.only([row for row, label in enumerate(examples.labels) if label == areas.GOOD])


def defects(examples: InMemory) -> InMemory:
  """Those of defects."""
  return examples.only([row for row, label in enumerate(examples.labels) if label != areas.GOOD])


def few(examples: InMemory, count: int) -> InMemory:
  """At most `count`, evenly spaced."""
  return examples.only(np.unique(np.linspace(0, len(examples) - 1, min(len(examples), count)).astype(int)))


def load(data: dict[str, Any], drawn: Mapping[str, Any], seed: int, least: int, *, part: str, few_shot: int,
         count: int | None, flip: bool) -> InMemory:
  """Areas of a part of the photos as uint8 with masks of what is made anew; data, drawn: a config's `data` and `masks`.

  count: areas, half of them of defects. None: one for each photo, but at least `least` of a class with half as many.
  """
  chosen, notes = areas.records(**data | {'part': part, 'few_shot': few_shot}, seed=seed)
  counts = {name: max(len(records), least) if len(records) >= least // 2 else len(records)
            for name, records in chosen.items()} if count is None else _counts(data['classes'], count)
  crop = areas.Crop(data['size'], data['context'], data['share'])
  of_photos, skipped = areas.draw(chosen, counts, crop, seed, data['max_broken'])
  rng = np.random.default_rng([seed, len(of_photos)])
  axes = [axis for axis, key in ((0, 'flip_vertical'), (1, 'flip_horizontal')) if flip and data[key]]
  images, anew = (np.stack(arrays) for arrays in zip(*(_flipped(area, axes, rng, drawn) for area in of_photos),
                                                     strict=True))
  is_good = np.array([area.label == areas.GOOD for area in of_photos])
  if not is_good.all():  # masks of defects, so that the look of a mask does not tell whether one is there
    anew[is_good] = anew[rng.choice(np.flatnonzero(~is_good), is_good.sum())]
  labels, files, groups = ([getattr(area, name) for area in of_photos] for name in ('label', 'file', 'group'))
  return InMemory(images, labels, files, groups, masks=anew, skipped=tuple(skipped), notes=tuple(notes))


def _counts(classes, count):
  """Areas of each class: half for good photos, half for all defects alike."""
  of_defects = [name for name in classes if name != areas.GOOD]
  if not of_defects:
    raise UserError('data.classes: names no defect; name those that are to be made')
  half = count // 2 if areas.GOOD in classes else count
  counts = dict.fromkeys(of_defects, max(2, half // len(of_defects)))
  return counts | ({areas.GOOD: max(2, count - half)} if areas.GOOD in classes else {})


def _flipped(area, axes, rng, drawn):
  """(image, what is made anew) of an area, mirrored along some of the axes."""
  image, mask, salience = area.image, area.mask, area.salience
  for axis in axes:
    if rng.random() < 0.5:
      image, mask = np.flip(image, axis), np.flip(mask, axis)
      salience = None if salience is None else np.flip(salience, axis)
  return image, masks.covering(rng, mask, drawn['dilate'], drawn['size'], salience, drawn['tries'], drawn['coarse'])
