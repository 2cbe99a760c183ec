"""Seconds an image by inpainting: 16 variants of one photo, and 16 photos, against diffusers in Flax and in PyTorch.

  python -m experiments.bench_inpaint                       a small model, for the CPU
  python -m experiments.bench_inpaint --model=sd15 --side=512 --dtype=bfloat16 --images=4     for an accelerator

All sides have the same random weights, DDIM, steps, guidance and starting noise, and must make the same pixels, in
float32 at least; each goes through the images in lots of the size that is fastest for it. diffusers' pipelines are
called as shipped. PyTorch takes part where it is installed (the extra `torch`), on the device that JAX computes on.
Compile time is left out and printed beside.
"""

import copy
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import flags
from flax.jax_utils import replicate
from jaxtyping import Float

from defect_jax import parallel
from defect_jax.diffusion import pipeline, small_model, vocabulary
from experiments import bench, command

FLAGS = command.define(quick=True)
flags.DEFINE_enum('model', 'small', ['small', 'sd15'], "The small model, or Stable Diffusion 1.5's architecture.",
                  flag_values=FLAGS)
flags.DEFINE_integer('side', 128, 'Pixels a side, a multiple of 64.', lower_bound=64, flag_values=FLAGS)
flags.DEFINE_integer('images', 16, 'Images a round.', lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer('steps', 10, 'Steps of DDIM.', lower_bound=1, flag_values=FLAGS)
flags.DEFINE_float('guidance', 7.5, 'Guidance.', flag_values=FLAGS)
flags.DEFINE_string('dtype', 'float32', 'float32 or bfloat16, of all sides.', flag_values=FLAGS)
flags.DEFINE_integer('rounds', 5, 'Rounds of each side.', lower_bound=1, flag_values=FLAGS)
flags.DEFINE_boolean('peers', True, 'Whether to run the peers.', flag_values=FLAGS)
_PROMPT = 'a scratch'


class Setting(NamedTuple):
  """What all sides have in common, see the flags."""
  model: str
  side: int
  images: int
  steps: int
  guidance: float
  dtype: str


def configs(setting: Setting) -> dict[str, dict]:
  """The parts' configs of the model."""
  parts = copy.deepcopy(small_model.CONFIGS)
  widths = (320, 640, 1280, 1280) if setting.model == 'sd15' else (32, 64, 128, 128)
  parts['unet'] |= {
      'block_out_channels': widths, 'layers_per_block': 2, 'attention_head_dim': 8, 'sample_size': setting.side // 8,
      'down_block_types': ('CrossAttnDownBlock2D',) * 3 + ('DownBlock2D',),
      'up_block_types': ('UpBlock2D',) + ('CrossAttnUpBlock2D',) * 3}
  if setting.model == 'sd15':
    parts['vae'] |= {'block_out_channels': (128, 256, 512, 512), 'norm_num_groups': 32, 'layers_per_block': 2}
    parts['unet']['cross_attention_dim'] = 768
    parts['text_encoder'] |= {'hidden_size': 768, 'intermediate_size': 3072, 'num_hidden_layers': 12,
                              'num_attention_heads': 12}
  else:
    parts['vae'] |= {'block_out_channels': (32, 32, 64, 64), 'norm_num_groups': 32}
  return parts


class Task:
  """Photos `[N, S, S, 3]` in [0, 1], one mask bool `[S, S]`, noise `[N, 2, s, s, 4]`."""

  def __init__(self, setting: Setting, different: bool):
    rng, side, count = np.random.default_rng(0), setting.side, setting.images
    self.setting = setting
    photo = rng.uniform(size=(count if different else 1, side, side, 3)).astype(np.float32)
    # Levels of 8 bits, since diffusers' PyTorch pipeline is given images as a person has them.
    self.photos = np.broadcast_to(np.rint(photo * 255) / np.float32(255), (count, side, side, 3))
    self.different = different
    self.mask = np.zeros((side, side), bool)
    self.mask[side // 4:side // 2, side // 4:3 * side // 4] = True
    self.noise = rng.standard_normal((count, 2, side // 8, side // 8, 4)).astype(np.float32)

  def lots(self, size: int) -> list[slice]:
    return [slice(first, first + size) for first in range(0, self.setting.images, size)]


Fill = Callable[[Task], Float[np.ndarray, 'n s s 3']]
Compiled = dict[str, float]  # seconds


def ours(model: pipeline.Pipeline, setting: Setting, size: int, compiled: Compiled) -> Fill:
  """Function of a Task to images: text once, each distinct photo once, lots of `size`."""
  sampler = model.sampler((setting.side,) * 2, size, 'ddim', setting.steps, setting.guidance, 1.0, 'noise')
  context = model.encode_text([_PROMPT, ''])
  compiled[f'ours, lots of {size}'] = sampler.compile(*context.shape[1:]).compile_seconds

  def run(task):
    context = model.encode_text([_PROMPT, ''])
    photos = list(task.photos if task.different else task.photos[:1])
    encoded = model.encode_photos(photos, [task.mask] * len(photos), sampler.needs_original)
    encoded = encoded if task.different else encoded * setting.images
    wanted = np.repeat(context[:1], size, 0)
    return np.concatenate([sampler.from_noise(task.noise[lot], encoded[lot], wanted, context[1])
                           for lot in task.lots(size)])
  return run


def flax_peer(model: pipeline.Pipeline, setting: Setting, size: int, compiled: Compiled) -> Fill:
  """diffusers' Flax pipeline as shipped, one device."""
  from diffusers import FlaxDDIMScheduler, FlaxStableDiffusionInpaintPipeline
  scheduler = FlaxDDIMScheduler.from_config(small_model.SCHEDULER)
  unet, vae, text = pipeline.modules(model.configs, model.dtype)
  pipe = FlaxStableDiffusionInpaintPipeline(vae, text, model.tokenizer, unet, scheduler, None, None)
  devices = jax.local_devices()[:1]
  params = replicate(model.params | {'scheduler': scheduler.create_state()}, devices)
  ids = pipeline.ids_of(model.tokenizer, [_PROMPT, ''])
  key = jax.random.split(jax.random.key(0), 1)

  def run(task):
    made = []
    for lot in task.lots(size):
      masked = np.where(task.mask[..., None], 0, 2 * task.photos[lot] - 1).transpose(0, 3, 1, 2)
      mask = np.broadcast_to(np.float32(task.mask), (size, 1, setting.side, setting.side))
      texts = [np.repeat(ids[row:row + 1], size, 0)[None] for row in (0, 1)]
      made.append(pipe(texts[0], mask[None], masked[None], params, key, setting.steps, setting.side, setting.side,
                       setting.guidance, task.noise[lot][:, 0].transpose(0, 3, 1, 2)[None], texts[1],
                       jit=True).images[0])
    return np.concatenate(made)
  return _warmed(run, setting, f'Flax, lots of {size}', compiled)


def torch_peer(pipe: Any, setting: Setting, size: int, compiled: Compiled) -> Fill:
  """diffusers' PyTorch pipeline as shipped, all threads."""
  import torch

  def run(task):
    made = []
    for lot in task.lots(size):
      mask = np.repeat(np.float32(task.mask)[None, ..., None], size, 0)
      latents = torch.tensor(task.noise[lot][:, 0].transpose(0, 3, 1, 2)).to(pipe.device, pipe.dtype)
      made.append(pipe([_PROMPT] * size, task.photos[lot].copy(), mask, height=setting.side, width=setting.side,
                       num_inference_steps=setting.steps, guidance_scale=setting.guidance, negative_prompt=[''] * size,
                       latents=latents, output_type='np').images)
    return np.concatenate(made)
  return _warmed(run, setting, f'PyTorch, lots of {size}', compiled)


def _warmed(run, setting, name, compiled):
  """`run` after a first call, whose seconds over a second one's are those of compiling."""
  task, seconds = Task(setting, False), []
  for _ in range(2):
    began = time.monotonic()
    run(task)
    seconds.append(time.monotonic() - began)
  compiled[name] = max(seconds[0] - seconds[1], 0.)
  return run


def build_torch(setting: Setting, folder: str, device: str) -> Any:
  """PyTorch's pipeline of the model on a device, saved to `folder` before; the masked photo's latents have no width, so
  nothing is drawn for them and all sides compute the same."""
  os.environ.setdefault('DIFFUSERS_VERBOSITY', 'error')
  import diffusers
  import torch
  from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
  parts = configs(setting)
  torch.manual_seed(0)
  (Path(folder) / 'tokenizer').mkdir()
  vocabulary.write(Path(folder) / 'tokenizer')
  vae = diffusers.AutoencoderKL(**parts['vae'])
  with torch.no_grad():
    vae.quant_conv.weight[4:] = 0
    vae.quant_conv.bias[4:] = -30
  pipe = diffusers.StableDiffusionInpaintPipeline(
    vae=vae, text_encoder=CLIPTextModel(CLIPTextConfig(**parts['text_encoder'])), safety_checker=None,
    tokenizer=CLIPTokenizer.from_pretrained(Path(folder) / 'tokenizer'), feature_extractor=None,
    unet=diffusers.UNet2DConditionModel(**parts['unet']), requires_safety_checker=False,
    scheduler=diffusers.DDIMScheduler.from_config(small_model.SCHEDULER))
  pipe.set_progress_bar_config(disable=True)
  pipe.save_pretrained(folder)
  return pipe.to(device, getattr(torch, setting.dtype))


def fastest(build: Callable[[int, Compiled], Fill], sizes: Sequence[int], task: Task,
            compiled: Compiled) -> tuple[Fill, int]:
  """The function of the lot size that is fastest by one call after a first one, and that size."""
  best = None
  for size in sizes:
    run = build(size, compiled)
    run(task)
    began = time.monotonic()
    run(task)
    seconds = time.monotonic() - began
    if best is None or seconds < best[0]:
      best = seconds, run, size
  return best[1:]


def main(flags: flags.FlagValues) -> None:
  rounds = 1 if flags.quick else flags.rounds
  side, images, steps = (64, 2, 2) if flags.quick else (flags.side, flags.images, flags.steps)
  setting = Setting(flags.model, side, images, steps, flags.guidance, flags.dtype)
  bench.print_load()
  compiled, device = {}, bench.torch_device() if flags.peers else None
  with tempfile.TemporaryDirectory() as folder:
    pipe = build_torch(setting, folder, device) if device else None
    model = pipeline.load(folder, flags.dtype) if device else pipeline.random(configs(setting), flags.dtype)
  sizes = sorted({images, max(1, images // 4), 1}, reverse=True)
  variants, photos = Task(setting, False), Task(setting, True)
  builders = {'ours': lambda size, seen: ours(model, setting, size, seen)}
  if flags.peers:
    builders['Flax'] = lambda size, seen: flax_peer(model, setting, size, seen)
  if device:
    builders['PyTorch'] = lambda size, seen: torch_peer(pipe, setting, size, seen)
  chosen = {name: fastest(build, sizes, variants, compiled) for name, build in builders.items()}
  print(f'{flags.model} model, {side} px, {steps} steps, guidance {flags.guidance}, {images} images, '
        f'{parallel.devices()} device(s); lots: ' + ', '.join(f'{name} {size}' for name, (_, size) in chosen.items()))
  print('seconds to compile: ' + ', '.join(f'{name} {seconds:.1f}' for name, seconds in compiled.items()))
  results = {}
  for what, task in (('variants of one photo', variants), ('different photos', photos)):
    made = {name: run(task) for name, (run, _) in chosen.items()}
    for name in list(made)[1:]:
      print(f'{what}: ours and {name} differ by at most {np.abs(made["ours"] - made[name]).max():.1e}')
    seconds = bench.alternate({name: lambda run=run, task=task: run(task) for name, (run, _) in chosen.items()},
                              rounds, warm=0)
    print(what)
    bench.print_times(seconds, images)
    results[what] = {name: float(np.median(values)) for name, values in seconds.items()}
  first, second = results.values()
  more = {'different_photos': {name: second[name] / second['ours'] for name in second},
          'variants': {name: first[name] / first['ours'] for name in first}, 'compile_seconds': compiled,
          'images_per_second': images / first['ours']}
  packages = ('jaxlib', 'flax', 'diffusers') + (('torch',) if device else ())
  bench.print_result('bench_inpaint', first['ours'], first.get('Flax'), packages, **more,
                     **bench.peak_memory(device))


if __name__ == '__main__':
  command.run(main, FLAGS)
