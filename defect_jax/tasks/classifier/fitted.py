"""A trained classifier: what it says of photos, where it looks, and how it is kept in its workdir and opened again."""

import dataclasses
import functools
import itertools
import json

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage, special

from defect_jax import parallel
from defect_jax.config import UserError
from defect_jax.models import cnn, features
from defect_jax.runs.atomic import plain, write_atomic
from defect_jax.runs.folder import Workdir
from defect_jax.tasks import fitting
from defect_jax.training import checkpoint

_CHUNK_PIXELS = 2**18  # of one call of a network
_BLUR = 1.5  # px, of saliency maps
_NOISY, _NOISE = 8, 0.1  # copies that a saliency map is the mean of, and their noise over the deviation of the image

_pooled_features = jax.jit(features.pooled_features)


@dataclasses.dataclass(frozen=True)
class Fitted:
  """A trained classifier.

  classes: names, good first. model: cnn.Classifier. params, standard: its. prior: how frequent each class is where it
  is used, `[K]`. mirrors: axes that each copy of a photo is mirrored along of which the logits are the mean.
  temperature: divides the logits. seen: SHA-256 of the photos that it was trained on or chosen by, and of those that
  such images were made from.
  """
  classes: list
  model: cnn.Classifier
  params: dict
  standard: cnn.Standard
  prior: np.ndarray
  mirrors: tuple = ((),)
  temperature: float = 1.
  seen: frozenset = frozenset()

  def logits(self, images, at_once=None):
    """Logits `[N, K]`, NumPy, of images `[N, S, S, C]`, not divided by the temperature.

    at_once: images a call, at most; by default all that memory allows. Calls of one number share a program.
    """
    logits, size = functools.partial(self._logits, *self._learnt), _chunk(images, at_once or len(images))
    return np.mean([parallel.in_chunks(logits, np.flip(images, axes), size) for axes in self.mirrors], 0)

  def probabilities(self, images, at_once=None):
    """Calibrated probabilities `[N, K]` for classes as frequent as `prior`; they were trained as equally frequent."""
    return special.softmax(self.logits(images, at_once) / self.temperature + np.log(self.prior), -1)

  def saliency(self, images):
    """Where the log-odds of being defective would change: `[N, S, S]`, at least 0.

    Mean magnitude of the gradient over noisy copies (Smilkov et al. 2017, "SmoothGrad"), blurred, since what single
    pixels do says little.
    """
    # One call an image: in a loop of XLA's own, convolutions take three times as long on CPUs.
    maps = [self._saliency(*self._learnt, np.float32(image)) for image in images]
    return ndimage.gaussian_filter(np.stack(maps), (0, _BLUR, _BLUR))

  def digest(self):
    """A text that tells classifiers apart."""
    arrays = *jax.tree.leaves((self.params, self.standard)), self.prior, np.float64(self.temperature)
    return fitting.digest(*arrays).tobytes().hex()

  @functools.cached_property
  def _learnt(self):
    """What `_logits` takes first: as arguments, since XLA compiles them into the program otherwise, each time anew."""
    return self.params, self.standard, frozen_of(self.model.kind)

  @functools.cached_property
  def _logits(self):
    return jax.jit(lambda params, standard, frozen, images: self.model.logits(
        params, standard, images if frozen is None else features.pooled_features(frozen, images)))

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

  def save(self, workdir):
    """Writes classifier.json, what the checkpoint's parameters lack."""
    write_atomic(workdir.classifier_json, json.dumps(plain({
        'classes': self.classes, 'temperature': self.temperature, 'center': np.asarray(self.standard.center),
        'scale': np.asarray(self.standard.scale), 'seen': sorted(self.seen)}), allow_nan=False) + '\n')


def frozen_of(kind):
  """Parameters of the network before a classifier of a kind, on the device: VGG16's, None where it takes images."""
  return None if kind == 'resnet' else jax.device_put(features.load('vgg16'))


def prior_of(prevalence, classes):
  """How frequent classes are, `[K]`, where a share `prevalence` of photos is defective, of every defect as many; None:
  all classes alike."""
  if prevalence is None:
    return np.full(classes, 1 / classes)
  defects = classes - 1
  return np.array([1 - prevalence] + [prevalence / defects] * defects)


def mirrors_of(light, mirrored):
  """`mirrors` of Fitted: where `mirrored` every combination of the flips of data.augment."""
  axes = [axis for axis, on in ((1, light.flip_vertical), (2, light.flip_horizontal)) if on and mirrored]
  return tuple(of for count in range(len(axes) + 1) for of in itertools.combinations(axes, count))


def model_of(config, classes):
  """cnn.Classifier of a config; `classes`: how many."""
  data, model = config.data, config.model
  if model.kind == 'vgg16' and data.size < features.SMALLEST['vgg16']:
    raise UserError(f'data.size = {data.size}: vgg16 needs {features.SMALLEST["vgg16"]} px a side')
  shape = (data.size, data.size, data.channels) if model.kind == 'resnet' else (features.POOLED_FEATURES,)
  return cnn.Classifier(model.kind, classes, shape, model.widths, model.blocks, model.hidden, model.dropout,
                        config.dtype)


def open_fitted(root, prevalence=None, mirrored=False):
  """(Fitted, config) of the workdir of a classifier; UserError for any other folder, and for one not at its end.

  prevalence: share of photos that are defective where it is used, None: as its config says. mirrored: whether it
  predicts by mirrored copies, even if its config says no.
  """
  if not root:
    raise UserError('classifier: is not set; name the workdir of a trained one, such as --config.classifier='
                    'runs/classifier')
  workdir = Workdir(root)
  config = workdir.read_config()
  if config is None or config.get('task') != 'classifier':
    what = 'no run (no config.json)' if config is None else f'a run of the task {config.get("task")!r}'
    raise UserError(f'classifier: {root} holds {what}; name the workdir of a trained classifier')
  try:
    kept = json.loads(workdir.classifier_json.read_text())
    standard = cnn.Standard(jnp.float32(kept['center']), jnp.float32(kept['scale']))
    classes, temperature, seen = list(kept['classes']), float(kept['temperature']), frozenset(kept['seen'])
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise UserError(f'classifier: {root} has no usable {workdir.classifier_json.name} ({error}); run it to its end, '
                    'or train it anew') from error
  if workdir.read_summary() is None:
    raise UserError(f'classifier: {root} is not at its end; run its command again first')
  model, found = model_of(config, len(classes)), checkpoint.read(workdir)
  if found is None:
    raise UserError(f'classifier: {root} has no usable checkpoint; train it with the same command again')
  tree = found[1]['state']
  like = jax.eval_shape(model.init, jax.random.key(0))
  try:
    params = flax.serialization.from_state_dict(like, tree['watch'].get('params') or tree['descent']['average'])
    if jax.tree.map(jnp.shape, params) != jax.tree.map(jnp.shape, like):
      raise ValueError('its parameters are of other shapes')
  except (KeyError, ValueError) as error:
    raise UserError(f'classifier: {root} was saved by another version of defect_jax; train it anew with this one'
                    ) from error
  prior = prior_of(config.get('prevalence') if prevalence is None else prevalence, len(classes))
  mirrors = mirrors_of(config.data.augment, mirrored or config.get('mirrored'))
  return Fitted(classes, model, jax.tree.map(jnp.asarray, params), standard, prior, mirrors, temperature,
                seen), config


def embedded(images):
  """Features `[N, 2560]` of VGG16 of images, NumPy, in chunks."""
  network = functools.partial(_pooled_features, frozen_of('vgg16'))
  return parallel.in_chunks(network, images, _chunk(images, len(images)))


def _chunk(images, most):
  """How many images `[N, S, S, C]` a network takes at once, at most `most`."""
  return max(1, min(most, _CHUNK_PIXELS // (images.shape[1] * images.shape[2])))
