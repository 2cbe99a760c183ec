"""Stable Diffusion inpainting in JAX: diffusers' Flax modules with a sampling function of our own.

The only module that imports diffusers and transformers, which are pinned: see README. Each prompt and each masked photo
is encoded once, and the sampling function is compiled once per size; every image has its own noise, so it is the same
in any batch and on any number of devices. Latent diffusion: Rombach et al. 2022; classifier-free guidance: Ho and
Salimans 2022, equation 6.
"""

import contextlib
import functools
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault('USE_TF', '0')  # transformers would import TensorFlow, for seconds, where it finds it
# Otherwise every module warns that these libraries drop Flax.
os.environ.setdefault('DIFFUSERS_VERBOSITY', 'error')
os.environ.setdefault('TRANSFORMERS_VERBOSITY', 'error')

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from diffusers import FlaxAutoencoderKL, FlaxUNet2DConditionModel
from diffusers.models import modeling_flax_pytorch_utils as unet_names
from diffusers.models.attention_flax import FlaxAttention, FlaxTransformer2DModel
from diffusers.models.resnet_flax import FlaxResnetBlock2D
from diffusers.models.vae_flax import FlaxAttentionBlock
from jaxtyping import Array, Bool, Float, Int
from transformers import CLIPTextConfig, CLIPTokenizer, FlaxCLIPTextModel
from transformers import modeling_flax_pytorch_utils as text_names

from defect_jax import parallel
from defect_jax.diffusion import attention, convolution, lora, random_model, schedulers, vocabulary, weights
from defect_jax.diffusion.sampler import Encoded, Sampler
from defect_jax.errors import UserError
from defect_jax.models import normalization

# Settings of PyTorch models that diffusers' Flax modules pass over, and what these compute.
_ONLY = {
    'unet': {'norm_num_groups': 32, 'act_fn': 'silu', 'class_embed_type': None, 'dual_cross_attention': False,
             'resnet_time_scale_shift': 'default', 'center_input_sample': False, 'conv_in_kernel': 3, 'norm_eps': 1e-5,
             'encoder_hid_dim': None, 'time_embedding_type': 'positional', 'addition_embed_type': None},
    'vae': {'act_fn': 'silu', 'mid_block_add_attention': True, 'use_quant_conv': True, 'shift_factor': None}}
_BLOCKS = FlaxResnetBlock2D | FlaxTransformer2DModel
Tree = Mapping[str, Any]


class Pipeline:
  """An inpainting pipeline.

  Attributes:
    model: its name in manifests: that of its folder and the first digits of its digest. digest: SHA-256 of its weights.
    native: side in pixels that it was made for. factor: pixels per latent. multiple: canvas sides are multiples of it.
    configs: {part: its config.json}. scheduler: its scheduler_config.json. channels: of the latents.
  """

  def __init__(self, name: str, configs: Mapping[str, Tree], params: Tree, tokenizer: CLIPTokenizer,
               scheduler: Mapping[str, Any], digest: str, dtype: str):
    self.configs, (self._unet, self._vae, self._text) = configs, modules(configs, dtype)
    self._tokenizer, self._dtype = tokenizer, jnp.dtype(dtype)
    self._text_params = params['text_encoder']
    cast = jax.tree.map(lambda leaf: np.asarray(leaf).astype(self._dtype), {k: params[k] for k in ('unet', 'vae')})
    self._params = parallel.replicate(cast)
    self.scheduler, self.channels = scheduler, self._vae.config.latent_channels
    self.factor = 2 ** (len(self._vae.config.block_out_channels) - 1)
    self.multiple = self.factor * 2 ** (len(self._unet.config.block_out_channels) - 1)
    self.native = self._unet.config.sample_size * self.factor
    self.digest = digest
    self.model = name if name == weights.RANDOM else f'{Path(name).name} {digest[:12]}'
    self._encode = {original: parallel.pmap(functools.partial(self._encode_on_device, original))
                    for original in (False, True)}
    self._encode_text = jax.jit(lambda params, ids: self._text(ids, params=params)[0])

  @property
  def parts(self) -> tuple[FlaxAutoencoderKL, FlaxCLIPTextModel, CLIPTokenizer, FlaxUNet2DConditionModel]:
    """In the order in which diffusers' pipelines take them."""
    return self._vae, self._text, self._tokenizer, self._unet

  @property
  def params(self) -> dict[str, Any]:
    """{part: parameters}, those of UNet and VAE of the first device."""
    return parallel.first(self._params) | {'text_encoder': self._text_params}

  def ids(self, prompts: Iterable[str]) -> Int[np.ndarray, 'p t']:
    """See `ids_of`."""
    return ids_of(self._tokenizer, prompts)

  def cut_off(self, prompt: str) -> str:
    """The end of a prompt that the model does not see, since it lies beyond the tokenizer's length; mostly ''."""
    ids = self._tokenizer(prompt, truncation=False, verbose=False).input_ids
    room = self._tokenizer.model_max_length
    return self._tokenizer.decode(ids[room - 1:-1]).strip() if len(ids) > room else ''

  def encode_text(self, prompts: Iterable[str]) -> Float[np.ndarray, 'p t d']:
    """Embeddings of texts."""
    return np.concatenate([np.float32(self._encode_text(self._text_params, ids[None])) for ids in self.ids(prompts)])

  def encode_photos(self, canvases: Sequence[Float[np.ndarray, 'h w 3']], masks: Sequence[Bool[np.ndarray, 'h w']],
                    original: bool = True) -> list[Encoded]:
    """Canvases in [0, 1] as the model sees them, of which what is masked is made anew.

    One photo per device at a time, so that no photo's latents depend on its neighbours. original: whether the latents
    of the whole photo are needed (Sampler.needs_original); otherwise they are 0.
    """
    encode = self._encode[bool(original)]
    encoded, devices = [], parallel.devices()
    for first in range(0, len(canvases), devices):
      rows = [min(first + slot, len(canvases) - 1) for slot in range(devices)]
      masked, whole, mask = jax.device_get(encode(
          self._params, np.stack([canvases[row][None] for row in rows]), np.stack([masks[row][None] for row in rows])))
      encoded += [Encoded(masked[slot, 0], whole[slot, 0], mask[slot, 0])
                  for slot in range(min(devices, len(canvases) - first))]
    return encoded

  def _encode_on_device(self, original, params, canvas, mask):
    photo = 2 * canvas - 1
    masked = jnp.where(mask[..., None], 0, photo)
    images = jnp.concatenate([masked, photo]) if original else masked
    moments = apply(self._vae, params['vae'], images.transpose(0, 3, 1, 2).astype(self._dtype),
                    method=self._vae.encode).latent_dist
    latents = jnp.float32(moments.mode()) * self._vae.config.scaling_factor
    cells = mask.reshape(len(mask), mask.shape[1] // self.factor, self.factor, -1, self.factor)
    whole = latents[len(canvas):] if original else jnp.zeros_like(latents)
    return latents[:len(canvas)], whole, jnp.float32(cells.any((2, 4)))

  def sampler(self, canvas: tuple[int, int], batch: int, name: str, steps: int, guidance: float, strength: float,
              content: str) -> Sampler:
    """A sampler of `batch` canvases (width, height) at a time; raises UserError for steps that it cannot take."""
    schedule = schedulers.make(name, self.scheduler, steps, strength)
    return Sampler(self, self._params, canvas, batch, schedule, guidance, content)

  def predict(self, params: Tree, latents: Float[Array, 'b h w c'], timestep: Float[Array, '*b'], encoded: Encoded,
              context: Float[Array, 'b t d'], remat: bool = False) -> Float[Array, 'b h w c']:
    """The output of the UNet params['unet']; `encoded` has a batch axis; remat: see `apply`."""
    inputs = jnp.concatenate([latents, encoded.mask[..., None], encoded.masked], -1).transpose(0, 3, 1, 2)
    out = apply(self._unet, params['unet'], inputs.astype(self._dtype), timestep, context.astype(self._dtype),
                remat=remat)
    return jnp.float32(out.sample).transpose(0, 2, 3, 1)

  def decode(self, params: Tree, latents: Float[Array, 'b h w c']) -> Float[Array, 'b H W 3']:
    """Images in [0, 1]."""
    latents = (latents / self._vae.config.scaling_factor).transpose(0, 3, 1, 2).astype(self._dtype)
    image = apply(self._vae, params['vae'], latents, method=self._vae.decode).sample
    return jnp.clip(jnp.float32(image) / 2 + 0.5, 0, 1).transpose(0, 2, 3, 1)

  def embed(self, params: Tree, ids: Int[Array, 'p t']) -> Float[Array, 'p t d']:
    """Embeddings of token ids by a text encoder; for use inside jit."""
    return self._text(ids, params=params)[0]


def apply(module: nn.Module, params: Tree, *arguments: Any, remat: bool = False, **keywords: Any) -> Any:
  """module.apply with our attention in place of diffusers' own, and with faster kernels on CPUs.

  remat: computes the inside of each block again in the backward pass instead of keeping it (gradient checkpointing),
  which takes a third more time and a fraction of the memory.
  """
  outer = nn.intercept_methods(_Remat()) if remat else contextlib.nullcontext()
  with (nn.intercept_methods(_attention), nn.intercept_methods(convolution.by_product),
        nn.intercept_methods(normalization.by_channel), outer):
    return module.apply({'params': params}, *arguments, **keywords)


class _Remat:
  """Checkpoints each block of a UNet or VAE (for flax.linen.intercept_methods)."""

  def __init__(self) -> None:
    self._inside = set()

  def __call__(self, call: Callable[..., Any], arguments: Sequence, keywords: Mapping[str, Any],
               context: Any) -> Any:
    module = context.module
    if context.method_name != '__call__' or not isinstance(module, _BLOCKS) or module.path in self._inside:
      return call(*arguments, **keywords)

    def block(inner, *inputs):
      self._inside.add(module.path)
      try:
        return inner(*inputs, **keywords)
      finally:
        self._inside.remove(module.path)

    return nn.remat(block)(module, *arguments)


def modules(configs: Mapping[str, Tree], dtype: str
            ) -> tuple[FlaxUNet2DConditionModel, FlaxAutoencoderKL, FlaxCLIPTextModel]:
  """The networks that configs describe, without parameters."""
  unet = FlaxUNet2DConditionModel.from_config(configs['unet'], dtype=jnp.dtype(dtype))
  vae = FlaxAutoencoderKL.from_config(configs['vae'], dtype=jnp.dtype(dtype))
  return unet, vae, FlaxCLIPTextModel(CLIPTextConfig.from_dict(configs['text_encoder']), _do_init=False)


def load(name: str | None, dtype: str = 'float32', adapters: str | os.PathLike | None = None) -> Pipeline:
  """The pipeline of a local folder, a hub name, or weights.RANDOM; raises UserError for what is none or not whole.

  adapters: a file or folder of LoRA weights that are merged into it.
  """
  if name == weights.RANDOM:
    if adapters:
      raise UserError(f'lora: {adapters} belongs to other weights than random ones; name these, or leave it out')
    return random(dtype=dtype)
  folder = weights.folder_of(name)
  weights.config(folder, 'model_index.json')
  configs = {part: weights.config(folder, f'{part}/config.json') for part in weights.PARTS}
  _check(configs)
  like = shapes(configs)
  renames = {'unet': _diffusers_name, 'vae': _diffusers_name, 'text_encoder': _text_name}
  params, digests = {}, ''
  for part in weights.PARTS:
    params[part], digest = weights.read(folder, part, like[part], renames[part])
    digests += digest
  digest = hashlib.sha256(digests.encode()).hexdigest()
  if adapters:
    matrices = lora.read(adapters, params['unet'], digest)
    params['unet'] = lora.merged(params['unet'], matrices)
    digest = hashlib.sha256(f'{digest}{lora.digest(matrices)}'.encode()).hexdigest()
  return Pipeline(str(name), configs, params, tokenizer_of(folder / 'tokenizer'),
                  weights.config(folder, 'scheduler/scheduler_config.json'), digest, dtype)


def shapes(configs: Mapping[str, Tree]) -> dict[str, Any]:
  """{part: tree of shapes} of the parameters that configs describe; UserError if no model can be made of them."""
  unet, vae, text = modules(configs, 'float32')
  try:
    of_both = [jax.eval_shape(module.init_weights, jax.random.key(0)) for module in (unet, vae)]
  except (ValueError, TypeError, KeyError, ZeroDivisionError) as error:
    detail = ' '.join(str(error).split())
    raise UserError(f'weights: unet/config.json or vae/config.json describe no model that can be made ({detail})'
                    ) from error
  return dict(zip(weights.PARTS, (*of_both, text.params_shape_tree), strict=True))


def _check(configs):
  channels = configs['unet'].get('in_channels')
  wanted = 2 * configs['vae'].get('latent_channels', 4) + 1  # latents, mask, latents of the masked photo
  if channels != wanted:
    raise UserError(f'weights: the UNet takes {channels} channels, so this is no inpainting pipeline; one that takes '
                    f'{wanted} is needed, such as {weights.EXAMPLE}')
  for part, only in _ONLY.items():
    for key, value in only.items():
      if configs[part].get(key, value) != value:
        raise UserError(f'weights: {part}/config.json: {key} = {configs[part][key]!r} is not what the Flax models of '
                        f'diffusers compute ({value!r}); take another pipeline')


def ids_of(tokenizer: CLIPTokenizer, prompts: Iterable[str]) -> Int[np.ndarray, 'p t']:
  """Token ids of texts, as many as the tokenizer takes; what lies beyond is cut off."""
  return tokenizer(list(prompts), padding='max_length', max_length=tokenizer.model_max_length, truncation=True,
                   return_tensors='np').input_ids


def tokenizer_of(folder: str | os.PathLike) -> CLIPTokenizer:
  """The CLIP tokenizer of a folder; raises UserError if there is none."""
  try:
    return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
  except (OSError, ValueError, TypeError) as error:
    raise UserError(f'weights: {folder} holds no CLIP tokenizer (vocab.json, merges.txt); copy it again') from error


def random(configs: Mapping[str, Tree] = random_model.CONFIGS, dtype: str = 'float32', seed: int = 0) -> Pipeline:
  """A pipeline of random weights."""
  params = {part: random_model.init(like, seed) for part, like in shapes(configs).items()}
  with tempfile.TemporaryDirectory() as folder:
    vocabulary.write(folder)
    tokenizer = tokenizer_of(folder)
  return Pipeline(weights.RANDOM, configs, params, tokenizer, random_model.SCHEDULER, '', dtype)


def _diffusers_name(name, array, flat):
  path = tuple(unet_names.rename_key(name).split('.'))
  return unet_names.rename_key_and_reshape_tensor(path, array, flat)


def _text_name(name, array, flat):
  return text_names.rename_key_and_reshape_tensor(tuple(name.split('.')), array, flat, 'text_model')


def _attention(call, arguments, keywords, context):
  """Our attention in place of diffusers' own (for flax.linen.intercept_methods)."""
  module = context.module
  if context.method_name != '__call__' or not isinstance(module, FlaxAttention | FlaxAttentionBlock):
    return call(*arguments, **keywords)
  if isinstance(module, FlaxAttention):
    hidden = arguments[0]
    other = arguments[1] if len(arguments) > 1 else keywords.get('context')
    return module.proj_attn(_heads(module, hidden, hidden if other is None else other, module.heads))
  image = arguments[0]
  hidden = module.group_norm(image).reshape(len(image), -1, image.shape[-1])
  return module.proj_attn(_heads(module, hidden, hidden, module.num_heads)).reshape(image.shape) + image


def _heads(module, hidden, other, heads):
  query, key, value = (project(x).reshape(*x.shape[:2], heads, -1) for project, x in (
      (module.query, hidden), (module.key, other), (module.value, other)))
  return attention.attend(query, key, value).reshape(*hidden.shape[:2], -1)
