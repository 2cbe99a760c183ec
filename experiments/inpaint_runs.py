"""Finished runs of configs/inpaint_train.py, as the studies look at them: their areas, their places, their pipeline."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float

from configs import inpaint
from defect_jax import parallel
from defect_jax.augmentation import selection
from defect_jax.diffusion import examples
from defect_jax.diffusion.places import Inpainter, Places
from defect_jax.diffusion.vocabulary import Texts
from defect_jax.evaluation import generation, inpainting
from defect_jax.trained.inpainter import open_inpainter

Images = Float[np.ndarray, 'n s s 3']


class Finished:
  """A finished run of a full pipeline (not of LoRA).

  Attributes:
    workdir, config, summary: of the run. train, dev: areas of the pool, and of those held out. places: see Places.
  """

  def __init__(self, root: str | Path, images: int | None = None, guidance: float | None = None, among: int = 1,
               areas: int | None = None):
    """images, guidance, areas: how many places, how they are filled, and how many areas of the pool they are taken
    from; None: as the run had it. among: see Places.of. Raises UserError for any other folder."""
    self._trained = open_inpainter(root)
    self.workdir, self.config, self.summary = self._trained.workdir, self._trained.config, self._trained.summary
    data, measure, seed = self.config.data, self.config.measure, self.config.seed
    self._texts = Texts(self.config.prompts, data.classes)
    load = functools.partial(examples.load, data.to_dict(), self.config.masks.to_dict(), seed, generation.LEAST_REAL)
    self.train = load(part=data.part, few_shot=data.few_shot, count=areas or data.areas, flip=True)
    self.dev = load(part=measure.part, few_shot=0, count=None, flip=False)
    self.places = Places.of(examples.good(self.train), examples.defects(self.train), self._texts,
                            images or measure.images, seed, among)
    self._inpainter_of = functools.partial(
        Inpainter, self._trained.model, self._texts, seed=seed, batch=measure.batch, steps=measure.steps,
        guidance=guidance or measure.guidance)
    self._square = functools.partial(inpainting.squares, margin=measure.margin, size=measure.size)

  @functools.cached_property
  def _params(self):
    return parallel.to_host(self._trained.model.params)

  @functools.cached_property
  def _inpainter(self):
    return self._inpainter_of(self.places)

  @functools.cached_property
  def _own_inpainter(self):
    return self._inpainter_of(dataclasses.replace(self.places, images=self.places.donors))

  def filled(self, labels: Sequence[str] | None = None) -> Images:
    """Places filled by the pipeline; `labels`: other classes to ask for than the masks'."""
    return self._by(self._inpainter, labels)

  def refilled(self, labels: Sequence[str] | None = None) -> Images:
    """Like `filled`, but in the real defects' own areas, whose masked part is made anew."""
    return self._by(self._own_inpainter, labels)

  def _by(self, inpainter, labels):
    texts = None if labels is None else self._texts.rows(labels)
    return inpainter(self._params, len(self.places.labels), texts)

  def reconstructed(self, images: Images) -> Images:
    """Images as the autoencoder gives them back."""
    model, size = self._trained.model, self.config.measure.batch
    hidden = [np.zeros(images.shape[1:3], bool)] * len(images)  # nothing, so that the masked photo is the whole one
    latents = np.stack([encoded.masked for encoded in model.encode_photos(list(images), hidden, original=False)])
    decode = jax.jit(model.decode)
    return np.concatenate([decode(model.params, latents[first:first + size])
                           for first in range(0, len(latents), size)])

  def selected(self, candidates: int) -> tuple[Images, np.ndarray]:
    """Places filled as `filled`, of so many candidates for each the best, and whether it passes, bool.

    By selection.DefectFilter, with the quantile of configs/inpaint.py, from one trained-on area of each photo.
    """
    real = self.train.only([self.train.files.index(file) for file in dict.fromkeys(self.train.files)])
    features = generation.features_of(self._square(real.images(), real.masks))
    defect_filter = selection.DefectFilter(features, real.labels, real.groups, inpaint.get_config().filter.quantile)
    count = len(self.places.labels)
    made = [self._inpainter(self._params, count, candidate=number) for number in range(candidates)]
    features = [generation.features_of(self._square(images, self.places.masks)) for images in made]
    chosen, reasons = defect_filter.choose(np.stack(features, 1), self.places.labels)
    return np.stack(made, 1)[np.arange(count), chosen], np.array([selection.passed(reason) for reason in reasons])

  def against(self) -> inpainting.KidReference:
    """The real defects of the run."""
    measure = self.config.measure
    return inpainting.KidReference(*map(examples.defects, (self.train, self.dev)), measure.margin, measure.size,
                                   self.config.seed)
