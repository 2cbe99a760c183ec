"""The benchmarks' last line, by their quick variants; and what bench_step's naive variant must be: naive, not wrong."""

import importlib.util
import inspect
import json
import subprocess
import sys
import types
from importlib.machinery import ModuleSpec

import jax
import numpy as np
import pytest

from defect_jax import losses
from defect_jax.config import UserError
from defect_jax.models.normalization import Normalizer
from defect_jax.models.vae import Vae
from defect_jax.training import routing
from defect_jax.training.autoencoder import Autoencoder
from defect_jax.training.trainer import TrainState
from experiments import bench, bench_step, command
from experiments.bench_time_to_target import Run, same_end, timed


def test_two_full_passes_give_the_gradients_of_the_streams():
  vae = Vae(16, 1, 2, (4, 8), 0, 3, 'silu')
  random = np.random.default_rng(0)
  params = jax.tree.map(lambda leaf: 0.2 * random.standard_normal(leaf.shape).astype(np.float32),
                        jax.eval_shape(vae.init, jax.random.key(0)))
  settings = {name: {'loss': loss, 'params': f'{network}/.*', 'optimizer': 'sgd', 'lr': 1.0}
              for name, loss, network in (('E1', 'kld', 'encoder'), ('E2', 'mse', 'encoder'), ('D', 'mse', 'decoder'))}
  streams, _ = routing.resolve(settings, params)
  image = random.uniform(size=(4, 16, 16, 1)).astype(np.float32)
  batch = {'image': image, 'input': image, 'noise': np.ones((4, 3), np.float32)}
  state = TrainState(0, params, {}, (), {}, Normalizer(image.mean(0), np.float32(0.3)))
  named = {'kld': losses.KLD, 'mse': losses.MSE}
  once, twice = (jax.jit(lambda p, of=of: of(lambda q: Autoencoder(vae).outputs(q, state, batch), named, streams, p,
                                             batch, np.full(4, 0.25, np.float32)))(params)
                 for of in (routing.gradients, bench_step.two_passes))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6 * np.abs(a).max()), once, twice)


def test_two_full_passes_take_what_the_gradients_of_the_streams_take():
  assert [*inspect.signature(bench_step.two_passes).parameters] == [*inspect.signature(routing.gradients).parameters]


def test_seconds_to_targets_are_those_of_the_last_time_a_loss_left_them():
  kld = np.full(200, 16.0)
  kld[99] = 16.0 * (1 + 0.06 * 50)  # the means of the 50 steps up to steps 100 to 149 are 6 % too high
  run = Run(kld, np.full(200, 0.9), np.arange(1, 201) * 0.5, 3.0)
  assert run.to_targets({'kld': 16.0, 'mse': 1.0}) == (150, 75.0)
  assert run.to_targets({'kld': 16.0, 'mse': 0.5}) == (None, None)


@pytest.mark.parametrize(('peer_kld', 'peer_mse', 'same'), [
    (15.3, 1.04, True), (15.2, 1.04, False), (16.0, 1.06, False), (16.0, 0.5, True)])
def test_both_sides_have_to_end_with_one_kld_and_below_the_mse_target(peer_kld, peer_mse, same):
  def run(kld, mse):
    before = np.full(100, 99.0)  # counts for nothing
    return Run(*(np.append(before, np.full(50, value)) for value in (kld, mse)), np.arange(1.0, 151.0), 0.0)
  ours = run(16.0, 1.0)  # 16 / 15.3 is 1.046, 16 / 15.2 is 1.053
  assert same_end(ours, run(peer_kld, peer_mse), {'kld': 16.0, 'mse': 1.0}) is same


def test_all_steps_are_timed_when_the_log_interval_does_not_divide_them():
  asked = []

  def advance(count):
    asked.append(count)
    return np.full(count, 1.0), np.full(count, 2.0)
  kld, mse, seconds = timed(advance, 25, 10)
  assert asked == [10, 10, 5]
  assert (len(kld), len(mse), len(seconds)) == (25, 25, 25)
  assert np.all(np.diff(seconds) > 0)


def test_a_missing_extra_is_named():
  command.check_installed('numpy', 'study')
  with pytest.raises(UserError, match=r"no_such_package is not installed; .* -e '\.\[study\]'"):
    command.check_installed('no_such_package', 'study')


@pytest.mark.parametrize('backend', ['tpu', 'gpu'])
def test_pytorch_that_cannot_compute_where_jax_does_is_left_out(backend, monkeypatch, capsys):
  torch = types.ModuleType('torch')
  torch.__spec__, torch.cuda = ModuleSpec('torch', None), types.SimpleNamespace(is_available=lambda: False)
  monkeypatch.setitem(sys.modules, 'torch', torch)
  monkeypatch.setattr(jax, 'default_backend', lambda: backend)
  assert bench.torch_device() is None
  assert f'the one that is installed cannot compute on the {backend}\n' in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize('name', ['bench_step', 'bench_time_to_target', 'bench_anomaly', 'bench_inpaint',
                                  'bench_inpaint_train', 'bench_classifier', 'bench_inspect', 'bench_pages'])
def test_the_last_line_is_the_result(name, clean_env):
  if name == 'bench_time_to_target' and importlib.util.find_spec('torch') is None:
    pytest.skip('PyTorch, the extra `torch`, is not installed')
  done = subprocess.run([sys.executable, '-m', f'experiments.{name}', '--quick'], env=clean_env, capture_output=True,
                        text=True, check=True)
  result = json.loads(done.stdout.splitlines()[-1])
  assert result.keys() >= {'name', 'ours', 'peer', 'ratio', 'machine', 'versions'}
  assert result['name'] == name
  if name == 'bench_inpaint':
    assert result['ratio'] == pytest.approx(result['peer'] / result['ours'])
    assert result['different_photos'].keys() >= {'ours', 'Flax'}
  elif name == 'bench_inpaint_train':
    assert result['images_per_second'] > 0
  elif name == 'bench_step':
    assert result['ratio'] == pytest.approx(result['peer'] / result['ours'])
    assert result['overhead'] > 0.5
  elif name == 'bench_anomaly':
    assert result['photos_per_second'] > 0 and result['large_seconds'] > 0 and result['peak_memory_mb']['large'] > 0
  elif name == 'bench_inspect':
    assert result['colour_png']['ours'] > 0
  elif name == 'bench_classifier':
    assert result['images_per_second']['ours'] > 0
  else:
    assert result['same_end'] in (True, False)
