"""A classifier as what the Trainer trains: images, or VGG16's features of them, and labels in, logits out."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from defect_jax import losses, parallel
from defect_jax.data import augment
from defect_jax.data.dataset import Dataset
from defect_jax.models import features
from defect_jax.models.cnn import Classifier
from defect_jax.models.normalization import Normalizer
from defect_jax.training import routing
from defect_jax.training.routing import Batch, Params
from defect_jax.training.trainer import Trainer, TrainState

_CHUNK_PIXELS = 2**18  # of one call of a network

_pooled_features = jax.jit(features.pooled_features)


@dataclasses.dataclass(frozen=True)
class Classification:
  """A trainer.Model of a classifier, whose state's `frozen` has {'normalizer'}; augmentation: keywords of
  augment.augment, for images."""
  model: Classifier
  augmentation: Mapping[str, Any]

  def inputs(self, batch: Batch, keys: Key[Array, 'b'], slots: Int[Array, 'b']) -> Batch:
    image, (for_augment, for_dropout) = batch['image'], jax.vmap(jax.random.split, out_axes=1)(keys)
    if self.model.kind == 'resnet':
      image = augment.augment(image, for_augment, **self.augmentation)
    return {'image': image, 'label': batch['label'], 'keys': for_dropout}

  def outputs(self, params: Params, state: TrainState, batch: Batch) -> losses.Outputs:
    return {'logits': self.model.logits(params, state.frozen['normalizer'], batch['image'], batch['keys'])}


def trainer_of(model: Classifier, augmentation: Mapping[str, Any], key: Key[Array, ''],
               params: Params, *, lr: float, weight_decay: float, average: float) -> Trainer:
  """Trainer of the cross entropy by AdamW; weight decay is for matrices and kernels alone."""
  optimizer = optax.adamw(lr, weight_decay=weight_decay,
                          mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params))
  accuracy = losses.Loss(('logits', 'label'), lambda outputs: (
      jnp.argmax(outputs['logits'], -1) == outputs['label']).astype(jnp.float32))
  return Trainer(Classification(model, augmentation), {'loss': losses.CROSS_ENTROPY, 'accuracy': accuracy},
                 routing.whole('loss', params, optimizer), key, decay=average, warm=True)


def normalizer_of(kind: str, inputs: Float[np.ndarray, 'n ...']) -> Normalizer:
  """Normalizer of training inputs: by channel for images, of one deviation; by feature for features."""
  if kind == 'resnet':
    return Normalizer(jnp.float32(inputs.mean((0, 1, 2))), jnp.float32(max(inputs.std(), 1e-4)))
  return Normalizer(jnp.float32(inputs.mean(0)), jnp.float32(np.maximum(inputs.std(0), 1e-3)))


def inputs_of(kind: str, images: Float[np.ndarray, 'n s s c']) -> Float[np.ndarray, 'n ...']:
  """What a classifier of a kind takes: the images, or VGG16's features of them."""
  if kind == 'resnet':
    return images
  network = functools.partial(_pooled_features, frozen_of(kind))
  return parallel.in_chunks(network, images, chunk_of(images, len(images)))


def augmented_features(photos: Dataset, copies: int, augmentation: Mapping[str, Any], key: Key[Array, '']
                       ) -> tuple[Float[np.ndarray, 'm 2560'], Int[np.ndarray, 'm']]:
  """VGG16's features of augmented copies of photos, the first as it is, and their labels."""
  varied = jax.jit(lambda images, keys: augment.augment(images, keys, **augmentation))
  images = photos.images()
  each = [inputs_of('vgg16', images)]
  for copy in range(1, copies):
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(key, copy), jnp.arange(len(images)))
    each.append(inputs_of('vgg16', np.asarray(varied(images, keys))))
  return np.concatenate(each), np.tile(photos.labels, copies)


def frozen_of(kind: str) -> Params | None:
  """Parameters of the network before a classifier of a kind, on the device: VGG16's, None where it takes images."""
  return None if kind == 'resnet' else jax.device_put(features.load('vgg16'))


def chunk_of(images: Float[np.ndarray, 'n h w c'], most: int) -> int:
  """How many images a network takes at once, at most `most`."""
  return max(1, min(most, _CHUNK_PIXELS // (images.shape[1] * images.shape[2])))
