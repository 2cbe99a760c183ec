"""Opening finished workdirs, on the small job of tests/tasks."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from defect_jax.data.samples import Sample
from defect_jax.errors import UserError
from defect_jax.runs.folder import Workdir
from defect_jax.trained.vae import open_vae
from defect_jax.training import checkpoint


@pytest.fixture
def run(finished, tmp_path):
  shutil.copytree(finished[0], tmp_path / 'run')
  return tmp_path / 'run'


def test_encodes_and_decodes_as_the_run_did(run):
  vae = open_vae(run)
  images = vae.photos().images()
  posterior = vae.encode(images)
  alone = vae.vae.encode(vae.params['encoder'], vae.normalizer, images[3:4])
  np.testing.assert_allclose(posterior.mean[3:4], alone.mean, rtol=1e-5, atol=1e-5)
  assert len(posterior.mean) == len(images)
  # The run's own figure: the MSE that it measured on the held-out photos with noise of its own.
  summary = json.loads((run / 'summary.json').read_text())
  recon = jax.jit(vae.decode)(posterior.mean)
  assert float(np.mean(np.square(recon - images))) < 2 * summary['mse']


def test_a_run_with_a_running_mean_is_opened_at_that(run, monkeypatch):
  step, tree = checkpoint.read(Workdir(run))
  last = open_vae(run).params
  tree['state']['average'] = jax.tree.map(lambda leaf: leaf + 1, tree['state']['params'])
  monkeypatch.setattr(checkpoint, 'read', lambda workdir: (step, tree))
  jax.tree.map(lambda mean, p: np.testing.assert_array_equal(mean, p + 1), open_vae(run).params, last)


def test_the_photos_are_known_by_their_digest_or_else_by_their_mean_image(run):
  vae = open_vae(run)
  photos = vae.photos()
  vae.check_photos(photos)
  turned = dataclasses.replace(photos, rows=photos.rows[::-1])  # another digest, the same mean image
  assert turned.digest() != vae.trained_on == photos.digest()
  for known in (vae, dataclasses.replace(vae, trained_on=None)):
    known.check_photos(turned)
    with pytest.raises(UserError, match='the photos are others than those that the run began with'):
      known.check_photos(vae.photos(few_shot=3))


def test_a_damaged_checkpoint_is_passed_over_and_left_alone(run):
  first, *_, last = checkpoint.steps(Workdir(run))
  assert open_vae(run).step == last
  data = max((run / 'checkpoints' / str(last)).rglob('*'), key=lambda path: path.stat().st_size)
  data.write_bytes(data.read_bytes()[:-1])
  assert first <= open_vae(run).step < last
  assert checkpoint.steps(Workdir(run))[-1] == last


def no_checkpoints(run):
  shutil.rmtree(run / 'checkpoints')


def another_task(run):
  config = json.loads((run / 'config.json').read_text())
  (run / 'config.json').write_text(json.dumps(config | {'task': 'generate'}))


@pytest.mark.parametrize(('change', 'reason'), [
  (no_checkpoints, 'has no usable checkpoint'), (another_task, "is a run of the task 'generate'"),
  (lambda run: (run / 'config.json').unlink(), 'holds no run'), (shutil.rmtree, 'holds no run')])
def test_refusals(run, change, reason):
  change(run)
  with pytest.raises(UserError, match=reason):
    open_vae(run)


def test_without_a_workdir():
  with pytest.raises(UserError, match='vae: is not set'):
    open_vae(None)


def test_functions_give_what_the_methods_give(run):
  vae = open_vae(run)
  images = vae.photos().images()[:4]
  posterior, functions = vae.encode(images), vae.functions()
  results = {name: jax.jit(of.function)(of.params, posterior.mean if name == 'decode' else images)
             for name, of in functions.items()}
  np.testing.assert_allclose(results['encode'].mean, posterior.mean, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(results['decode'], vae.decode(posterior.mean), rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(results['reconstruct'], results['decode'], rtol=1e-5, atol=1e-5)
  assert functions['reconstruct'].spec.shape == images.shape[1:] and functions['decode'].spec.shape == (4,)


def test_a_photo_scores_the_mean_difference_of_input_and_output(run):
  vae = open_vae(run, threshold=0.5, at_once=2)
  images = vae.photos().images()[:3]
  samples = [Sample(number, image, None) for number, image in enumerate(images)]
  predictions = list(vae.predict(samples, False))
  recon = vae.functions()['reconstruct']
  difference = np.abs(images - recon.function(recon.params, images))
  assert [prediction.sample for prediction in predictions] == samples
  np.testing.assert_allclose([prediction.score for prediction in predictions], difference.mean((1, 2, 3)), rtol=1e-4)
  np.testing.assert_allclose(predictions[2].anomaly_map, difference[2].mean(-1), rtol=1e-3, atol=1e-5)
  assert vae.threshold.value == 0.5 and vae.tiling.geometry.size == images.shape[1]


def test_a_vae_of_crops_around_masks_says_nothing_of_whole_photos(run):
  config = json.loads((run / 'config.json').read_text())
  config['data']['region'] = 'mask'
  (run / 'config.json').write_text(json.dumps(config))
  vae = open_vae(run)
  with pytest.raises(UserError, match='trained on crops around masks'):
    vae.tiling  # noqa: B018
