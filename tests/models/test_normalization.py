"""GroupNorm by channels against its definition in NumPy and against Flax's own, forwards and backwards."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from defect_jax.models import normalization


@pytest.fixture
def image():
  return np.float32(np.random.default_rng(0).normal(2., 3., (3, 5, 4, 12)))


@pytest.fixture
def norm(image):
  module = nn.GroupNorm(4, epsilon=1e-3)
  params = module.init(jax.random.key(0), image)['params']
  return module, jax.tree.map(lambda leaf: leaf + jnp.linspace(-0.5, 0.5, 12), params)


def by_channel(module, params, image):
  with nn.intercept_methods(normalization.by_channel):
    return module.apply({'params': params}, image)


def test_each_group_has_mean_0_and_deviation_1_before_scale_and_bias(norm, image):
  module, params = norm
  grouped = np.float64(image).reshape(3, 20, 4, 3)
  mean, variance = (of(grouped, axis=(1, 3), keepdims=True) for of in (np.mean, np.var))
  expected = ((grouped - mean) / np.sqrt(variance + 1e-3)).reshape(image.shape)
  expected = expected * np.asarray(params['scale']) + np.asarray(params['bias'])
  np.testing.assert_allclose(by_channel(module, params, image), expected, atol=1e-5)


def test_gradients_are_those_of_flax(norm, image):
  module, params = norm
  weight = jnp.asarray(np.random.default_rng(1).normal(size=image.shape), jnp.float32)
  ours, flax = (jax.grad(lambda params, image, of=of: (weight * of(params, image)).sum(), (0, 1))(params, image)
                for of in (lambda params, image: by_channel(module, params, image),
                           lambda params, image: module.apply({'params': params}, image)))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), ours, flax)


def test_flax_is_asked_only_where_there_are_no_images(norm, image):
  module, params = norm
  asked = []

  def counted(call, arguments, keywords, context):
    asked.append(arguments[0].ndim)
    return call(*arguments, **keywords)

  with nn.intercept_methods(normalization.by_channel), nn.intercept_methods(counted):
    module.apply({'params': params}, image)
    module.apply({'params': params}, image[:, 0, 0])
  assert asked == [2]


def test_a_half_precision_norm_gives_half_precision(image):
  module = nn.GroupNorm(4, dtype=jnp.bfloat16)
  params = module.init(jax.random.key(0), image)['params']
  made = by_channel(module, params, jnp.asarray(image, jnp.bfloat16))
  assert made.dtype == jnp.bfloat16
  np.testing.assert_allclose(np.float32(made), module.apply({'params': params}, image).astype(np.float32), atol=0.05)
