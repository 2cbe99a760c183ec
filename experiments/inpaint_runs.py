"""Finished runs of configs/inpaint_train.py, as the studies look at them: their areas, their places, their pipeline."""

import dataclasses
import functools

import jax
import numpy as np

from configs import inpaint
from defect_jax.augmentation import selection
from defect_jax.config import UserError
from defect_jax.diffusion import pipeline
from defect_jax.evaluation import generation
from defect_jax.runs.folder import Workdir
from defect_jax.tasks.inpaint_train import material, measures
from defect_jax.tasks.inpaint_train.learners import PIPELINE
from defect_jax.training.trainer import as_tree


class Finished:
  """A finished run of a full pipeline (not of LoRA).

  Attributes: workdir: Workdir. config, summary: its. texts: material.Texts. train, dev: Dataset of areas of the pool,
  and of those that are held out. places: measures.Places.
  """

  def __init__(self, root, images=None, guidance=None, among=1, areas=None):
    """images, guidance, areas: how many places, how they are filled, and how many areas of the pool they are taken
    from; as the run had it, if None. among: see measures.places. UserError for any other folder."""
    self.workdir = Workdir(root)
    self.config, self.summary = self.workdir.read_config(), self.workdir.read_summary()
    if self.config is None or self.summary is None or self.config.task != 'inpaint_train':
      raise UserError(f'{root}: holds no finished run of configs/inpaint_train.py; name the workdir of one')
    with self.config.unlocked():
      self.config.measure.guidance = guidance or self.config.measure.guidance
    self.texts = material.Texts(self.config)
    data = self.config.data
    self.train = material.open_areas(self.config, data.part, data.few_shot, areas or data.areas, flip=True)
    self.dev = material.open_areas(self.config, self.config.measure.part, 0, None, flip=False)
    self.places = measures.places(material.good(self.train), material.defects(self.train), self.texts,
                                  images or self.config.measure.images, self.config.seed, among)

  @functools.cached_property
  def _model(self):
    return pipeline.load(str(self.workdir.path(PIPELINE)), self.config.dtype)

  @functools.cached_property
  def _params(self):
    return as_tree(self._model.params)

  @functools.cached_property
  def _filler(self):
    return measures.Inpainter(self.config, self._model, self.texts, self.places)

  @functools.cached_property
  def _refiller(self):
    own = dataclasses.replace(self.places, images=self.places.donors)
    return measures.Inpainter(self.config, self._model, self.texts, own)

  def filled(self, labels=None):
    """Places filled by the pipeline, float32 `[N, S, S, 3]`; `labels`: other classes to ask for than the masks'."""
    return self._by(self._filler, labels)

  def refilled(self, labels=None):
    """As `filled`, but in the real defects' own areas, of which what is marked is made anew."""
    return self._by(self._refiller, labels)

  def _by(self, filler, labels):
    texts = None if labels is None else self.texts.rows(labels)
    return filler(self._params, len(self.places.labels), texts)

  def reconstructed(self, images):
    """Images as the autoencoder gives them back, float32 `[N, S, S, 3]` in [0, 1] of such."""
    model, size = self._model, self.config.measure.batch
    hidden = [np.zeros(images.shape[1:3], bool)] * len(images)  # nothing, so that the masked photo is the whole one
    latents = np.stack([one.masked for one in model.encode_photos(list(images), hidden, original=False)])
    decode = jax.jit(model.decode)
    return np.concatenate([decode(model.params, latents[first:first + size])
                           for first in range(0, len(latents), size)])

  def selected(self, candidates):
    """(places filled as `filled`, of so many candidates for each the one that reads as asked, whether it passes `[N]`):
    by selection.DefectFilter, with the quantile of configs/inpaint.py.

    What reads as what is told by the areas that were trained on, one of each photo.
    """
    square = functools.partial(measures.squares, margin=self.config.measure.margin, size=self.config.measure.size)
    real = self.train.only([self.train.files.index(file) for file in dict.fromkeys(self.train.files)])
    features = generation.features_of(square(real.images(), real.masks))
    reading = selection.DefectFilter(features, real.labels, real.groups, inpaint.get_config().filter.quantile)
    count = len(self.places.labels)
    made = [self._filler(self._params, count, candidate=number) for number in range(candidates)]
    features = [generation.features_of(square(images, self.places.marks)) for images in made]
    chosen, reasons = reading.choose(np.stack(features, 1), self.places.labels)
    return np.stack(made, 1)[np.arange(count), chosen], np.array([selection.passed(of) for of in reasons])

  def against(self):
    """measures.KidReference of the real defects of the run."""
    return measures.KidReference(self.config, *map(material.defects, (self.train, self.dev)))
