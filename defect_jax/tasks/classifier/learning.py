"""Trains a classifier: class-balanced batches, classic augmentation, early stopping on held-out training photos."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import special

from defect_jax import losses
from defect_jax.data import augment, batches, dataset
from defect_jax.evaluation import classification
from defect_jax.models.cnn import Classifier
from defect_jax.models.normalization import Normalizer
from defect_jax.trained import classifier as trained
from defect_jax.training import callbacks, fit, loop, routing
from defect_jax.training.trainer import Trainer

# Held-out photos of each class that a temperature takes: of 5 defects that were all found it made probabilities of 0.99
# that were right in 9 of 10 cases.
_CALIBRATING = 10


def train(config, workdir, material):
  """Trains in an open workdir; (Fitted, summary of fit.fit). Raises Stopped, Diverged or DiskFull."""
  keys = dict(zip(('params', 'order', 'train', 'views'), jax.random.split(jax.random.key(config.seed), 4), strict=True))
  model, train = trained.model_of(config, len(material.classes)), material.train
  light = config.data.augment.to_dict()
  inputs, labels = train.images(), train.labels
  if model.kind == 'vgg16':
    inputs, labels = views(train, config.model.views, light, keys['views'])
  normalizer = normalizer_of(model.kind, inputs[:len(material.real)] if model.kind == 'resnet' else inputs)
  params = jax.device_get(model.init(keys['params']))
  trainer = trainer_of(config, model, normalizer, light, keys['train'], params)
  stopping = early_stopping(model, normalizer, material.validation, config.validation.patience, params)
  members, counts = members_of(labels)
  draw = functools.partial(batches.balanced, members=members, counts=counts)
  result = fit.fit(
      workdir, loop.Schedule(**config.steps), trainer, trainer.init(params), {'image': inputs, 'label': labels},
      digest(material), config.batch, keys['order'], stopping, gather=rows, draw=draw)
  prior = trained.prior_of(config.prevalence, len(material.classes))
  params = jax.device_get(stopping[0].params if stopping else result.state.result)
  found = trained.ClassifierPredictor(material.classes, model, params, normalizer, prior,
                                      trained.tta_axes_of(config.data.augment, config.mirrored), seen=material.seen)
  held = material.validation
  if len(held) and np.bincount(held.labels, minlength=len(found.classes)).min() >= _CALIBRATING:
    found = dataclasses.replace(found, temperature=classification.temperature(found.logits(held.images()), held.labels))
  found.save(workdir)
  best = {'best_step': stopping[0].step, 'validation_loss': stopping[0].loss} if stopping else {
      'best_step': None, 'validation_loss': None}
  return found, result.speed | best


def digest(material):
  """SHA-256 of what is learnt from, hex."""
  return dataset.digest(material.real, material.made, material.validation)


def rows(data, indices, weights):
  """`gather` of feeds.ResidentFeed: {'image', 'label', 'weight'}."""
  return {'image': data['image'][indices], 'label': data['label'][indices], 'weight': weights}


def members_of(labels):
  """Members `[K, M]` and counts `[K]` of batches.balanced."""
  by_class = [np.flatnonzero(labels == label) for label in range(int(labels.max()) + 1)]
  members = np.zeros((len(by_class), max(map(len, by_class))), np.int32)
  for label, own in enumerate(by_class):
    members[label, :len(own)] = own
  return jnp.asarray(members), jnp.asarray([len(own) for own in by_class], jnp.int32)


def normalizer_of(kind, inputs):
  """Normalizer of training inputs: by channel for images, of one deviation; by feature for features."""
  if kind == 'resnet':
    return Normalizer(jnp.float32(inputs.mean((0, 1, 2))), jnp.float32(max(inputs.std(), 1e-4)))
  return Normalizer(jnp.float32(inputs.mean(0)), jnp.float32(np.maximum(inputs.std(0), 1e-3)))


def views(lot, count, light, key):
  """VGG16's features `[N * count, 2560]` of augmented copies, the first as it is, and their labels."""
  varied = jax.jit(lambda images, keys: augment.augment(images, keys, **light))
  found = [trained.embedded(lot.images())]
  for number in range(1, count):
    slots = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(key, number), jnp.arange(len(lot)))
    found.append(trained.embedded(np.asarray(varied(lot.images(), slots))))
  return np.concatenate(found), np.tile(lot.labels, count)


@dataclasses.dataclass(frozen=True)
class Classification:
  """A trainer.Model of a classifier: images or features with labels in, logits out; light: keywords of augment."""
  model: Classifier
  normalizer: Normalizer
  light: Mapping[str, Any]

  def inputs(self, batch, keys, slots):
    del slots
    image = batch['image']
    for_augment, for_dropout = jax.vmap(jax.random.split, out_axes=1)(keys)
    if self.model.kind == 'resnet':
      image = augment.augment(image, for_augment, **self.light)
    return {'image': image, 'label': batch['label'], 'keys': for_dropout}

  def outputs(self, params, state, batch):
    del state
    return {'logits': self.model.logits(params, self.normalizer, batch['image'], batch['keys'])}


def _right(outputs):
  return (jnp.argmax(outputs['logits'], -1) == outputs['label']).astype(jnp.float32)


def trainer_of(config, model, normalizer, light, key, params):
  """Trainer of the cross entropy by AdamW; weight decay is for matrices and kernels alone."""
  setting = config.optimizer
  optimizer = optax.adamw(setting.lr, weight_decay=setting.weight_decay,
                          mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params))
  return Trainer(Classification(model, normalizer, light),
                 {'loss': losses.CROSS_ENTROPY, 'accuracy': losses.Loss(('logits', 'label'), _right)},
                 routing.whole('loss', params, optimizer), key, decay=setting.average, warm=True)


def early_stopping(model, normalizer, validation, patience, params):
  """[EarlyStopping] by the loss on held-out photos, each class counting the same; [] where there are none."""
  if not len(validation):
    return []
  inputs = trained.embedded(validation.images()) if model.kind == 'vgg16' else validation.images()
  logits_of = jax.jit(lambda params, inputs: model.logits(params, normalizer, inputs))

  def measure(params):
    logits = np.asarray(logits_of(params, inputs))
    loss = classification.log_loss(logits, validation.labels, classification.balanced_weights(validation.labels))
    figures = classification.figures(validation.labels, special.softmax(logits, -1))
    return loss, {'eval/loss': loss, 'eval/balanced_accuracy': figures['balanced_accuracy']}

  return [callbacks.EarlyStopping(measure, params, patience)]
