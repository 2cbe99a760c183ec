"""The same pixels as PyTorch's diffusers from the same weights and latents: a pipeline built there, loaded here."""

import json
import os

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='PyTorch, the extra `torch`, is not installed')
os.environ.setdefault('DIFFUSERS_VERBOSITY', 'error')
import diffusers  # noqa: E402
from PIL import Image  # noqa: E402
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer  # noqa: E402

from defect_jax.diffusion import pipeline, small_model, vocabulary  # noqa: E402

torch.set_num_threads(1)
_SIDE, _STEPS = 96, 7
_PEERS = {'ddim': 'DDIMScheduler', 'dpmsolver++': 'DPMSolverMultistepScheduler', 'euler': 'EulerDiscreteScheduler',
          'pndm': 'PNDMScheduler'}


@pytest.fixture(scope='module')
def peer(tmp_path_factory):
  """(PyTorch's pipeline, its folder), with biases and scales that are not 0 and 1, which would hide mistakes."""
  folder = tmp_path_factory.mktemp('torch')
  torch.manual_seed(0)
  configs = small_model.CONFIGS
  (folder / 'tokenizer').mkdir()
  vocabulary.write(folder / 'tokenizer')
  unet = diffusers.UNet2DConditionModel(**configs['unet'])
  vae = diffusers.AutoencoderKL(**configs['vae'])
  text = CLIPTextModel(CLIPTextConfig(**configs['text_encoder']))
  with torch.no_grad():
    for parameter in (p for module in (unet, vae) for p in module.parameters() if p.ndim == 1):
      parameter.add_(0.1 * torch.randn_like(parameter))
    # Both draw the masked photo's latents from the VAE's posterior; here it has no width, so there is nothing to draw.
    vae.quant_conv.weight[4:] = 0
    vae.quant_conv.bias[4:] = -30
  pipe = diffusers.StableDiffusionInpaintPipeline(
    vae=vae, text_encoder=text, tokenizer=CLIPTokenizer.from_pretrained(folder / 'tokenizer'), unet=unet,
    scheduler=diffusers.PNDMScheduler.from_config(small_model.SCHEDULER), safety_checker=None, feature_extractor=None,
    requires_safety_checker=False)
  pipe.set_progress_bar_config(disable=True)
  pipe.save_pretrained(folder)
  # Saving writes PNDM's defaults too, which would then hold for all; the published weights' file has none of them.
  (folder / 'scheduler/scheduler_config.json').write_text(json.dumps(small_model.SCHEDULER))
  return pipe, folder


@pytest.fixture(scope='module')
def ours(peer):
  return pipeline.load(str(peer[1]))


@pytest.fixture(scope='module')
def case():
  rng = np.random.default_rng(0)
  photo = np.uint8(rng.integers(0, 256, (_SIDE, _SIDE, 3)))
  mask = np.zeros((_SIDE, _SIDE), bool)
  mask[24:64, 16:72] = True
  noise = rng.standard_normal((1, 2, _SIDE // 8, _SIDE // 8, 4)).astype(np.float32)
  return photo, mask, noise


def _theirs(pipe, name, case, guidance, strength=1.0, latents=None, config=None):
  photo, mask, noise = case
  pipe.scheduler = getattr(diffusers, _PEERS[name]).from_config(small_model.SCHEDULER | (config or {}))
  latents = noise[:, 0].transpose(0, 3, 1, 2) if latents is None else latents
  found = pipe('a scratch', Image.fromarray(photo), Image.fromarray(np.uint8(mask) * 255), height=_SIDE, width=_SIDE,
               num_inference_steps=_STEPS, guidance_scale=guidance, negative_prompt='dust', strength=strength,
               latents=torch.tensor(latents), output_type='np')
  return found.images[0]


def _here(ours, name, case, guidance, strength=1.0, content='noise'):
  photo, mask, noise = case
  context = ours.encode_text(['a scratch', 'dust'])
  encoded = ours.encode_photos([np.float32(photo / 255)], [mask])
  sampler = ours.sampler((_SIDE, _SIDE), 1, name, _STEPS, guidance, strength, content)
  return sampler.from_noise(noise, encoded, context[:1], context[1])[0]


@pytest.mark.parametrize('guidance', [7.5, 1.0])
@pytest.mark.parametrize('name', list(_PEERS))
def test_pixels_agree(peer, ours, case, name, guidance):
  theirs = _theirs(peer[0], name, case, guidance)
  found = _here(ours, name, case, guidance)
  assert theirs.std() > 0.05, 'an image without structure would agree with anything'
  np.testing.assert_allclose(found, theirs, atol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize('config', [
  {'timestep_spacing': 'leading'}, {'timestep_spacing': 'trailing'}, {'timestep_spacing': 'linspace'},
  {'prediction_type': 'v_prediction'}, {'beta_schedule': 'squaredcos_cap_v2'}, {'set_alpha_to_one': True}])
@pytest.mark.parametrize('name', list(_PEERS))
def test_schedulers_follow_their_config(peer, ours, case, monkeypatch, name, config):
  if name == 'pndm' and ('prediction_type' in config or config.get('timestep_spacing', 'leading') != 'leading'):
    pytest.skip('refused, or not used with it')
  if name == 'ddim' and config.get('timestep_spacing', 'leading') == 'linspace':
    pytest.skip('PyTorch steps by a constant number of timesteps, which linspace does not have')
  monkeypatch.setattr(ours, 'scheduler', small_model.SCHEDULER | config)
  theirs = _theirs(peer[0], name, case, 3.0, config=config)
  np.testing.assert_allclose(_here(ours, name, case, 3.0), theirs, atol=2e-3)


@pytest.mark.parametrize('name', ['ddim', 'dpmsolver++', 'euler'])
def test_strength_starts_from_the_noised_photo(peer, ours, case, name):
  pipe, strength = peer[0], 0.6
  photo, _, noise = case
  scheduler = getattr(diffusers, _PEERS[name]).from_config(small_model.SCHEDULER)
  scheduler.set_timesteps(_STEPS)
  first = _STEPS - int(_STEPS * strength)
  with torch.no_grad():
    pixels = torch.tensor(np.float32(photo / 127.5 - 1).transpose(2, 0, 1)[None])
    original = pipe.vae.encode(pixels).latent_dist.mean * pipe.vae.config.scaling_factor
    if name != 'ddim':
      scheduler.set_begin_index(first)
    start = scheduler.add_noise(original, torch.tensor(noise[:, 0].transpose(0, 3, 1, 2)),
                                scheduler.timesteps[first:first + 1])
  start = start / scheduler.init_noise_sigma
  theirs = _theirs(pipe, name, case, 3.0, strength, start.numpy())
  np.testing.assert_allclose(_here(ours, name, case, 3.0, strength, 'original'), theirs, atol=2e-3)
