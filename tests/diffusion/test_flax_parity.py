"""diffusers' own Flax pipeline makes the same images from the same weights and latents, where it makes sound ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from diffusers import FlaxDDIMScheduler, FlaxPNDMScheduler, FlaxStableDiffusionInpaintPipeline
from flax import serialization
from small_pipeline import write

from defect_jax.diffusion import pipeline, small_model

_SIDE, _STEPS, _GUIDANCE = 64, 5, 5.0


@pytest.fixture(scope='module')
def both(tmp_path_factory):
  """(ours, diffusers' Flax pipeline, its params), of one folder of Flax weights."""
  folder = tmp_path_factory.mktemp('flax') / 'pipe'
  params = write(folder)
  # Theirs draws the masked photo's latents from the VAE's posterior; without width there is nothing to draw.
  params['vae']['quant_conv']['kernel'][..., 4:] = 0
  params['vae']['quant_conv']['bias'][4:] = -30
  (folder / 'vae/diffusion_flax_model.msgpack').write_bytes(serialization.msgpack_serialize(params['vae']))
  unet, vae, text = pipeline.modules(small_model.CONFIGS, 'float32')
  ours = pipeline.load(str(folder))
  theirs = FlaxStableDiffusionInpaintPipeline(vae, text, ours.tokenizer, unet, None, None, None)
  return ours, theirs, params


@pytest.mark.parametrize('name', ['ddim', pytest.param('pndm', marks=pytest.mark.slow)])
def test_pixels_agree_with_generate(both, name):
  ours, theirs, params = both
  rng = np.random.default_rng(0)
  photo, mask = rng.uniform(size=(2, _SIDE, _SIDE, 3)).astype(np.float32), np.zeros((2, _SIDE, _SIDE), bool)
  mask[0, 16:48, 8:56] = mask[1, 8:32, 32:64] = True
  noise = rng.standard_normal((2, 2, 8, 8, 4)).astype(np.float32)
  scheduler = {'ddim': FlaxDDIMScheduler, 'pndm': FlaxPNDMScheduler}[name].from_config(small_model.SCHEDULER)
  theirs.scheduler = scheduler
  state = scheduler.create_state()
  text = theirs.tokenizer(['a scratch', ''], padding='max_length', max_length=77, return_tensors='np').input_ids
  masked = np.where(mask[..., None], 0, 2 * photo - 1).transpose(0, 3, 1, 2)
  expected = jax.jit(lambda latents: theirs._generate(
    np.repeat(text[:1], 2, 0), jnp.float32(mask[:, None]), masked, params | {'scheduler': state}, jax.random.key(0),
    _STEPS, _SIDE, _SIDE, _GUIDANCE, latents, np.repeat(text[1:], 2, 0)))(noise[:, 0].transpose(0, 3, 1, 2))
  context = ours.encode_text(['a scratch', ''])
  sampler = ours.sampler((_SIDE, _SIDE), 2, name, _STEPS, _GUIDANCE, 1.0, 'noise')
  if name == 'pndm':  # theirs leaves out the last step
    rows = sampler._schedule.rows
    sampler._schedule = sampler._schedule._replace(rows=type(rows)(*(column[:-1] for column in rows)))
  found = sampler.from_noise(noise, ours.encode_photos(list(photo), list(mask)), np.repeat(context[:1], 2, 0),
                             context[1])
  assert np.std(expected) > 0.05
  np.testing.assert_allclose(found, expected, atol=2e-3)
