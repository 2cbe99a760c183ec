"""Training steps of the small inpainting pipeline of configs/inpaint_train.py, against the same in PyTorch.

  python -m experiments.bench_inpaint_train
  python -m experiments.bench_inpaint_train --model=sd15 --dtype=bfloat16 --batch=8      for an accelerator
  python -m experiments.bench_inpaint_train --model=sd15 --dtype=bfloat16 --batch=8 --lora

Both sides have the same architecture (diffusers' modules), latents of areas that are encoded once, a loss weighted to
the mask, gradients clipped by their norm, AdamW, running means of the parameters, and all threads. Of Stable Diffusion
the UNet alone learns. PyTorch takes part where it is installed (the extra `torch`), on the device that JAX computes on.
Compile time is left out and printed beside.
"""

import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from absl import flags
from jaxtyping import Array, Shaped

from configs import inpaint_train
from defect_jax import parallel
from defect_jax.data import batches
from defect_jax.diffusion import finetune, lora, pipeline, schedulers, small_model
from defect_jax.training import routing
from defect_jax.training.feeds import ResidentFeed
from defect_jax.training.trainer import Trainer
from experiments import bench, command

FLAGS = command.define(quick=True)
flags.DEFINE_enum('model', 'small', ['small', 'sd15'], "The small pipeline, or Stable Diffusion 1.5's architecture.",
                  flag_values=FLAGS)
flags.DEFINE_integer('batch', 16, 'Images a step.', lower_bound=4, flag_values=FLAGS)
flags.DEFINE_integer('size', 0, 'Pixels a side; 0: 64 of the small pipeline, 512 of Stable Diffusion.',
                     flag_values=FLAGS)
flags.DEFINE_string('dtype', 'float32', 'float32 or bfloat16, of what is computed; parameters are float32.',
                    flag_values=FLAGS)
flags.DEFINE_boolean('lora', False, 'LoRA of rank 8 instead of the whole UNet; PyTorch then takes PEFT.',
                     flag_values=FLAGS)
flags.DEFINE_boolean('again', False, 'Gradient checkpointing.', flag_values=FLAGS)
flags.DEFINE_integer('rounds', 10, 'Steps of each side.', lower_bound=1, flag_values=FLAGS)
_BANK = 64  # areas
_WARM = 8  # steps of each side before the clock: memory settles only after some
_TOKENS = 600  # of the small vocabulary
_RANK = 8  # of LoRA

Bank = dict[str, Shaped[np.ndarray, 'n ...']]


class Setting(NamedTuple):
  """What both sides have in common, see the flags; remat: gradient checkpointing."""
  model: str
  batch: int
  dtype: str
  lora: bool
  remat: bool

  @property
  def trains_text(self) -> bool:
    """Whether the text encoder learns too, as it does from scratch."""
    return self.model == 'small' and not self.lora


def configs(setting: Setting, side: int, quick: bool) -> dict[str, dict]:
  """The parts' configs of the model; side: pixels, 0 for the model's own."""
  small = inpaint_train.get_config('tiny' if quick else None)
  size = side or (small.data.size if setting.model == 'small' else 512)
  of = small.model
  if setting.model == 'small':
    return small_model.configs(size, of.autoencoder.to_dict(), of.unet.to_dict(), of.text.to_dict(), _TOKENS,
                               of.text.length)
  return small_model.configs(
      size, {'widths': (128, 256, 512, 512), 'blocks': 2, 'latent': 4},
      {'widths': (320, 640, 1280, 1280), 'blocks': 2, 'attention': (True, True, True, False), 'heads': 8},
      {'width': 768, 'blocks': 12, 'heads': 12}, 49408, 77)


def material(parts: dict[str, dict]) -> Bank:
  """A bank of drawn latents, as finetuner.encoded makes it of photos."""
  rng, unet = np.random.default_rng(0), parts['unet']
  shape = (_BANK, unet['sample_size'], unet['sample_size'], unet['out_channels'])
  mask = np.zeros(shape[:3], np.float32)
  mask[:, shape[1] // 4:shape[1] // 2, shape[1] // 4:] = 1
  return {'original': np.float32(rng.normal(size=shape)), 'masked': np.float32(rng.normal(size=shape)), 'mask': mask,
          'text': np.zeros(_BANK, np.int32)}


def ours(setting: Setting, parts: dict[str, dict], bank: Bank) -> tuple[Callable[[], Array], float]:
  """(function that makes a step, seconds it took to compile)."""
  model, settings = pipeline.random(parts, setting.dtype), inpaint_train.get_config().optimizer
  params = {part: small_model.init(like, 0) for part, like in pipeline.shapes(parts).items()}
  length = parts['text_encoder']['max_position_embeddings']
  frozen = {'ids': np.ones((2, length), np.int32)}
  moved, join = {part: params[part] for part in ('unet', 'text_encoder')}, lambda moved, frozen: frozen | moved
  if not setting.trains_text:
    frozen['contexts'] = np.zeros((2, length, parts['unet']['cross_attention_dim']), np.float32)
    moved = {'unet': params['unet']}
  if setting.lora:
    frozen, moved = frozen | moved, {'lora': lora.init(params['unet'], _RANK, 0)}
    def join(moved, frozen):
      return frozen | {'unet': lora.merged(frozen['unet'], moved['lora'])}
  denoising = finetune.Denoising(model, settings.outside, 0.1, join, setting.remat)
  optimizer = optax.chain(optax.clip_by_global_norm(settings.clip), optax.adamw(settings.lr))
  trainer = Trainer(denoising, finetune.DENOISING_LOSSES, routing.whole('loss', moved, optimizer), jax.random.key(0),
                    decay=settings.average, warm=True)
  feed = ResidentFeed(trainer, bank, setting.batch, jax.random.key(1), 1, batches.gather_columns)
  state = [parallel.replicate(trainer.init(moved, frozen=frozen))]

  def step():
    state[0], metrics = feed.advance(state[0], 1)
    return metrics['train/loss']

  step()
  return step, feed.compile_seconds


class TorchPeer:
  """The same steps in PyTorch, by diffusers' modules as its training scripts use them: eager, autocast for bfloat16,
  PEFT's adapters for LoRA; `parameters`: of the UNet, its adapters among them."""

  def __init__(self, setting: Setting, parts: dict[str, dict], bank: Bank, device: str):
    os.environ.setdefault('DIFFUSERS_VERBOSITY', 'error')
    import diffusers
    import torch
    self._torch, self._device, self._setting = torch, device, setting
    torch.manual_seed(0)
    with torch.device(device):
      self._unet = diffusers.UNet2DConditionModel(**parts['unet'])
      self._text = self._text_encoder(parts) if setting.trains_text else None
    if device == 'cuda':  # as PyTorch advises for convolutions there
      self._unet.to(memory_format=torch.channels_last)
    if setting.lora:
      self._add_lora()
    if setting.remat:
      self._unet.enable_gradient_checkpointing()
    self.parameters = sum(of.numel() for of in self._unet.parameters())
    known = {name: torch.tensor(of, device=device) for name, of in bank.items()}
    self._bank = known | {name: known[name].permute(0, 3, 1, 2).contiguous() for name in ('original', 'masked')}
    self._signal2 = torch.tensor(np.float32(schedulers.signal2(small_model.VELOCITY)), device=device)
    length = parts['text_encoder']['max_position_embeddings']
    self._ids = torch.ones((2, length), dtype=torch.long, device=device)
    self._contexts = torch.zeros((2, length, parts['unet']['cross_attention_dim']), device=device)
    self._moved = [of for part in (self._unet, self._text) if part is not None for of in part.parameters()
                   if of.requires_grad]
    self._average = [of.detach().clone() for of in self._moved]
    self._settings = inpaint_train.get_config().optimizer
    self._optimizer = torch.optim.AdamW(self._moved, self._settings.lr, weight_decay=1e-4)

  @staticmethod
  def _text_encoder(parts: dict) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel
    return CLIPTextModel(CLIPTextConfig(**parts['text_encoder']))

  def _add_lora(self):
    command.check_installed('peft', 'torch')
    from peft import LoraConfig
    self._unet.requires_grad_(False)
    self._unet.add_adapter(LoraConfig(r=_RANK, lora_alpha=_RANK, init_lora_weights='gaussian',
                                      target_modules=['to_q', 'to_k', 'to_v', 'to_out.0']))

  def _loss(self):
    torch, known, settings = self._torch, self._bank, self._settings
    on = {'device': self._device}
    rows = torch.randint(_BANK, (self._setting.batch,), **on)
    original, masked, mask = known['original'][rows], known['masked'][rows], known['mask'][rows][:, None]
    time_of = torch.randint(len(self._signal2), (self._setting.batch,), **on)
    signal2 = self._signal2[time_of][:, None, None, None]
    noise, signal, sigma = torch.randn_like(original), signal2.sqrt(), (1 - signal2).sqrt()
    seen = torch.cat([signal * original + sigma * noise, mask, masked], 1)
    contexts = self._contexts if self._text is None else self._text(self._ids)[0]
    out = self._unet(seen, time_of, contexts[known['text'][rows].long()]).sample
    squares = (out.float() - (signal * noise - sigma * original)).square().mean(1, keepdim=True)
    weight = torch.where(mask > 0, 1., settings.outside)
    return ((weight * squares).sum((1, 2, 3)) / weight.sum((1, 2, 3))).mean()

  def __call__(self) -> float:
    torch = self._torch
    with torch.autocast(self._device, torch.bfloat16, self._setting.dtype == 'bfloat16'):
      loss = self._loss()
    self._optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(self._moved, self._settings.clip)
    self._optimizer.step()
    with torch.no_grad():
      torch._foreach_lerp_(self._average, self._moved, 1 - self._settings.average)
    return loss.item()


def main(flags: flags.FlagValues) -> None:
  rounds, batch = (2, 4) if flags.quick else (flags.rounds, flags.batch)
  setting = Setting(flags.model, batch, flags.dtype, flags.lora, flags.again)
  bench.print_load()
  parts = configs(setting, flags.size, flags.quick)
  bank = material(parts)
  began = time.monotonic()
  step, compile_seconds = ours(setting, parts, bank)
  print(f'{flags.model} model, {parts["vae"]["sample_size"]} px, {parts["unet"]["sample_size"]}^2 latents, batch '
        f'{batch}, {parallel.devices()} device(s); ready after {time.monotonic() - began:.0f} s, '
        f'{compile_seconds:.0f} of them compiling')
  steps, device = {'ours': step}, bench.torch_device()
  if device:
    steps['PyTorch'] = peer = TorchPeer(setting, parts, bank, device)
    same = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(pipeline.shapes(parts)['unet']))
    print(f'parameters of the UNet: {same:,} here, {peer.parameters:,} in PyTorch')
  seconds = bench.alternate(steps, rounds, _WARM)
  bench.print_times(seconds, batch)
  medians = {name: float(np.median(values)) for name, values in seconds.items()}
  bench.print_result('bench_inpaint_train', medians['ours'], medians.get('PyTorch'),
                     ('jaxlib', 'flax', 'diffusers') + (('torch',) if device else ()),
                     images_per_second=batch / medians['ours'], compile_seconds=compile_seconds,
                     **bench.peak_memory(device))


if __name__ == '__main__':
  command.run(main, FLAGS)
