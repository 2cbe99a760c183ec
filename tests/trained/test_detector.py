"""A detector as a predictor: its exported function gives the maps that it predicts by."""

import jax
import numpy as np
import pytest

from configs import anomaly
from defect_jax.data.samples import Sample
from defect_jax.registry import DETECTORS
from defect_jax.trained.detector import DetectorPredictor, Setup


@pytest.mark.parametrize('kind', ['mean_image', 'pca'])
def test_the_function_gives_the_maps_of_the_predictions(kind):
  config = anomaly.get_config('tiny')
  config.detector, config.data.fit = kind, 'crop'
  config.score.update(map=kind, reduce='max', blur=0.)
  setup, rng = Setup.of(config), np.random.default_rng(0)
  tiles = rng.random((5, 32, 32, 1)).astype(np.float32)
  detector = DETECTORS[kind].fit(tiles, setup.settings([setup.score.map], None))
  predictor = DetectorPredictor(None, config, setup, detector, [0.1, 0.2], 1.)
  images = rng.random((3, 32, 32, 1)).astype(np.float32)
  predictions = list(predictor.predict([Sample(None, image, None) for image in images], False))
  exported = predictor.functions()['anomaly_map']
  maps = jax.jit(exported.function)(exported.params, images)
  np.testing.assert_allclose([prediction.anomaly_map for prediction in predictions], maps, rtol=1e-5, atol=1e-6)
  assert [prediction.score for prediction in predictions] == pytest.approx(np.max(maps, (1, 2)).tolist(), rel=1e-5)
  assert exported.spec.shape == images.shape[1:]
  if kind == 'mean_image':
    np.testing.assert_allclose(maps, np.abs(images - tiles.mean(0))[..., 0], rtol=1e-4, atol=1e-6)
