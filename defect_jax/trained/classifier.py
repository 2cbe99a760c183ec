"""A trained classifier: what it says of photos, where it looks, and how it is kept in its workdir and opened again."""

import dataclasses
import functools
import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict
from scipy import ndimage, special

from defect_jax import parallel
from defect_jax.data import regions, tiles
from defect_jax.data.samples import Sample
from defect_jax.detectors.threshold import Threshold
from defect_jax.errors import UserError
from defect_jax.models import cnn, features, normalization
from defect_jax.runs import artefacts, atomic, folder
from defect_jax.trained import base
from defect_jax.training import classifier as training

CLASSIFIER = artefacts.Artefact('classifier.json')
_BRIGHT = 0.99  # quantile of a saliency map that is shown at full strength
_BLUR = 1.5  # px, of saliency maps
_NOISY, _NOISE = 8, 0.1  # copies that a saliency map is the mean of, and their noise over the deviation of the image


@dataclasses.dataclass(frozen=True)
class ClassifierPredictor:
  """A trained classifier, with what is known of the run that it was opened from."""
  classes: list[str]
  model: cnn.Classifier
  params: dict
  normalizer: normalization.Normalizer
  prior: Float[np.ndarray, 'k']  # how frequent each class is where it is used
  tta_axes: tuple[tuple[int, ...], ...] = ((),)  # of flipped copies that logits are averaged over
  temperature: float = 1.  # divides the logits
  seen: frozenset[str] = frozenset()  # SHA-256 of photos it was trained on or chosen by, or that such were made from
  workdir: folder.Workdir | None = None
  config: ConfigDict = dataclasses.field(default_factory=ConfigDict)
  step: int = 0
  threshold: Threshold | None = None
  notes: tuple[str, ...] = ()
  at_once: int = 32  # photos per call of `predict`

  kind: ClassVar[str] = 'classifier'
  good_scores = ()

  def logits(self, images: Float[np.ndarray, 'n s s c'], at_once: int | None = None) -> Float[np.ndarray, 'n k']:
    """Logits, not divided by the temperature. Calls of one number of images share a program."""
    logits, size = functools.partial(self._logits, *self._learnt), training.chunk_of(images, at_once or len(images))
    return np.mean([parallel.in_chunks(logits, np.flip(images, axes), size) for axes in self.tta_axes], 0)

  def probabilities(self, images: Float[np.ndarray, 'n s s c'], at_once: int | None = None) -> Float[np.ndarray, 'n k']:
    """Calibrated probabilities for classes as frequent as `prior`; they were trained as equally frequent."""
    return self.of_logits(self.logits(images, at_once))

  def of_logits(self, logits: Float[np.ndarray, 'n k']) -> Float[np.ndarray, 'n k']:
    """`probabilities` of photos whose logits are known."""
    return special.softmax(logits / self.temperature + np.log(self.prior), -1)

  def log_odds(self, images: Float[np.ndarray, 'n s s c']) -> Float[np.ndarray, 'n']:
    """Of being defective, for classes as frequent as in training."""
    logits = self.logits(images)
    return special.logsumexp(logits[:, 1:], -1) - logits[:, 0]

  def saliency(self, images: Float[np.ndarray, 'n s s c']) -> Float[np.ndarray, 'n s s']:
    """Mean magnitude, at least 0, of the gradient of the log-odds of being defective over noisy copies (Smilkov et al.
    2017, "SmoothGrad"), blurred, since what single pixels do says little."""
    # One call per image: in a loop of XLA's own, convolutions take three times as long on CPUs.
    maps = [self._saliency(*self._learnt, np.float32(image)) for image in images]
    return ndimage.gaussian_filter(np.stack(maps), (0, _BLUR, _BLUR))

  def predict(self, samples: Iterable[Sample], heatmaps: bool) -> Iterator[base.Prediction]:
    """By probabilities of being defective and `saliency`, each with a scale of its own: only places are compared."""
    for batch, images in base.batched(samples, self.at_once):
      maps = self.saliency(images) if heatmaps else [None] * len(batch)
      for sample, probabilities, saliency in zip(batch, self.probabilities(images, self.at_once), maps, strict=True):
        yield base.Prediction(sample, 1 - float(probabilities[0]), self.classes[int(probabilities.argmax())], saliency,
                              1. if saliency is None else scale_of(saliency), probabilities)

  def functions(self) -> dict[str, base.Function]:
    """probabilities: of images, as `probabilities`."""
    def probabilities(learnt, images):
      logits = [self._logits(*learnt['network'], jnp.flip(images, axes)) for axes in self.tta_axes]
      return jax.nn.softmax(sum(logits) / len(logits) / learnt['temperature'] + jnp.log(learnt['prior']))

    learnt = {'network': self._learnt, 'temperature': jnp.float32(self.temperature), 'prior': jnp.float32(self.prior)}
    data = self.config.data
    image = jax.ShapeDtypeStruct((data.size, data.size, data.channels), jnp.float32)
    return {'probabilities': base.Function(probabilities, learnt, image)}

  @functools.cached_property
  def digest(self) -> str:
    return base.digest((self.params, self.normalizer, self.prior, np.float64(self.temperature)))

  @functools.cached_property
  def tiling(self) -> tiles.Tiling:
    """The photo as one image."""
    return tiles.Tiling(regions.Geometry.of(self.config.data))

  @property
  def about(self) -> dict[str, Any]:
    return {'classes': self.classes}

  @functools.cached_property
  def _learnt(self):
    """What `_logits` takes first: arguments, since XLA would compile constants into a program of their own."""
    return self.params, self.normalizer, training.frozen_of(self.model.kind)

  @functools.cached_property
  def _logits(self):
    return jax.jit(lambda params, normalizer, frozen, images: self.model.logits(
        params, normalizer, images if frozen is None else features.pooled_features(frozen, images)))

  @functools.cached_property
  def _saliency(self):
    def log_odds(images, *learnt):
      logits = self._logits(*learnt, images)
      return jnp.sum(jax.nn.logsumexp(logits[:, 1:], -1) - logits[:, 0])

    def one(*arguments):
      *learnt, image = arguments
      noise = _NOISE * jnp.std(image) * jax.random.normal(jax.random.key(0), (_NOISY, *image.shape))
      return jnp.abs(jax.grad(log_odds)(image + noise, *learnt)).mean((0, -1))

    return jax.jit(one)

  def save(self, workdir: folder.Workdir) -> None:
    """Writes classifier.json, what the checkpoint's parameters lack."""
    atomic.write_atomic(workdir.path(CLASSIFIER), json.dumps(atomic.plain({
        'classes': self.classes, 'temperature': self.temperature, 'center': np.asarray(self.normalizer.mean),
        'scale': np.asarray(self.normalizer.std), 'seen': sorted(self.seen)}), allow_nan=False) + '\n')


def prior_of(prevalence: float | None, classes: int) -> Float[np.ndarray, 'k']:
  """How frequent classes are if a share of photos is defective, equally many of each defect; None: all equally."""
  if prevalence is None:
    return np.full(classes, 1 / classes)
  return np.array([1 - prevalence] + [prevalence / (classes - 1)] * (classes - 1))


def tta_axes_of(augment: ConfigDict, on: bool) -> tuple[tuple[int, ...], ...]:
  """`tta_axes`: every combination of the flips in a config's data.augment if it is on, else no flip alone."""
  axes = [axis for axis, flips in ((1, augment.flip_vertical), (2, augment.flip_horizontal)) if flips and on]
  return tuple(chosen for count in range(len(axes) + 1) for chosen in itertools.combinations(axes, count))


def model_of(classes: int, *, size: int, channels: int, dtype: str, kind: str, views: int = 0, **layers: Any
             ) -> cnn.Classifier:
  """The classifier that the values of a config describe; `layers`: keywords of cnn.Classifier."""
  del views
  if kind == 'vgg16' and size < features.SMALLEST['vgg16']:
    raise UserError(f'data.size = {size}: vgg16 needs {features.SMALLEST["vgg16"]} px a side')
  shape = (size, size, channels) if kind == 'resnet' else (features.POOLED_FEATURES,)
  return cnn.Classifier(kind, classes, shape, dtype=dtype, **layers)


def open_classifier(root: Any, *, key: str = 'classifier', prevalence: float | None = None, mirrored: bool = False,
                    threshold: float | None = None, at_once: int = 32) -> ClassifierPredictor:
  """The classifier of a finished run; UserError, which names the config's `key`, for anything else.

  prevalence, threshold: share of photos that are defective where it is used, and probability from which one is called
  defective; None: as its config says. mirrored: whether it predicts by flipped copies, even if its config says no.
  """
  workdir, config = base.read_run(root, key, ('classifier',))
  try:
    kept = json.loads(workdir.path(CLASSIFIER).read_text())
    normalizer = normalization.Normalizer(jnp.float32(kept['center']), jnp.float32(kept['scale']))
    classes, temperature, seen = list(kept['classes']), float(kept['temperature']), frozenset(kept['seen'])
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise UserError(f'{key}: {root} has no usable {CLASSIFIER.name} ({error}); run it to its end, or '
                    'train it anew') from error
  if workdir.read_summary() is None:
    raise UserError(f'{key}: {root} is not at its end; run its command again first')
  model = model_of(len(classes), dtype=config.dtype, size=config.data.size, channels=config.data.channels,
                   **config.model)
  step, params = base.read_checkpoint(workdir, key, lambda tree: base.params_of(
      model, tree['callbacks'].get('params') or tree['state']['average']))
  prevalence = config.get('prevalence') if prevalence is None else prevalence
  threshold = config.threshold if threshold is None else threshold
  if not 0 < threshold < 1:
    raise UserError(f'threshold.value = {threshold:g}: the score of a classifier is a probability; give one above 0 '
                    'and below 1')
  prior = prior_of(prevalence, len(classes))
  notes = (f'{len(classes) - 1} classes of defects count as {1 - prior[0]:.0%} of all photos, above threshold = '
           f'{threshold:g}; set prevalence to the share that is defective',)
  return ClassifierPredictor(
      classes, model, params, normalizer, prior,
      tta_axes_of(config.data.augment, mirrored or config.get('mirrored')), temperature, seen, workdir, config, step,
      Threshold(threshold, 'probability of a defect', None, None),
      notes if prevalence is None and 1 - prior[0] > threshold else (), at_once)


def scale_of(saliency: Float[np.ndarray, 'h w']) -> float:
  """The value of a saliency map that is shown at full strength."""
  return max(float(np.quantile(saliency, _BRIGHT)), 1e-12)
