"""A saved pipeline is the one that was trained, in diffusers' layout; one that cannot be written leaves the old one."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import serialization

from defect_jax.diffusion import pipeline, saving, small_model, weights


@pytest.fixture(scope='module')
def model():
  return pipeline.random()


def test_loaded_again_it_makes_the_same(model, tmp_path):
  saving.save(tmp_path / 'pipe', model, model.params)
  again = pipeline.load(str(tmp_path / 'pipe'))
  jax.tree.map(np.testing.assert_array_equal, again.params, model.params)
  np.testing.assert_array_equal(*(pipeline.ids_of(each.tokenizer, ['a dent', 'ö']) for each in (again, model)))
  assert again.scheduler.items() >= model.scheduler.items() and (again.native, again.factor) == (64, 8)
  index = json.loads((tmp_path / 'pipe/model_index.json').read_text())
  assert index['_class_name'] == 'FlaxStableDiffusionInpaintPipeline' and index['unet'][0] == 'diffusers'
  assert not list(tmp_path.glob('.*'))


def test_in_bfloat16_it_takes_half_the_room(model, tmp_path):
  for dtype in ('float32', 'bfloat16'):
    saving.save(tmp_path / dtype, model, model.params, dtype)
  sizes = [(tmp_path / dtype / 'unet/diffusion_flax_model.msgpack').stat().st_size for dtype in
           ('float32', 'bfloat16')]
  assert sizes[1] < 0.6 * sizes[0]
  again = pipeline.load(str(tmp_path / 'bfloat16'))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2**-8, atol=1e-30), again.params, model.params)


def test_a_failure_leaves_the_old_one(model, tmp_path):
  saving.save(tmp_path / 'pipe', model, model.params)
  before = (tmp_path / 'pipe/unet/config.json').read_bytes()
  with pytest.raises(KeyError):
    saving.save(tmp_path / 'pipe', model, {'unet': model.params['unet']})
  assert (tmp_path / 'pipe/unet/config.json').read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_what_is_trained_from_begins_as_a_chain_and_predicts_nothing():
  configs = small_model.configs(32, {'widths': (8, 16), 'blocks': 1, 'latent': 2},
                                {'widths': (32, 32), 'blocks': 1, 'attention': (False, True), 'heads': 2},
                                {'width': 16, 'blocks': 1, 'heads': 2}, 100, 8)
  params = small_model.begin(pipeline.shapes(configs), 0)
  unet, _, _ = pipeline.modules(configs, 'float32')
  out = pipeline.apply(unet, params['unet'], np.ones((1, 5, 16, 16), np.float32), jnp.array([3]),
                       np.ones((1, 8, 16), np.float32)).sample
  assert np.abs(out).max() == 0
  resnet = params['vae']['encoder']['down_blocks_0']['resnets_0']
  assert np.abs(resnet['conv2']['kernel']).max() == 0 and np.abs(resnet['conv1']['kernel']).max() > 0


def test_the_pipeline_of_the_package_is_whole_small_and_has_its_licence():
  folder = weights.folder_of(weights.DEFAULT)
  if not folder.is_dir():
    pytest.skip('no pipeline in this checkout')
  assert sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()) <= 20e6
  licence = (folder / 'LICENSE.txt').read_text()
  assert 'CC BY-SA 4.0' in licence and 'Schlagenhauf' in licence and 'Landwehr' in licence
  assert pipeline.load(weights.DEFAULT).native == 64
  kept = serialization.msgpack_restore((folder / 'unet/diffusion_flax_model.msgpack').read_bytes())
  assert {str(leaf.dtype) for leaf in jax.tree.leaves(kept)} == {'bfloat16'}
