"""Training steps of the small inpainting pipeline of configs/inpaint_train.py, against the same in PyTorch.

  python -m experiments.bench_inpaint_train
  python -m experiments.bench_inpaint_train --model=sd15 --dtype=bfloat16 --batch=8      for an accelerator, ours alone

Both sides have the same architecture (diffusers' modules), latents of areas that are encoded once, a loss weighted to
the mask, gradients clipped by their norm, AdamW, running means of the parameters, and all threads. PyTorch takes part
where it is installed (the extra `torch`). Compile time is left out, and told beside.
"""

import importlib.util
import os
import time

import jax
import numpy as np
import optax
from absl import flags

from configs import inpaint_train
from defect_jax import parallel
from defect_jax.diffusion import learning, lora, pipeline, random_model, schedulers, small_model
from defect_jax.tasks.inpaint_train import stages
from defect_jax.training.descent import Descent
from defect_jax.training.feeding import ResidentFeed
from experiments import bench, command

FLAGS = flags.FLAGS
flags.DEFINE_enum('model', 'small', ['small', 'sd15'], "The small pipeline, or Stable Diffusion 1.5's architecture.")
flags.DEFINE_integer('batch', 16, 'Images a step.', lower_bound=4)
flags.DEFINE_integer('size', 0, 'Pixels a side; 0: 64 of the small pipeline, 512 of Stable Diffusion.')
flags.DEFINE_string('dtype', 'float32', 'float32 or bfloat16; PyTorch runs in float32.')
flags.DEFINE_boolean('lora', False, 'LoRA of rank 8 instead of the whole UNet; ours alone.')
flags.DEFINE_boolean('again', False, 'Gradient checkpointing; ours alone.')
flags.DEFINE_integer('rounds', 10, 'Steps of each side.', lower_bound=1)
_BANK = 64  # areas
_WARM = 8  # steps of each side before the clock: memory settles only after some
_TOKENS = 600  # of the small vocabulary


def configs():
  """The parts' configs of the model."""
  small = inpaint_train.get_config('tiny' if FLAGS.quick else None)
  size = FLAGS.size or (small.data.size if FLAGS.model == 'small' else 512)
  of = small.model
  if FLAGS.model == 'small':
    return small_model.configs(size, of.autoencoder.to_dict(), of.unet.to_dict(), of.text.to_dict(), _TOKENS,
                               of.text.length)
  return small_model.configs(
      size, {'widths': (128, 256, 512, 512), 'blocks': 2, 'latent': 4},
      {'widths': (320, 640, 1280, 1280), 'blocks': 2, 'attention': (True, True, True, False), 'heads': 8},
      {'width': 768, 'blocks': 12, 'heads': 12}, 49408, 77)


def material(parts):
  """A bank of drawn latents, as stages.bank makes it of photos."""
  rng, unet = np.random.default_rng(0), parts['unet']
  shape = (_BANK, unet['sample_size'], unet['sample_size'], unet['out_channels'])
  mask = np.zeros(shape[:3], np.float32)
  mask[:, shape[1] // 4:shape[1] // 2, shape[1] // 4:] = 1
  return {'original': np.float32(rng.normal(size=shape)), 'masked': np.float32(rng.normal(size=shape)), 'mask': mask,
          'text': np.zeros(_BANK, np.int32)}


def ours(parts, bank):
  """(function that makes a step, seconds it took to compile)."""
  model, settings = pipeline.random(parts, FLAGS.dtype), inpaint_train.get_config().optimizer
  params = {part: random_model.init(like, 0) for part, like in pipeline.shapes(parts).items()}
  length = parts['text_encoder']['max_position_embeddings']
  frozen = {'ids': np.ones((2, length), np.int32)}
  moved, join = {part: params[part] for part in ('unet', 'text_encoder')}, lambda moved, frozen: frozen | moved
  if FLAGS.lora or FLAGS.model == 'sd15':
    frozen['contexts'] = np.zeros((2, length, parts['unet']['cross_attention_dim']), np.float32)
    moved = {'unet': params['unet']}
  if FLAGS.lora:
    frozen, moved = frozen | moved, {'lora': lora.init(params['unet'], 8, 0)}
    def join(moved, frozen):
      return frozen | {'unet': lora.merged(frozen['unet'], moved['lora'])}
  loss = learning.Denoising(model, settings.outside, 0.1, join, FLAGS.again)
  optimizer = optax.chain(optax.clip_by_global_norm(settings.clip), optax.adamw(settings.lr))
  descent = Descent(loss, optimizer, jax.random.key(0), settings.average)
  feed = ResidentFeed(descent, bank, FLAGS.batch, jax.random.key(1), 1, stages.rows)
  state = [parallel.replicate(descent.init(moved, frozen))]

  def step():
    state[0], metrics = feed.advance(state[0], 1)
    return metrics['train/loss']

  step()
  return step, feed.compile_seconds


def torch_peer(parts, bank):
  """Function that makes a step in PyTorch, all threads."""
  os.environ.setdefault('DIFFUSERS_VERBOSITY', 'error')
  import diffusers
  import torch
  from transformers import CLIPTextConfig, CLIPTextModel
  torch.manual_seed(0)
  torch.set_num_threads(len(os.sched_getaffinity(0)))
  settings = inpaint_train.get_config().optimizer
  unet = diffusers.UNet2DConditionModel(**parts['unet'])
  text = CLIPTextModel(CLIPTextConfig(**parts['text_encoder']))
  moved = torch.nn.ModuleDict({'unet': unet, 'text': text})
  average = [of.detach().clone() for of in moved.parameters()]
  optimizer = torch.optim.AdamW(moved.parameters(), settings.lr, weight_decay=1e-4)
  signal2 = torch.tensor(np.float32(schedulers.signal2(small_model.SCHEDULER)))
  known = {name: torch.tensor(of) for name, of in bank.items()}
  nchw = {name: known[name].permute(0, 3, 1, 2).contiguous() for name in ('original', 'masked')}
  ids = torch.ones((2, parts['text_encoder']['max_position_embeddings']), dtype=torch.long)

  def step():
    rows = torch.randint(_BANK, (FLAGS.batch,))
    original, masked, mask = nchw['original'][rows], nchw['masked'][rows], known['mask'][rows][:, None]
    time_of = torch.randint(len(signal2), (FLAGS.batch,))
    signal, sigma = signal2[time_of].sqrt()[:, None, None, None], (1 - signal2[time_of]).sqrt()[:, None, None, None]
    noise = torch.randn_like(original)
    seen = torch.cat([signal * original + sigma * noise, mask, masked], 1)
    context = text(ids)[0][known['text'][rows].long()]
    squares = (unet(seen, time_of, context).sample - (signal * noise - sigma * original)).square().mean(1, keepdim=True)
    weight = torch.where(mask > 0, 1., settings.outside)
    loss = ((weight * squares).sum((1, 2, 3)) / weight.sum((1, 2, 3))).mean()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(moved.parameters(), settings.clip)
    optimizer.step()
    with torch.no_grad():
      torch._foreach_lerp_(average, list(moved.parameters()), 1 - settings.average)
    return loss.item()

  return step, sum(of.numel() for of in unet.parameters())


def main(argv):
  """Prints a table and the result."""
  del argv
  if FLAGS.quick:
    FLAGS.rounds, FLAGS.batch = 2, 4
  bench.print_load()
  parts = configs()
  bank = material(parts)
  began = time.monotonic()
  step, compile_seconds = ours(parts, bank)
  print(f'{FLAGS.model} model, {parts["vae"]["sample_size"]} px, {parts["unet"]["sample_size"]}^2 latents, batch '
        f'{FLAGS.batch}, {parallel.devices()} device(s); ready after {time.monotonic() - began:.0f} s, '
        f'{compile_seconds:.0f} of them compiling')
  steps = {'ours': step}
  with_torch = importlib.util.find_spec('torch') is not None and FLAGS.model == 'small' and not FLAGS.lora
  if with_torch:
    steps['PyTorch'], count = torch_peer(parts, bank)
    same = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(pipeline.shapes(parts)['unet']))
    print(f'parameters of the UNet: {same:,} here, {count:,} in PyTorch')
  seconds = bench.alternate(steps, FLAGS.rounds, _WARM)
  bench.print_times(seconds, FLAGS.batch)
  medians = {name: float(np.median(values)) for name, values in seconds.items()}
  packages = ('jaxlib', 'flax', 'diffusers') + (('torch',) if with_torch else ())
  more = {'images_per_second': FLAGS.batch / medians['ours'], 'compile_seconds': compile_seconds}
  stats = jax.local_devices()[0].memory_stats() or {}
  if 'peak_bytes_in_use' in stats:
    more['peak_gb'] = stats['peak_bytes_in_use'] / 1e9
  bench.print_result('bench_inpaint_train', medians['ours'], medians.get('PyTorch'), packages, **more)


if __name__ == '__main__':
  command.run(main)
