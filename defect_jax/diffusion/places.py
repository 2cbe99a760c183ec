"""Places where a pipeline in training makes defects: good areas with the masks of real defects."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from defect_jax.data.dataset import InMemory
from defect_jax.diffusion import masks
from defect_jax.diffusion.pipeline import Pipeline, ids_of
from defect_jax.diffusion.vocabulary import Texts

_FEATHER = 2  # px


@dataclasses.dataclass(frozen=True)
class Places:
  """Good areas, each masked as a real defect is. texts: rows of Texts.all. donors: areas of these real defects."""
  images: Float[np.ndarray, 'n s s 3']
  masks: Bool[np.ndarray, 'n s s']
  texts: Int[np.ndarray, 'n']
  labels: list[str]
  donors: Float[np.ndarray, 'n s s 3']

  def pasted(self) -> Float[np.ndarray, 'n s s 3']:
    """The simple filling by cut and paste: the donor's pixels inside the mask."""
    return compose(self.images, self.donors, self.masks)

  def hidden(self, count: int) -> Float[np.ndarray, 'm s s 3']:
    """The first areas with what is made anew in grey, for pictures."""
    return np.where(self.masks[:count, ..., None], 0.5, self.images[:count])

  @classmethod
  def of(cls, good: InMemory, defects: InMemory, texts: Texts, count: int, seed: int, among: int = 1) -> 'Places':
    """Places of `count` defects in turn by class on random good areas, or, without these, on the defects' own.

    Of `among` good areas the one most like the defect's own is taken: what is seen at edges is tried out at edges.
    """
    assert defects.masks is not None, 'defects have masks'
    rng = np.random.default_rng(seed)
    by_class = [np.flatnonzero(np.array(defects.labels) == name) for name in dict.fromkeys(defects.labels)]
    donors = [int(rng.choice(rows)) for rows in itertools.islice(itertools.cycle(by_class), count)]
    under = good if len(good) else defects
    below = [_most_alike(under, rng.integers(len(under), size=among), defects, donor) for donor in donors]
    chosen = defects.only(donors)
    return cls(under.only(below).images(), defects.masks[donors], texts.rows(chosen.labels), list(chosen.labels),
               chosen.images())


def _most_alike(good, rows, defects, donor):
  """Of some rows of good areas the one with the least squared difference to a defect's area around its mask."""
  away = np.float32(good.pixels[rows]) - np.float32(defects.pixels[donor])  # [m, s, s, 3]
  return int(rows[np.square(away[:, ~defects.masks[donor]]).sum((1, 2)).argmin()])


def compose(images: Float[np.ndarray, 'n s s 3'], made: Float[np.ndarray, 'n s s 3'],
            made_masks: Bool[np.ndarray, 'n s s']) -> Float[np.ndarray, 'n s s 3']:
  """`made` laid over `images` inside the masks, whose edges fade outwards."""
  box = (0, 0, *made_masks.shape[:0:-1])
  soft = np.stack([masks.feathered(mask, box, _FEATHER, (True,) * 4) for mask in made_masks])[..., None]
  return (1 - soft) * images + soft * made


class Inpainter:
  """Fills places by a pipeline, always from the same noise; compiled once for all parameters."""

  def __init__(self, model: Pipeline, texts: Texts, places: Places, *, seed: int, batch: int, steps: int,
               guidance: float):
    self.places, self._seed, self._batch = places, seed, batch
    self._encoded = model.encode_photos(list(places.images), list(places.masks), original=False)
    self._sampler = model.sampler(places.images.shape[1:3], batch, 'dpmsolver++', steps, guidance, 1.0, 'noise')
    self._context = jax.jit(lambda params: model.embed(params, ids_of(model.tokenizer, texts.all)))

  def __call__(self, params: Mapping[str, Any], count: int, texts: Sequence[int] | None = None, candidate: int = 0
               ) -> Float[np.ndarray, 'n s s 3']:
    """The first `count` places filled by parameters {'unet', 'vae', 'text_encoder'}.

    texts: rows of other texts than the places'. candidate: another number, other noise.
    """
    texts, context = self.places.texts if texts is None else texts, np.asarray(self._context(params['text_encoder']))
    sampler = self._sampler.of({part: params[part] for part in ('unet', 'vae')})
    made = []
    for first in range(0, count, self._batch):
      rows = np.minimum(np.arange(first, first + self._batch), count - 1)
      noise = rows + candidate * len(self._encoded)
      made.append(sampler(self._seed, noise, [self._encoded[row] for row in rows], context[texts[rows]], context[-1]))
    return compose(self.places.images[:count], np.concatenate(made)[:count], self.places.masks[:count])
