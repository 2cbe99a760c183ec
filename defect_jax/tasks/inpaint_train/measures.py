"""Defects made in good photos, against real ones that nothing was trained on, and against simple fillings."""

import dataclasses
import functools

import jax
import numpy as np

from defect_jax.data import photos
from defect_jax.diffusion import masks
from defect_jax.evaluation import generation
from defect_jax.report import grids

_SHOWN = 12  # places in a sample grid
_FEATHER = 2  # px
_LEAST = 16  # px of a target square, before it is scaled
_MOST_TRAINED = 400  # areas trained on that are measured


@dataclasses.dataclass(frozen=True)
class Places:
  """Where defects are tried out: each a good area, marked as a real defect is.

  Attributes:
    images: float32 `[N, S, S, 3]` in [0, 1]. marks: bool `[N, S, S]`. texts: row of the text of each.
    labels: defect of each. donors: float32 `[N, S, S, 3]`, the areas of the real defects that the marks are of.
  """
  images: np.ndarray
  marks: np.ndarray
  texts: np.ndarray
  labels: list
  donors: np.ndarray

  def pasted(self):
    """The simple filling by cut and paste: the donor's pixels where it is marked."""
    return compose(self.images, self.donors, self.marks)


def places(good, defects, texts, count, seed, among=1):
  """Places of `count` defects in turn by class on good areas at random; where there are none, on the defects' own.

  Args:
    good, defects: Dataset of areas of the part that is trained on. texts: material.Texts.
    among: of so many good areas the one is taken that is most like the defect's own area around the mark, so that what
      is only seen at an edge is tried out at an edge.
  """
  rng = np.random.default_rng(seed)
  by_class = {name: np.flatnonzero(np.array(defects.labels) == name) for name in dict.fromkeys(defects.labels)}
  donors = [int(rng.choice(rows)) for _, rows in zip(range(count), _endless(list(by_class.values())), strict=False)]
  under = good if len(good) else defects
  below = [_alike(under, rng.integers(len(under), size=among), defects, donor) for donor in donors]
  labels = [defects.labels[row] for row in donors]
  return Places(under.only(below).images(), defects.masks[donors], texts.rows(labels), labels,
                defects.only(donors).images())


def _alike(good, rows, defects, donor):
  """Of some rows of good areas the one with the least squared difference to a defect's area around its mark."""
  away = np.float32(good.pixels[rows]) - np.float32(defects.pixels[donor])  # [M, S, S, 3]
  return int(rows[np.square(away[:, ~defects.masks[donor]]).sum((1, 2)).argmin()])


def _endless(items):
  while True:
    yield from items


def compose(images, made, marks):
  """`made` laid over `images` `[N, S, S, 3]` where marked, the edges fading outwards."""
  box = (0, 0, *marks.shape[:0:-1])
  alpha = np.stack([masks.feathered(mark, box, _FEATHER, (True,) * 4) for mark in marks])[..., None]
  return (1 - alpha) * images + alpha * made


def squares(images, marks, margin, size):
  """The square around what is marked, `margin` times as wide, scaled: `[N, size, size, 3]` of `[N, S, S, 3]`."""
  whole, cut = images.shape[1], []
  for image, mark in zip(images, marks, strict=True):
    left, top, width, height = masks.bounds(mark)
    side = int(np.clip(round(margin * max(width, height)), min(_LEAST, whole), whole))
    start = [int(np.clip(at + (length - side) // 2, 0, whole - side)) for at, length in ((top, height), (left, width))]
    cut.append(photos.scale(np.float32(image[start[0]:start[0] + side, start[1]:start[1] + side]), size))
  return np.stack(cut)


class Inpainter:
  """Fills places by a pipeline: the same noise each time, and compiled once for all parameters."""

  def __init__(self, config, model, texts, found):
    """model: Pipeline. texts: material.Texts. found: Places."""
    settings = config.measure
    self._config, self._texts, self.places = config, texts, found
    self._encoded = model.encode_photos(list(found.images), list(found.marks), original=False)
    self._sampler = model.sampler((config.data.size,) * 2, settings.batch, 'dpmsolver++', settings.steps,
                                  settings.guidance, 1.0, 'noise')
    self._context = jax.jit(lambda params: model.embed(params, model.ids(texts.all)))

  def __call__(self, params, count, texts=None, candidate=0):
    """The first `count` places filled by parameters {'unet', 'vae', 'text_encoder'}, float32 `[count, S, S, 3]`.

    texts: int `[count]`, rows of other texts than the places'. candidate: another number, another noise.
    """
    texts = self.places.texts if texts is None else texts
    size = self._config.measure.batch
    context = np.asarray(self._context(params['text_encoder']))
    sampler = self._sampler.of({part: params[part] for part in ('unet', 'vae')})
    made = []
    for first in range(0, count, size):
      rows = np.minimum(np.arange(first, first + size), count - 1)
      noise_of = rows + candidate * len(self._encoded)
      made.append(sampler(self._config.seed, noise_of, [self._encoded[row] for row in rows],
                          context[texts[rows]], context[-1]))
    found = self.places
    return compose(found.images[:count], np.concatenate(made)[:count], found.marks[:count])

  def show(self, path, made):
    """Writes a grid: good areas with the mark greyed out above what was made of them."""
    grids.write_png(path, grid(self.places, made))


def grid(found, made):
  """uint8 picture of places: as the model sees them, above what was made; `made` `[n, S, S, 3]`."""
  count = min(len(made), _SHOWN)
  hidden = np.where(found.marks[:count, ..., None], 0.5, found.images[:count])
  return grids.grid([hidden, made[:count]])


def shown():
  """How many places a grid has."""
  return _SHOWN


class KidReference:
  """Measures squares around made defects against those around real ones.

  Attributes: count: real defects that are measured against. kid_of_training: KID of those that were trained on.
  """

  def __init__(self, config, train, real):
    """train, real: Datasets of defects that were trained on and that were not."""
    settings = config.measure
    self._seed = config.seed
    self._square = functools.partial(squares, margin=settings.margin, size=settings.size)
    rows = np.unique(np.linspace(0, len(train) - 1, min(len(train), _MOST_TRAINED)).astype(int))
    self._train, self._real = (self._square(np.float32(images) / 255, marks) for images, marks in (
        (train.pixels[rows], train.masks[rows]), (real.pixels, real.masks)))
    self.count, self.kid_of_training = len(self._real), None
    if self.enough:
      self._features = generation.features_of(self._real)
      self.kid_of_training = generation.kid(generation.features_of(self._train), self._features)

  @property
  def enough(self):
    """Whether there are as many real ones as KID takes."""
    return self.count >= generation.LEAST_REAL

  def kid(self, images, marks):
    """(KID, its 95 % interval) of made areas; None where there are too few real ones."""
    if not self.enough:
      return None, None
    made = generation.features_of(self._square(images, marks))
    return generation.kid(made, self._features), generation.kid_interval(made, self._features, self._seed)

  def newness(self, images, marks):
    """(novelty, memorised fraction) of made areas."""
    made, real = (generation.nearest_of_images(of, self._train) for of in (self._square(images, marks), self._real))
    return generation.novelty(made, real), generation.memorised_fraction(made, real)
