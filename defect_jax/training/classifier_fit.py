"""How a classifier is trained on photos and made images, and how those of all folds are."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int
from ml_collections import ConfigDict

from defect_jax import parallel
from defect_jax.data import batches, dataset
from defect_jax.data.dataset import InMemory
from defect_jax.data.splits import Splits
from defect_jax.models import cnn, normalization
from defect_jax.runs.artefacts import Artefact
from defect_jax.runs.folder import Workdir
from defect_jax.runs.forecast import Forecast
from defect_jax.training import callbacks, classifier, fit, loop

FOLDS = Artefact('folds')  # of classifiers that test what the one that stays is trained on
_AT_ONCE = 32  # photos of folds that go through the network together, so that all folds share its program

Measure = Callable[[Float[np.ndarray, 'n k'], Int[np.ndarray, 'n']], tuple[float, dict[str, Any]]]


@dataclasses.dataclass(frozen=True)
class Examples:
  """What a network takes of photos and the made images after them. shown: which of these each row shows; with vgg16
  each has several."""
  inputs: Float[np.ndarray, 'm ...']
  labels: Int[np.ndarray, 'm']
  shown: Int[np.ndarray, 'm']
  real: int  # photos, without made images

  @property
  def count(self) -> int:
    """Of photos and made images."""
    return int(self.shown.max()) + 1


@dataclasses.dataclass(frozen=True)
class Trained:
  """A classifier at its end, and what the summary says of its training."""
  params: dict
  normalizer: normalization.Normalizer
  summary: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Recipe:
  """What a config says of the training. copies: of each image, of vgg16. measure: of logits and labels of held-out
  photos: the loss by which early stopping chooses, and metrics."""
  model: cnn.Classifier
  seed: int
  batch: int
  copies: int
  augmentation: Mapping[str, Any]
  schedule: loop.Schedule
  patience: int
  optimizer: Mapping[str, float]
  measure: Measure

  def examples(self, photos: InMemory, made: InMemory) -> Examples:
    """Of photos and made images."""
    joined, kind = InMemory.joined([photos, made]), self.model.kind
    if kind == 'resnet':
      return Examples(joined.images(), np.asarray(joined.labels), np.arange(len(joined)), len(photos))
    inputs, labels = classifier.augmented_features(joined, self.copies, self.augmentation, self._keys['views'])
    return Examples(inputs, labels, np.tile(np.arange(len(joined)), self.copies), len(photos))

  def train(self, workdir: Workdir, examples: Examples, validation: InMemory, digest: str, *,
            kept: Bool[np.ndarray, 'n'] | None = None, steps: int | None = None, at_once: int | None = None) -> Trained:
    """Trains on class-balanced batches and takes the best parameters by held-out photos, if there are any.

    kept: which of the examples' images are trained on; None: all. steps: instead of the schedule's. at_once: held-out
    photos that go through the network together; None: all.
    """
    rows = np.flatnonzero(np.ones(len(examples.shown), bool) if kept is None else kept[examples.shown])
    real = rows[examples.shown[rows] < examples.real] if self.model.kind == 'resnet' else rows
    normalizer = classifier.normalizer_of(self.model.kind, examples.inputs[real])
    params, keys = jax.device_get(self.model.init(self._keys['params'])), self._keys
    trainer = classifier.trainer_of(self.model, self.augmentation, keys['train'], params, **self.optimizer)
    stopping = self._early_stopping(normalizer, validation, params, at_once)
    members, counts = batches.members_of(examples.labels[rows])
    # As wide as can be, so that trainings on other rows share a program.
    table = np.zeros((len(members), len(examples.labels)), np.int32)
    table[:, :members.shape[1]] = rows[np.asarray(members)]
    schedule = self.schedule if steps is None else dataclasses.replace(self.schedule, total=steps)
    result = fit.fit(workdir, schedule, trainer, trainer.init(params, frozen={'normalizer': normalizer}), {
        'image': examples.inputs, 'label': examples.labels, 'members': table, 'counts': np.asarray(counts)}, digest,
        self.batch, keys['order'], stopping, gather=_gather, draw=_draw)
    step, loss, params = next(((best.step, best.loss, best.params) for best in stopping), (
        None, None, result.state.result))
    return Trained(jax.device_get(params), normalizer, result.speed | {'best_step': step, 'validation_loss': loss})

  @functools.cached_property
  def _keys(self):
    return dict(zip(('params', 'order', 'train', 'views'), jax.random.split(jax.random.key(self.seed), 4), strict=True))

  def _early_stopping(self, normalizer, validation, params, at_once):
    """By the loss on held-out photos, each class counting the same; none where nothing is held out."""
    if not len(validation):
      return []
    inputs, labels = classifier.inputs_of(self.model.kind, validation.images()), np.asarray(validation.labels)
    return [callbacks.EarlyStopping(lambda params: self.measure(
        logits(self.model, params, normalizer, inputs, at_once), labels), params, self.patience)]

  def logits(self, trained: Trained, images: Float[np.ndarray, 'n s s c'], tta_axes: Sequence[tuple[int, ...]]
             ) -> Float[np.ndarray, 'n k']:
    """Means over flipped copies."""
    return np.mean([logits(self.model, trained.params, trained.normalizer, classifier.inputs_of(
        self.model.kind, np.flip(images, axes)), _AT_ONCE) for axes in tta_axes], 0)


def cross_validated(recipe: Recipe, workdir: Workdir, config: ConfigDict, photos: Splits, examples: Examples,
                    made_of: Callable[[Splits, int], InMemory], share: float, tta_axes: Sequence[tuple[int, ...]]
                    ) -> tuple[Float[np.ndarray, 'n k'], list[dict[str, Any]]]:
  """Logits of every photo by a classifier that was trained without its fold, and what each fold's summary says.

  examples: of all photos. made_of: the made images that a fold may be trained on, by its photos and its number from 0
  on. share: of what a fold trains on, for early stopping. A fold is a run in a folder of its own; one that is at its
  end there counts. Raises UserError if it was of other photos, Stopped, Diverged or DiskFull.
  """
  places = [Workdir(workdir.path(FOLDS) / str(number), workdir) for number in range(1, photos.folds + 1)]
  for place in places:
    place.check(config)
  left = [place for place in places if place.finished() is None]
  forecast = Forecast(len(left) + 1, f'{photos.folds} folds and the classifier that stays') if left else None
  pooled, summaries = np.zeros((len(photos.train), len(photos.classes))), []
  for number, place in enumerate(places):
    began, fold = time.monotonic(), photos.fold(number, share, recipe.seed)
    made, place.forecast = made_of(fold, number), forecast
    digest, summary = dataset.digest(fold.train, made, fold.validation, fold.test), place.finished()
    if summary is None:
      print(f'fold {number + 1} of {photos.folds}: {len(fold.train)} photos trained on, {len(fold.validation)} for '
            f'early stopping, {len(fold.test)} tested' + f', {len(made)} made images' * bool(len(made)),
            *(f'note: {note}' for note in fold.notes[len(photos.notes):]), sep='\n', flush=True)
      summary = _fold(recipe, place, fold, photos, examples, made, digest, tta_axes)
      if forecast:
        # The others find what the first has compiled.
        forecast.of_part(time.monotonic() - began - summary['compile_seconds'])
    elif summary['digest'] != digest:
      raise dataset.others('photos or made images')
    pooled[photos.fold_of == number] = summary['logits']
    summaries.append(summary)
  return pooled, summaries


def _fold(recipe, workdir, fold, photos, examples, made, digest, tta_axes):
  """Trains and tests the classifier of a fold, a run of its own; its summary."""
  kept = None
  if len(made):
    examples = recipe.examples(fold.train, made)
  else:
    kept = np.pad(np.isin(photos.train.sha256, fold.train.sha256), (0, examples.count - examples.real))
  with workdir.running():
    workdir.open()
    trained = recipe.train(workdir, examples, fold.validation, digest, kept=kept, at_once=_AT_ONCE)
    summary = trained.summary | {'digest': digest, 'logits': recipe.logits(trained, fold.test.images(), tta_axes),
                                 'seconds': workdir.seconds_spent(), 'made': len(made)}
    workdir.finish(summary)
  return summary


def logits(model: cnn.Classifier, params: Any, normalizer: normalization.Normalizer, inputs: Float[np.ndarray, 'n ...'],
           at_once: int | None = None) -> Float[np.ndarray, 'n k']:
  """Logits of what a network takes; calls of one number `at_once` share a program. None: all."""
  return parallel.in_chunks(functools.partial(_logits, model, params, normalizer), inputs, at_once or len(inputs))


@functools.partial(jax.jit, static_argnums=0)
def _logits(model, params, normalizer, inputs):
  return model.logits(params, normalizer, inputs)


def _gather(data, indices, weights):
  return batches.gather_columns({name: data[name] for name in ('image', 'label')}, indices, weights)


def _draw(data, key, step, batch):
  return batches.balanced(key, step, batch, data['members'], data['counts'])
