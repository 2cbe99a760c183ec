"""What is learnt from: areas of photos, what of them is made anew, and the texts that go with their classes."""

import numpy as np

from defect_jax.config import UserError
from defect_jax.data import areas, dataset
from defect_jax.diffusion import masks, prompts
from defect_jax.evaluation import generation

_EMPTY = ''  # the text of what is left out


def good(areas_of):
  """The good ones of a Dataset of areas."""
  return areas_of.only([row for row, label in enumerate(areas_of.labels) if label == areas.GOOD])


def defects(areas_of):
  """All others."""
  return areas_of.only([row for row, label in enumerate(areas_of.labels) if label != areas.GOOD])


def open_areas(config, part, few_shot, count, flip):
  """Areas of a part of the photos: uint8 `[N, S, S, 3]`, with masks of what is made anew, and class names as labels.

  Args:
    few_shot: photos of a defect class, 0 for all. count: areas, half of them of defects; None, one for each photo, and
      of a class of 50 photos or more at least the 100 that KID is measured against. flip: whether to mirror some.

  Returns dataset.InMemory. Raises UserError.
  """
  data = config.data
  chosen, notes = areas.records(**data.to_dict() | {'part': part, 'few_shot': few_shot}, seed=config.seed)
  view = areas.Crop(data.size, data.context, data.share)
  counts = _per_photo(chosen) if count is None else _counts(data.classes, count)
  drawn, skipped = areas.draw(chosen, counts, view, config.seed, data.max_broken)
  rng = np.random.default_rng([config.seed, len(drawn)])
  pairs = [_flipped(area, config, flip, rng) for area in drawn]
  images, masks_of = (np.stack(part) for part in zip(*pairs, strict=True))
  is_good = np.array([area.label == areas.GOOD for area in drawn])
  if not is_good.all():  # masks as of defects, so that what the mask looks like does not tell whether one is there
    masks_of[is_good] = masks_of[rng.choice(np.flatnonzero(~is_good), is_good.sum())]
  labels, files, groups = ([getattr(area, name) for area in drawn] for name in ('label', 'file', 'group'))
  return dataset.InMemory(images, labels, files, groups, masks=masks_of, skipped=tuple(skipped), notes=tuple(notes))


def _counts(classes, count):
  """Areas of each class: half for good photos, half for all defects alike."""
  defects = [name for name in classes if name != areas.GOOD]
  if not defects:
    raise UserError('data.classes: names no defect; name those that are to be made')
  of_defects = count // 2 if areas.GOOD in classes else count
  counts = dict.fromkeys(defects, max(2, of_defects // len(defects)))
  return counts | ({areas.GOOD: max(2, count - of_defects)} if areas.GOOD in classes else {})


def _flipped(area, config, flip, rng):
  """(image, what is made anew) of an area."""
  image, mask, salience = area.image, area.mask, area.salience
  for axis, on in ((0, config.data.flip_vertical), (1, config.data.flip_horizontal)):
    if flip and on and rng.random() < 0.5:
      image, mask = np.flip(image, axis), np.flip(mask, axis)
      salience = None if salience is None else np.flip(salience, axis)
  settings = config.masks
  return image, masks.covering(rng, mask, settings.dilate, *settings.size, salience, settings.tries, settings.coarse)


def _per_photo(chosen):
  least = generation.LEAST_REAL
  return {name: max(len(found), least) if len(found) >= least // 2 else len(found) for name, found in chosen.items()}


class Texts:
  """Every text of the training, the last one empty: what a text left out becomes."""

  def __init__(self, config):
    """UserError for a prompt that is no template."""
    self._templates, self._classes = config.prompts, config.data.classes
    self.all = [prompts.fill(template, name) for name in self._classes for template in self._templates] + [_EMPTY]

  def check(self, ids):
    """UserError where texts of two classes have the same token ids, int `[texts, length]`: the model could not tell
    which class is asked for."""
    count, first = len(self._templates), {}
    for row, of in enumerate(ids[:-1].tolist()):
      name = self._classes[row // count]
      other = first.setdefault(tuple(of), name)
      if other != name:
        raise UserError(f'prompts: {self.all[row]!r} is the same to the model for {other} as for {name}, since it sees '
                        f'the first {ids.shape[1] - 2} tokens alone; put {{defect}} further ahead, or raise '
                        'model.text.length')

  def rows(self, labels):
    """The text of each label, int32 `[N]`; templates take turns."""
    count = len(self._templates)
    return np.int32([self._classes.index(label) * count + row % count for row, label in enumerate(labels)])
