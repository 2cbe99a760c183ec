"""An image follows from seed and index alone; nothing is computed twice for nothing; attention in pieces is exact."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from defect_jax import parallel
from defect_jax.diffusion import layers, pipeline

_SIDE = 64


@pytest.fixture(scope='module')
def model():
  return pipeline.load('random')


@pytest.fixture(scope='module')
def inputs(model):
  rng = np.random.default_rng(0)
  masks = np.zeros((3, _SIDE, _SIDE), bool)
  for row in range(3):
    masks[row, 8 + 8 * row:40, 16:48] = True
  encoded = model.encode_photos(list(rng.uniform(size=(3, _SIDE, _SIDE, 3)).astype(np.float32)), list(masks))
  return encoded, model.encode_text(['a scratch', 'a dent', ''])


def images(model, inputs, batch, indices, **settings):
  settings = {'name': 'ddim', 'steps': 3, 'guidance': 4.0, 'strength': 1.0, 'content': 'noise'} | settings
  encoded, context = inputs
  rows = [index % 3 for index in indices]
  return model.sampler((_SIDE, _SIDE), batch, **settings)(
    5, np.uint32(indices), [encoded[row] for row in rows], context[[row % 2 for row in rows]], context[2])


def test_an_image_is_the_same_in_any_batch(model, inputs):
  together = images(model, inputs, 9, range(9))  # on eight devices
  alone = images(model, inputs, 2, [7, 4])
  np.testing.assert_allclose(together[[7, 4]], alone, atol=2e-4)
  assert np.abs(together[7] - together[4]).max() > 0.1 and np.abs(together[1] - together[4]).max() > 0.1


def test_guidance_1_does_not_look_at_the_negative_prompt_and_computes_half(model, inputs, monkeypatch):
  encoded, context = jax.tree.map(lambda *leaves: np.stack(leaves), *inputs[0]), inputs[1]
  params, noise = parallel.first(model._params), np.zeros((3, 2, 8, 8, 4), np.float32)
  seen = []

  def predict(params, x, timestep, encoded, context):
    seen.append((x.shape, encoded.masked.shape, context.shape))
    return x + context.mean((1, 2))[:, None, None, None]

  monkeypatch.setattr(model, 'predict', predict)
  for guidance, batch in ((1.0, 3), (2.0, 6)):
    sampler = model.sampler((_SIDE, _SIDE), 3, 'ddim', 3, guidance, 1.0, 'noise')
    jax.eval_shape(sampler._on_device, params, noise, encoded, context, context[2])
    assert {shapes[0][0] for shapes in seen} == {batch} and {shapes[2] for shapes in seen} == {(batch, 77, 32)}
    seen.clear()


def test_content_original_starts_from_the_noised_photo(model, inputs):
  sampler = model.sampler((_SIDE, _SIDE), 1, 'ddim', 10, 1.0, 0.5, 'original')
  encoded, noise = jax.tree.map(lambda leaf: leaf[None], inputs[0][0]), np.ones((1, 2, 8, 8, 4), np.float32)
  schedule = sampler._schedule
  assert 0.3 < schedule.signal < 0.9 and schedule.signal**2 + schedule.noise**2 == pytest.approx(1)
  np.testing.assert_allclose(sampler._start(noise, encoded), schedule.signal * encoded.original + schedule.noise,
                             rtol=1e-5)


def test_noise_fills_the_mask_only_at_a_lower_strength(model, inputs):
  sampler = model.sampler((_SIDE, _SIDE), 1, 'ddim', 10, 1.0, 0.5, 'noise')
  encoded = jax.tree.map(lambda leaf: leaf[None], inputs[0][0])
  noise = np.stack([np.zeros((8, 8, 4)), np.ones((8, 8, 4))])[None].astype(np.float32)
  start = np.asarray(sampler._start(noise, encoded)) / sampler._schedule.signal
  inside = encoded.mask[0] > 0
  np.testing.assert_allclose(start[0][inside], 1, rtol=1e-5)
  np.testing.assert_allclose(start[0][~inside], encoded.original[0][~inside], rtol=1e-5)


def test_masks_reach_the_latents_without_losing_a_pixel(model):
  masks = np.zeros((_SIDE, _SIDE), bool)
  masks[17, 42] = True
  encoded, = model.encode_photos([np.zeros((_SIDE, _SIDE, 3), np.float32)], [masks])
  assert np.argwhere(encoded.mask).tolist() == [[2, 5]]


def test_a_photos_latents_do_not_depend_on_its_neighbours(model):
  rng = np.random.default_rng(0)
  canvases, masks = list(rng.uniform(size=(11, _SIDE, _SIDE, 3)).astype(np.float32)), [np.eye(_SIDE, dtype=bool)] * 11
  together = model.encode_photos(canvases, masks)
  np.testing.assert_array_equal(together[9].masked, model.encode_photos(canvases[9:10], masks[:1])[0].masked)


def test_a_prompt_beyond_the_tokenizers_length_is_told(model):
  assert model.cut_off('a scratch') == ''
  assert model.cut_off('a' * 75 + ' scratch') == 'scratch'


@pytest.mark.slow
def test_bfloat16_predicts_nearly_the_same(model, inputs):
  half = pipeline.load('random', 'bfloat16')
  assert {leaf.dtype for leaf in jax.tree.leaves(half._params)} == {jnp.dtype('bfloat16')}
  encoded = jax.tree.map(lambda leaf: leaf[None], inputs[0][0])
  latents = np.random.default_rng(0).standard_normal((1, 8, 8, 4)).astype(np.float32)
  found = [np.asarray(jax.jit(of.predict)(parallel.first(of._params), latents, jnp.float32(500),
                                          encoded, inputs[1][:1])) for of in (model, half)]
  assert {one.dtype for one in found} == {np.dtype('float32')}
  assert 0 < np.abs(found[0] - found[1]).mean() < 0.05 * found[0].std()


@pytest.mark.parametrize('keys', [1, 77, 500])
def test_attention_in_pieces_is_exact(keys):
  rng = np.random.default_rng(0)
  query, key, value = (rng.standard_normal((2, count, 3, 8)).astype(np.float32) for count in (101, keys, keys))
  logits = np.einsum('bqhd,bkhd->bhqk', query, key) / np.sqrt(8)
  weights = np.exp(logits - logits.max(-1, keepdims=True))
  expected = np.einsum('bhqk,bkhd->bqhd', weights / weights.sum(-1, keepdims=True), value)
  for scores in (2**30, 2 * 3 * keys * 4 * 10, 1):
    np.testing.assert_allclose(layers.attend(query, key, value, scores), expected, atol=2e-5)


def test_gradients_of_attention_in_pieces_are_exact():
  rng = np.random.default_rng(0)
  query, key, value, along = (rng.standard_normal((2, count, 3, 8)).astype(np.float32) for count in (101, 77, 77, 101))

  def gradients(scores):
    return jax.grad(lambda *of: jnp.sum(along * layers.attend(*of, scores)), (0, 1, 2))(query, key, value)
  for whole, pieces in zip(gradients(2**30), gradients(2 * 3 * 77 * 4 * 10), strict=True):
    np.testing.assert_allclose(pieces, whole, atol=1e-5)


@pytest.mark.parametrize(('tokens', 'trained'), [(28224, False), (8192, True)])
def test_attention_never_holds_more_scores_than_allowed(tokens, trained):
  """28,224 tokens, as of 1344 px: all scores at once would be 25 GB; of the 8,192 whose gradient is taken 2.1 GB."""
  shape = jax.ShapeDtypeStruct((1, tokens, 8, 40), jnp.float32)
  attend = jax.grad(lambda *of: layers.attend(*of).sum(), (0, 1, 2)) if trained else layers.attend
  memory = jax.jit(attend).lower(shape, shape, shape).compile().memory_analysis()
  assert memory.temp_size_in_bytes < 4 * layers.SCORES


@pytest.mark.parametrize(('height', 'width', 'strides'), [
  (1, 1, 1), (2, 2, 1), (2, 1, (1, 1)), (2, 2, (2, 2)), (3, 2, 1)])
def test_small_images_are_convolved_as_by_flax(height, width, strides):
  conv = nn.Conv(5, (3, 3), strides, padding=((1, 1), (1, 1)))
  image = jax.random.normal(jax.random.key(0), (2, height, width, 4))
  params = conv.init(jax.random.key(1), image)
  params['params']['bias'] += jnp.arange(5.)
  with nn.intercept_methods(layers.by_product):
    ours = jax.jit(conv.apply)(params, image)
    by_dot = jax.jit(conv.apply).lower(params, image).as_text().count('convolution')
  np.testing.assert_allclose(ours, conv.apply(params, image), atol=1e-5)
  assert (by_dot == 0) == (max(height, width) < 3 and strides != (2, 2))
