"""Stable Diffusion inpainting in JAX: diffusers' Flax modules with a sampling function of our own.

The only module that imports diffusers and transformers, which are pinned: see README. Every image has its own noise, so
it is the same in any batch and on any number of devices. Latent diffusion: Rombach et al. 2022.
"""

import contextlib
import functools
import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
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
from defect_jax.diffusion import layers, lora, schedulers, small_model, vocabulary, weights
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

  model: its name in manifests: that of its folder and the first digits of `digest`, the SHA-256 of its weights.
  native: side in pixels that it was made for. factor: pixels per latent. multiple: canvas sides are multiples of it.
  """

  def __init__(self, name: str, configs: Mapping[str, Tree], params: Tree, tokenizer: CLIPTokenizer,
               scheduler: Mapping[str, Any], digest: str, dtype: str):
    self.configs, (self._unet, self._vae, self._text) = configs, modules(configs, dtype)
    self.tokenizer, self.dtype, self._text_params = tokenizer, jnp.dtype(dtype), params['text_encoder']
    cast = jax.tree.map(lambda leaf: np.asarray(leaf).astype(self.dtype), {k: params[k] for k in ('unet', 'vae')})
    self._params = parallel.replicate(cast)
    self.scheduler, self.digest, self.channels = scheduler, digest, self._vae.config.latent_channels
    self.factor = 2 ** (len(self._vae.config.block_out_channels) - 1)
    self.multiple = self.factor * 2 ** (len(self._unet.config.block_out_channels) - 1)
    self.native = self._unet.config.sample_size * self.factor
    self.model = name if name == weights.RANDOM else f'{Path(name).name} {digest[:12]}'
    self._encode = {original: parallel.pmap(functools.partial(self._encode_on_device, original))
                    for original in (False, True)}
    self._embed = jax.jit(self.embed)

  @property
  def params(self) -> dict[str, Any]:
    """{part: parameters}, those of UNet and VAE of the first device."""
    return parallel.first(self._params) | {'text_encoder': self._text_params}

  def cut_off(self, prompt: str) -> str:
    """The end of a prompt that the model does not see, since it lies beyond the tokenizer's length; mostly ''."""
    ids, room = self.tokenizer(prompt, truncation=False, verbose=False).input_ids, self.tokenizer.model_max_length
    return self.tokenizer.decode(ids[room - 1:-1]).strip() if len(ids) > room else ''

  def encode_text(self, prompts: Iterable[str]) -> Float[np.ndarray, 'p t d']:
    """Embeddings of texts."""
    ids = ids_of(self.tokenizer, prompts)
    return np.concatenate([np.float32(self._embed(self._text_params, row[None])) for row in ids])

  def encode_photos(self, canvases: Sequence[Float[np.ndarray, 'h w 3']], masks: Sequence[Bool[np.ndarray, 'h w']],
                    original: bool = True) -> list[Encoded]:
    """Canvases in [0, 1] as the model sees them; without `original` the latents of the whole photo are 0.

    One photo per device at a time, so that no photo's latents depend on its neighbours.
    """
    encoded, devices = [], parallel.devices()
    for first in range(0, len(canvases), devices):
      rows = np.minimum(np.arange(first, first + devices), len(canvases) - 1)
      inputs = (np.stack([images[row][None] for row in rows]) for images in (canvases, masks))
      arrays = jax.device_get(self._encode[original](self._params, *inputs))
      encoded += [Encoded(*(array[slot, 0] for array in arrays)) for slot in range(min(devices, len(canvases) - first))]
    return encoded

  def _encode_on_device(self, original, params, canvas, mask):
    photo = 2 * canvas - 1
    masked = jnp.where(mask[..., None], 0, photo)
    images = jnp.concatenate([masked, photo]) if original else masked
    moments = apply(self._vae, params['vae'], images.transpose(0, 3, 1, 2).astype(self.dtype),
                    method=self._vae.encode).latent_dist
    latents = jnp.float32(moments.mode()) * self._vae.config.scaling_factor
    cells = mask.reshape(len(mask), mask.shape[1] // self.factor, self.factor, -1, self.factor)
    whole = latents[len(canvas):] if original else jnp.zeros_like(latents)
    return latents[:len(canvas)], whole, jnp.float32(cells.any((2, 4)))

  def sampler(self, canvas: tuple[int, int], batch: int, name: str, steps: int, guidance: float, strength: float,
              content: str) -> Sampler:
    """A sampler of `batch` canvases (width, height) at a time; raises UserError for steps that it cannot take."""
    return Sampler(self, self._params, canvas, batch, schedulers.make(name, self.scheduler, steps, strength), guidance,
                   content)

  def predict(self, params: Tree, latents: Float[Array, 'b h w c'], timestep: Float[Array, '*b'], encoded: Encoded,
              context: Float[Array, 'b t d'], remat: bool = False) -> Float[Array, 'b h w c']:
    """The output of the UNet params['unet']; `encoded` has a batch axis; remat: see `apply`."""
    inputs = jnp.concatenate([latents, encoded.mask[..., None], encoded.masked], -1).transpose(0, 3, 1, 2)
    inputs, context = inputs.astype(self.dtype), context.astype(self.dtype)
    out = apply(self._unet, params['unet'], inputs, timestep, context, remat=remat).sample
    return jnp.float32(out).transpose(0, 2, 3, 1)

  def decode(self, params: Tree, latents: Float[Array, 'b h w c']) -> Float[Array, 'b H W 3']:
    """Images in [0, 1]."""
    latents = (latents / self._vae.config.scaling_factor).transpose(0, 3, 1, 2).astype(self.dtype)
    image = apply(self._vae, params['vae'], latents, method=self._vae.decode).sample
    return jnp.clip(jnp.float32(image) / 2 + 0.5, 0, 1).transpose(0, 2, 3, 1)

  def embed(self, params: Tree, ids: Int[Array, 'p t']) -> Float[Array, 'p t d']:
    """Embeddings of token ids by a text encoder; for use inside jit."""
    return self._text(ids, params=params)[0]


def apply(module: nn.Module, params: Tree, *arguments: Any, remat: bool = False, **keywords: Any) -> Any:
  """module.apply with our attention in place of diffusers' own, and with faster kernels on CPUs.

  remat: gradient checkpointing of each block, which takes a third more time and a fraction of the memory.
  """
  outer = nn.intercept_methods(functools.partial(_remat, set())) if remat else contextlib.nullcontext()
  with (nn.intercept_methods(_attention), nn.intercept_methods(layers.by_product),
        nn.intercept_methods(normalization.by_channel), outer):
    return module.apply({'params': params}, *arguments, **keywords)


def _remat(inside, call, arguments, keywords, context):
  """Checkpoints each block of a UNet or VAE whose path is not `inside` (for flax.linen.intercept_methods)."""
  module = context.module
  if context.method_name != '__call__' or not isinstance(module, _BLOCKS) or module.path in inside:
    return call(*arguments, **keywords)

  def block(inner, *inputs):
    inside.add(module.path)
    try:
      return inner(*inputs, **keywords)
    finally:
      inside.remove(module.path)

  return nn.remat(block)(module, *arguments)


def modules(configs: Mapping[str, Tree], dtype: Any
            ) -> tuple[FlaxUNet2DConditionModel, FlaxAutoencoderKL, FlaxCLIPTextModel]:
  """The networks that configs describe, without parameters."""
  unet = FlaxUNet2DConditionModel.from_config(configs['unet'], dtype=jnp.dtype(dtype))
  vae = FlaxAutoencoderKL.from_config(configs['vae'], dtype=jnp.dtype(dtype))
  return unet, vae, FlaxCLIPTextModel(CLIPTextConfig.from_dict(configs['text_encoder']), _do_init=False)


def load(name: str | None, dtype: str = 'float32', adapters: str | os.PathLike | None = None) -> Pipeline:
  """The pipeline of a folder, a hub name, or weights.RANDOM, with LoRA weights merged; UserError unless it is whole."""
  if name == weights.RANDOM:
    if adapters:
      raise UserError(f'lora: {adapters} belongs to other weights than random ones; name these, or leave it out')
    return random(dtype=dtype)
  folder = weights.folder_of(name)
  weights.config(folder, 'model_index.json')
  configs = {part: weights.config(folder, f'{part}/config.json') for part in weights.PARTS}
  _check(configs)
  params, digests = {}, ''
  for part, like in shapes(configs).items():
    params[part], digest = weights.read(folder, part, like, functools.partial(_flax_name, part))
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
    raise UserError('weights: unet/config.json or vae/config.json describe no model that can be made '
                    f'({" ".join(str(error).split())})') from error
  return dict(zip(weights.PARTS, (*of_both, text.params_shape_tree), strict=True))


def _check(configs):
  channels = configs['unet'].get('in_channels')
  wanted = 2 * configs['vae'].get('latent_channels', 4) + 1  # latents, mask, latents of the masked photo
  if channels != wanted:
    raise UserError(f'weights: the UNet takes {channels} channels, so this is no inpainting pipeline; one that takes '
                    f'{wanted} is needed, such as {weights.EXAMPLE}')
  for part, key, value in ((part, *setting) for part, only in _ONLY.items() for setting in only.items()):
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


def random(configs: Mapping[str, Tree] = small_model.CONFIGS, dtype: str = 'float32', seed: int = 0) -> Pipeline:
  """A pipeline of random weights."""
  params = {part: small_model.init(like, seed) for part, like in shapes(configs).items()}
  with tempfile.TemporaryDirectory() as folder:
    vocabulary.write(folder)
    tokenizer = tokenizer_of(folder)
  return Pipeline(weights.RANDOM, configs, params, tokenizer, small_model.SCHEDULER, '', dtype)


def _flax_name(part, name, array, flat):
  if part == 'text_encoder':
    return text_names.rename_key_and_reshape_tensor(tuple(name.split('.')), array, flat, 'text_model')
  return unet_names.rename_key_and_reshape_tensor(tuple(unet_names.rename_key(name).split('.')), array, flat)


def _attention(call, arguments, keywords, context):
  """Our attention in place of diffusers' own (for flax.linen.intercept_methods)."""
  module = context.module
  if context.method_name != '__call__' or not isinstance(module, FlaxAttention | FlaxAttentionBlock):
    return call(*arguments, **keywords)
  image, *others = arguments
  if isinstance(module, FlaxAttention):
    other = others[0] if others else keywords.get('context')
    return module.proj_attn(_heads(module, image, image if other is None else other, module.heads))
  hidden = module.group_norm(image).reshape(len(image), -1, image.shape[-1])
  return module.proj_attn(_heads(module, hidden, hidden, module.num_heads)).reshape(image.shape) + image


def _heads(module, hidden, other, heads):
  query, key, value = (project(x).reshape(*x.shape[:2], heads, -1) for project, x in (
      (module.query, hidden), (module.key, other), (module.value, other)))
  return layers.attend(query, key, value).reshape(*hidden.shape[:2], -1)
