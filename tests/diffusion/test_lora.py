"""LoRA: beginning as nothing, merged as by hand, saved by diffusers' names, and a file of another model is one line."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util
from safetensors.numpy import load_file, save_file
from small_pipeline import write

from defect_jax import parallel
from defect_jax.config import UserError
from defect_jax.diffusion import finetune, lora, pipeline
from defect_jax.training import routing
from defect_jax.training.feeds import ResidentFeed
from defect_jax.training.trainer import Trainer


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp('weights') / 'pipe'
  return path, write(path)


def drawn(unet, seed=0):
  """Adapters of which neither half is 0."""
  rng = np.random.default_rng(seed)
  return jax.tree.map(lambda leaf: np.float32(rng.normal(0, 0.1, leaf.shape)), lora.init(unet, 4, 0))


def test_fresh_adapters_change_nothing(folder):
  unet = folder[1]['unet']
  jax.tree.map(np.testing.assert_array_equal, lora.merged(unet, lora.init(unet, 4, 0)), unet)


def test_merged_by_hand_and_nothing_else_changes(folder):
  unet, adapters = folder[1]['unet'], drawn(folder[1]['unet'])
  flat, merged = (traverse_util.flatten_dict(tree, sep='/') for tree in (unet, lora.merged(unet, adapters, 0.5)))
  assert {path.split('/')[-1] for path in adapters} == set(lora.TARGETS)
  for path, kernel in flat.items():
    pair = adapters.get(path.removesuffix('/kernel'))
    wanted = kernel if pair is None else kernel + 0.5 * np.float64(pair['a']) @ np.float64(pair['b'])
    np.testing.assert_allclose(merged[path], wanted, atol=1e-6)


def test_files_have_diffusers_names_and_give_the_adapters_back(folder, tmp_path):
  adapters = drawn(folder[1]['unet'])
  lora.write(tmp_path, adapters, 'c0ffee', scale=2.0)
  arrays = load_file(tmp_path / lora.FILE)
  name = 'unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2'
  assert arrays[f'{name}.to_out.0.lora_A.weight'].shape == (4, 32)
  assert arrays[f'{name}.to_k.lora_B.weight'].shape[1] == 4
  with pytest.raises(UserError, match='was trained beside weights with the digest c0ffee, these are decaf'):
    lora.read(tmp_path, folder[1]['unet'], 'decaf')
  back = lora.read(tmp_path, folder[1]['unet'], 'c0ffee')
  assert back.keys() == adapters.keys()
  for path, pair in back.items():
    np.testing.assert_array_equal(pair['a'], adapters[path]['a'])
    np.testing.assert_array_equal(pair['b'], 2 * adapters[path]['b'])


def test_a_strength_in_the_header_counts(folder, tmp_path):
  unet, adapters = folder[1]['unet'], drawn(folder[1]['unet'])
  lora.write(tmp_path, adapters, 'c0ffee')
  arrays = load_file(tmp_path / lora.FILE)

  def read(**told):
    header = {'lora_adapter_metadata': json.dumps({f'unet.{key}': value for key, value in told.items()})}
    save_file(arrays, tmp_path / lora.FILE, header)
    return lora.read(tmp_path, unet, 'of files that do not say')

  for told, strength in (({'r': 4, 'lora_alpha': 16, 'rank_pattern': {}}, 4), ({'r': 4, 'lora_alpha': 4}, 1)):
    for path, pair in read(**told).items():
      np.testing.assert_array_equal(pair['a'], adapters[path]['a'])
      np.testing.assert_array_equal(pair['b'], strength * adapters[path]['b'])
  with pytest.raises(UserError, match='its adapters are of several ranks'):
    read(r=4, lora_alpha=4, alpha_pattern={'to_q': 2})


def test_merged_on_load_makes_the_images_of_the_adapters_beside_the_weights(folder, tmp_path):
  path, params = folder
  adapters = drawn(params['unet'])
  plain = pipeline.load(str(path))
  lora.write(tmp_path, adapters, plain.digest)
  merged = pipeline.load(str(path), adapters=tmp_path)
  assert merged.model != plain.model
  rng = np.random.default_rng(1)
  encoded = plain.encode_photos([np.float32(rng.uniform(size=(64, 64, 3)))], [np.ones((64, 64), bool)])
  context = plain.encode_text(['a dent', ''])
  made = [model.sampler((64, 64), 1, 'ddim', 3, 2.0, 1.0, 'noise') for model in (merged, plain)]
  made[1] = made[1].of({'vae': params['vae'], 'unet': lora.merged(params['unet'], adapters)})
  images = [sampler(0, np.uint32([0]), encoded, context[:1], context[1]) for sampler in made]
  np.testing.assert_allclose(images[0], images[1], atol=1e-4)
  made.append(made[1].of(params))
  without = made[2](0, np.uint32([0]), encoded, context[:1], context[1])
  assert np.abs(images[0] - without).max() > 1e-2


def test_beside_the_weights_is_the_same_as_merged(folder):
  """x W + x A B, as adapters are computed unmerged, against x (W + A B)."""
  unet, adapters = folder[1]['unet'], drawn(folder[1]['unet'])
  flat = traverse_util.flatten_dict(unet, sep='/')
  merged = traverse_util.flatten_dict(lora.merged(unet, adapters), sep='/')
  for path, pair in adapters.items():
    x = np.float32(np.random.default_rng(2).normal(size=(5, len(pair['a']))))
    np.testing.assert_allclose(x @ merged[f'{path}/kernel'], x @ flat[f'{path}/kernel'] + x @ pair['a'] @ pair['b'],
                               atol=1e-4)


def test_training_moves_the_adapters_alone(folder):
  path, params = folder
  model = pipeline.load(str(path))

  def join(moved, frozen):
    return frozen | {'unet': lora.merged(frozen['unet'], moved['lora'])}

  ids = pipeline.ids_of(model.tokenizer, ['a dent', ''])
  frozen = {'unet': params['unet'], 'ids': ids, 'contexts': model.encode_text(['a dent', ''])}
  moved = {'lora': lora.init(params['unet'], 2, 0)}
  trainer = Trainer(finetune.Denoising(model, 0.1, 0.1, join), finetune.DENOISING_LOSSES,
                    routing.whole('loss', moved, optax.adam(1e-2)), jax.random.key(0), decay=0.9, warm=True)
  begin = trainer.init(moved, frozen=frozen)
  rng = np.random.default_rng(0)
  data = {'original': np.float32(rng.normal(size=(8, 8, 8, 4))), 'masked': np.float32(rng.normal(size=(8, 8, 8, 4))),
          'mask': np.float32(rng.uniform(size=(8, 8, 8)) > 0.5), 'text': np.zeros(8, np.int32)}
  feed = ResidentFeed(trainer, data, 8, jax.random.key(1), 1, lambda data, rows, weights: {
    name: of[rows] for name, of in data.items()} | {'weight': weights})
  state, metrics = feed.advance(parallel.replicate(begin), 3)
  state = parallel.first(state)
  jax.tree.map(np.testing.assert_array_equal, state.frozen['unet'], params['unet'])
  moved = jax.tree.map(lambda new, old: float(jnp.abs(new - old).max()), state.params, begin.params)
  assert all(pair['b'] > 0 for pair in moved['lora'].values()) and list(metrics) and 'norm/lora' in metrics
  assert state.params.keys() == {'lora'}


def edited(change):
  def make(folder, adapters):
    lora.write(folder, adapters, 'c0ffee')
    arrays = load_file(folder / lora.FILE)
    change(arrays)
    save_file(arrays, folder / lora.FILE)
  return make


NAME = 'unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q'


@pytest.mark.parametrize(('make', 'reason'), [
  (lambda folder, adapters: (folder / lora.FILE).write_bytes(b'nothing'), 'cannot be read'),
  (lambda folder, adapters: None, 'cannot be read'),
  (edited(lambda arrays: arrays.update({f'{NAME}.lora_A.weight': np.zeros((4, 7), np.float32)})), 'does not fit'),
  (edited(lambda arrays: arrays.pop(f'{NAME}.lora_B.weight')), 'does not fit'),
  (edited(lambda arrays: arrays.update({'unet.other.alpha': np.zeros(1, np.float32)})), 'holds unet.other.alpha'),
  (edited(lambda arrays: arrays.clear()), 'holds nothing')])
def test_a_file_of_another_model_is_refused(folder, tmp_path, make, reason):
  make(tmp_path, lora.init(folder[1]['unet'], 4, 0))
  with pytest.raises(UserError, match=reason):
    lora.read(tmp_path, folder[1]['unet'], 'c0ffee')
