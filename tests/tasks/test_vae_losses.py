"""Losses beside KLD and MSE: LPIPS, and one from outside the package, by config alone and steered in a live run."""

import json

import numpy as np
import pytest

from defect_jax.registry import LOSSES
from defect_jax.runs.folder import Workdir
from defect_jax.training import checkpoint

PLUGIN = """
import jax.numpy as jnp
from defect_jax.losses import Loss
from defect_jax.registry import LOSSES

LOSSES.add('quad', Loss(('recon', 'image'), lambda o: 4 * jnp.mean((o['recon'] - o['image'])**2, (1, 2, 3))))
"""
CONFIG = """
from ml_collections import ConfigDict
from configs import vae_split


def get_config(arg=None):
  config = vae_split.get_config('tiny')
  for name, loss in (('Q', 'quad'), ('L', 'lpips')):
    config.streams[name] = ConfigDict({'loss': loss, 'params': 'decoder/.*', 'optimizer': 'adam', 'lr': 0.001})
  return config
"""


@pytest.fixture
def made(tmp_path):
  """Arguments of the command for a VAE with a loss of a plugin; the loss is forgotten afterwards."""
  (tmp_path / 'quad.py').write_text(PLUGIN)
  (tmp_path / 'with_quad.py').write_text(CONFIG)
  yield [f'--config.plugins={tmp_path / "quad.py"}', '--config.control.weights.quad=2', '--config.targets.quad=0.5',
         '--config.control.speed.quad=3', '--config.targets.lpips=0.25', '--config.steps.log=2']
  LOSSES.data.pop('quad', None)


def test_a_loss_from_outside_and_lpips_have_targets_that_requests_change(command, made, tmp_path):
  root, config = tmp_path / 'run', str(tmp_path / 'with_quad.py')
  assert command(f'--workdir={root}', *made, '--config.steps.total=2', config=config) == 0
  (root / 'requests.json').write_text(json.dumps({'id': 1, 'targets': {'quad': 0.125, 'lpips': 0.0625}}))
  assert command(f'--workdir={root}', *made, '--config.steps.total=6', config=config) == 0
  rows = [row for row in Workdir(root).read_metrics() if 'train/kld' in row]
  for row in rows:
    assert row['train/quad'] == pytest.approx(4 * row['train/mse'], rel=1e-5)
    assert row['norm/Q'] == pytest.approx(4 * row['norm/D'], rel=1e-4)
  # The request is read at the first logged row, step 4. Under pi a weight is in units of its target.
  assert [(row['target/quad'], row['target/lpips'], row['weight/quad']) for row in rows] == [
      (0.5, 0.25, 2 / 0.5)] * 2 + [(0.125, 0.0625, 2 / 0.125)]
  _, saved = checkpoint.read(Workdir(root))
  assert saved['history']['target/quad'].tolist() == [0.5] * 4 + [0.125] * 2
  assert np.isfinite(saved['history']['train/lpips']).all() and len(saved['history']['train/lpips']) == 6
  summary = json.loads((root / 'summary.json').read_text())
  assert (summary['quad_target'], summary['lpips_target']) == (0.125, 0.0625)
  assert summary['quad'] == pytest.approx(rows[-1]['train/quad'])


def test_a_loss_without_a_target_is_refused(command, made, tmp_path, assert_refused):
  without = [argument for argument in made if 'targets.quad' not in argument]
  status = command(f'--workdir={tmp_path / "run"}', *without, config=str(tmp_path / 'with_quad.py'))
  assert_refused(status, tmp_path / 'run', 'targets.quad: is needed, since a stream has the loss quad')
