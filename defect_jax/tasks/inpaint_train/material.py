"""What is learnt from: areas of photos, what of them is made anew, and the texts that go with their classes."""

import dataclasses

import numpy as np

from defect_jax.config import UserError
from defect_jax.data import areas
from defect_jax.diffusion import masks
from defect_jax.evaluation import generation
from defect_jax.tasks import fitting, prompts

_EMPTY = ''  # the text of what is left out


@dataclasses.dataclass(frozen=True)
class Lot:
  """Areas to learn from.

  Attributes:
    images: uint8 `[N, S, S, 3]`. marks: bool `[N, S, S]`, what is made anew. labels: class of each. files, groups: of
      their photos.
  """
  images: np.ndarray
  marks: np.ndarray
  labels: list
  files: list
  groups: list

  def __len__(self):
    return len(self.labels)

  def digest(self):
    """fitting.digest of what is learnt from."""
    return fitting.digest(self.images, self.marks, np.array(self.labels))

  def canvases(self):
    """List of float32 `[S, S, 3]` in [0, 1]."""
    return [np.float32(image) / 255 for image in self.images]

  def good(self):
    """The Lot of the good areas."""
    return self.take([row for row, label in enumerate(self.labels) if label == areas.GOOD])

  def defects(self):
    """The Lot of all others."""
    return self.take([row for row, label in enumerate(self.labels) if label != areas.GOOD])

  def take(self, rows):
    """The Lot of some rows."""
    return Lot(self.images[rows], self.marks[rows],
               *([of[row] for row in rows] for of in (self.labels, self.files, self.groups)))


def open_lot(config, part, few_shot, count, flip):
  """Areas of a part of the photos.

  Args:
    few_shot: photos of a defect class, 0 for all. count: areas, half of them of defects; None, one for each photo, and
      of a class of 50 photos or more at least the 100 that KID is measured against. flip: whether to mirror some.

  Returns (Lot, notes). UserError.
  """
  data = config.data
  chosen, notes = areas.records(data.source, data.path, data.cell_type, part, data.classes, few_shot, config.seed)
  view = areas.Crop(data.size, data.context, data.share)
  counts = _per_photo(chosen) if count is None else _counts(data.classes, count)
  drawn, skipped = areas.draw(chosen, counts, view, config.seed, data.max_broken)
  rng = np.random.default_rng([config.seed, len(drawn)])
  pairs = [_turned(area, config, flip, rng) for area in drawn]
  images, marks = (np.stack(part) for part in zip(*pairs, strict=True))
  good = np.array([area.label == areas.GOOD for area in drawn])
  if not good.all():  # masks as of defects, so that what the mask looks like does not tell whether one is there
    marks[good] = marks[rng.choice(np.flatnonzero(~good), good.sum())]
  told = ([getattr(area, of) for area in drawn] for of in ('label', 'file', 'group'))
  return Lot(images, marks, *told), notes + skipped


def _counts(classes, count):
  """Areas of each class: half for good photos, half for all defects alike."""
  defects = [name for name in classes if name != areas.GOOD]
  if not defects:
    raise UserError('data.classes: names no defect; name those that are to be made')
  of_defects = count // 2 if areas.GOOD in classes else count
  counts = dict.fromkeys(defects, max(2, of_defects // len(defects)))
  return counts | ({areas.GOOD: max(2, count - of_defects)} if areas.GOOD in classes else {})


def _turned(area, config, flip, rng):
  """(image, what is made anew) of an area."""
  image, mark, salience = area.image, area.mark, area.salience
  for axis, on in ((0, config.data.flip_vertical), (1, config.data.flip_horizontal)):
    if flip and on and rng.random() < 0.5:
      image, mark = np.flip(image, axis), np.flip(mark, axis)
      salience = None if salience is None else np.flip(salience, axis)
  of = config.masks
  return image, masks.covering(rng, mark, of.dilate, *of.size, salience, of.tries, of.coarse)


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
