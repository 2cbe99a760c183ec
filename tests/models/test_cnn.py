"""What a classifier's logits depend on."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from defect_jax import losses
from defect_jax.models import cnn
from defect_jax.models.normalization import Normalizer

NORMALIZER = Normalizer(jnp.float32([0.3]), jnp.float32(0.2))


def random_params(model, seed=0):
  """Parameters of a model that is not new: none of them 0."""
  rng = np.random.default_rng(seed)
  return jax.tree.map(lambda leaf: 0.3 * rng.standard_normal(leaf.shape).astype(np.float32),
                      jax.eval_shape(model.init, jax.random.key(0)))


@pytest.fixture(scope='module')
def small():
  model = cnn.Classifier('resnet', 3, (16, 16, 1), (4, 8), 1, 5, 0.5)
  return model, random_params(model), np.random.default_rng(1).uniform(size=(4, 16, 16, 1)).astype(np.float32)


def test_a_new_classifier_finds_all_classes_equally_likely():
  for model in (cnn.Classifier('resnet', 3, (16, 16, 1), (4, 8)), cnn.Classifier('vgg16', 3, (7,), hidden=4)):
    inputs = np.random.default_rng(0).uniform(size=(2, *model.shape)).astype(np.float32)
    assert np.all(model.logits(model.init(jax.random.key(0)), NORMALIZER, inputs) == 0)


def test_an_images_logits_do_not_depend_on_its_batch(small):
  model, params, images = small
  together = model.logits(params, NORMALIZER, images)
  alone = jnp.concatenate([model.logits(params, NORMALIZER, image[None]) for image in images])
  np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
  assert np.abs(np.diff(together, axis=0)).min() > 1e-4


def test_inputs_are_standardised(small):
  model, params, images = small
  plain = Normalizer(jnp.float32([0.]), jnp.float32(1.))
  np.testing.assert_allclose(model.logits(params, NORMALIZER, images),
                             model.logits(params, plain, (images - 0.3) / 0.2), rtol=1e-4, atol=1e-5)


def test_a_linear_head_is_a_matrix(small):
  model = cnn.Classifier('vgg16', 2, (7,))
  params, inputs = random_params(model), np.ones((3, 7), np.float32)
  wanted = (inputs - 0.3) / 0.2 @ params['head']['logits']['kernel'] + params['head']['logits']['bias']
  np.testing.assert_allclose(model.logits(params, NORMALIZER, inputs), wanted, rtol=1e-5)


def test_dropout_is_for_training_alone_and_right_on_average():
  model = cnn.Classifier('vgg16', 2, (7,), dropout=0.5)
  params, inputs = random_params(model), np.full((4000, 7), 0.7, np.float32)
  still, dropped = (model.logits(params, NORMALIZER, inputs, keys)
                    for keys in (None, jax.random.split(jax.random.key(0), 4000)))
  assert np.ptp(np.asarray(still), axis=0).max() == 0 and np.ptp(np.asarray(dropped), axis=0).min() > 0.5
  np.testing.assert_allclose(dropped.mean(0), still[0], atol=0.15)


def test_each_stage_but_the_first_halves_the_side(small):
  _, params, images = small
  network = cnn.ResNet((4, 8), 1, jnp.float32)
  _, seen = network.apply({'params': params['network']}, images, capture_intermediates=True)
  sides = {name: of['__call__'][0].shape[1] for name, of in seen['intermediates'].items() if isinstance(of, dict)}
  assert (sides['stem'], sides['block_0_0'], sides['block_1_0']) == (8, 8, 4)


@pytest.mark.parametrize('optimized', [True, False])
def test_gradients_are_finite_however_it_is_compiled(optimized):
  """The gradient of a plain maximum was nan at the third of these steps where XLA did not optimize."""
  model = cnn.Classifier('resnet', 2, (32, 32, 1), (4, 8))
  images = np.random.default_rng(0).uniform(size=(16, 32, 32, 1)).astype(np.float32)
  labels = np.arange(16) % 2

  def loss(params):
    return losses.cross_entropy(model.logits(params, NORMALIZER, images), labels).mean()

  jax.config.update('jax_disable_most_optimizations', not optimized)
  try:
    gradient, optimizer = jax.jit(jax.grad(loss)), optax.adam(0.02)
    params = model.init(jax.random.key(0))
    state = optimizer.init(params)
    for _ in range(6):
      found = gradient(params)
      assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
      updates, state = optimizer.update(found, state)
      params = optax.apply_updates(params, updates)
  finally:
    jax.config.update('jax_disable_most_optimizations', False)
