"""Where a classifier looks, of one that is linear: its gradient is its weights, whatever the noise."""

import dataclasses
import types

import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from scipy import ndimage

from defect_jax.data.samples import Sample
from defect_jax.trained import classifier as trained
from defect_jax.training import classifier as training


@pytest.fixture
def linear():
  weights = np.random.default_rng(0).normal(size=(8, 8, 1)).astype(np.float32)

  def logits(params, normalizer, images):
    score = jnp.sum((images - normalizer) * params, (1, 2, 3))
    return jnp.stack([-score, score, jnp.full_like(score, -1e9)], -1)  # a third class that never comes about

  model = types.SimpleNamespace(kind='resnet', logits=logits)
  prior = trained.prior_of(None, 3)
  return trained.ClassifierPredictor(['good', 'crack', 'never'], model, weights, np.float32(0.5), prior), weights


def test_saliency_is_the_magnitude_of_the_gradient_of_the_log_odds_blurred(linear):
  found, weights = linear
  images = np.random.default_rng(1).random((3, 8, 8, 1)).astype(np.float32)
  expected = ndimage.gaussian_filter(2 * np.abs(weights[..., 0]), 1.5)
  np.testing.assert_allclose(found.saliency(images), [expected] * 3, rtol=1e-5)


def test_logits_are_those_of_the_model_whatever_the_number_of_images(linear, monkeypatch):
  found, weights = linear
  monkeypatch.setattr(training, '_CHUNK_PIXELS', 2 * 8 * 8)  # pieces of two
  images = np.random.default_rng(1).random((5, 8, 8, 1)).astype(np.float32)
  np.testing.assert_allclose(found.logits(images)[:, 1], ((images - 0.5) * weights).sum((1, 2, 3)), rtol=1e-4)


def test_how_frequent_classes_are():
  assert trained.prior_of(None, 4).tolist() == [0.25] * 4
  np.testing.assert_allclose(trained.prior_of(0.2, 3), [0.8, 0.1, 0.1])


def test_a_saliency_map_that_is_zero_everywhere_can_be_drawn():
  assert trained.scale_of(np.zeros((4, 4))) > 0


def test_functions_and_predictions_give_the_same_probabilities(linear):
  predictor, weights = linear
  config = ml_collections.ConfigDict({'data': {'size': 8, 'channels': 1}})
  predictor = dataclasses.replace(predictor, config=config, tta_axes=((), (1,)), temperature=2.,
                                  prior=trained.prior_of(0.2, 3), at_once=2)
  images = np.random.default_rng(1).random((5, 8, 8, 1)).astype(np.float32)
  predictions = list(predictor.predict([Sample(None, image, None) for image in images], True))
  exported = predictor.functions()['probabilities']
  probabilities = exported.function(exported.params, images)
  np.testing.assert_allclose([prediction.probabilities for prediction in predictions], probabilities, atol=1e-5)
  assert exported.spec.shape == (8, 8, 1)
  # By hand: scores s of a photo and its flipped copy are averaged; the log-odds of good are -2 s / temperature, plus
  # those of the prior.
  scores = [np.mean([((copy - 0.5) * weights).sum() for copy in (image, image[::-1])]) for image in images]
  log_odds = np.float64(scores) + np.log(0.1 / 0.8)
  np.testing.assert_allclose([prediction.score for prediction in predictions], 1 / (1 + np.exp(-log_odds)), rtol=1e-4)
  labels = ['crack' if odds > 0 else 'good' for odds in log_odds]
  assert [prediction.label for prediction in predictions] == labels
  np.testing.assert_array_equal(predictions[1].anomaly_map, predictor.saliency(images[1:2])[0])
