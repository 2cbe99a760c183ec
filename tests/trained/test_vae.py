"""Opening finished workdirs, on the small job of tests/tasks."""

import json
import shutil

import jax
import numpy as np
import pytest

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
  alone = vae.vae.encode(vae.params['encoder'], vae.standard, images[3:4])
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
