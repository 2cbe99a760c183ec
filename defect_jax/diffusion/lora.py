"""LoRA: small matrices beside those of the UNet's attention, trained and saved apart, merged on load.

W' = W + scale * A B (Hu et al. 2022, equation 3). Saved as diffusers saves them: pytorch_lora_weights.safetensors with
`unet.<module>.to_q.lora_A.weight` `[rank, in]` and `lora_B.weight` `[out, rank]`, into which the scale is multiplied.
"""

import hashlib
import json
import os
from pathlib import Path

import jax
import numpy as np
from flax import traverse_util
from safetensors import safe_open
from safetensors.numpy import load_file, save

from defect_jax.config import UserError
from defect_jax.runs.atomic import write_atomic

FILE = 'pytorch_lora_weights.safetensors'
TARGETS = ('to_q', 'to_k', 'to_v', 'to_out_0')
_BASE = 'defect_jax.base'  # key of a file's header
_NUMBERED = ('down_blocks', 'up_blocks', 'attentions', 'transformer_blocks', 'to_out')


def init(unet, rank, seed):
  """Adapters {path of a Dense: {'a' `[in, rank]`, 'b' `[rank, out]`}} of a UNet's tree; b is 0, so nothing changes."""
  rng, adapters = np.random.default_rng(seed), {}
  for path, kernel in sorted(_kernels(unet).items()):
    inside, outside = kernel.shape
    adapters[path] = {'a': np.float32(rng.normal(0, inside**-0.5, (inside, rank))),
                      'b': np.zeros((rank, outside), np.float32)}
  return adapters


def merged(unet, adapters, scale=1.0):
  """The UNet's tree with the adapters added to it; runs inside jit too."""
  flat = traverse_util.flatten_dict(unet, sep='/')
  for path, pair in adapters.items():
    kernel = flat[f'{path}/kernel']
    flat[f'{path}/kernel'] = kernel + (scale * pair['a'] @ pair['b']).astype(kernel.dtype)
  return traverse_util.unflatten_dict(flat, sep='/')


def write(folder, adapters, base, scale=1.0):
  """Writes FILE in a folder, whole or not at all; `base`: Pipeline.digest of the weights that they were trained
  beside."""
  arrays = {}
  for path, pair in jax.device_get(adapters).items():
    name = _dotted(path)
    arrays[f'{name}.lora_A.weight'] = np.ascontiguousarray(pair['a'].T)
    arrays[f'{name}.lora_B.weight'] = np.ascontiguousarray(scale * pair['b'].T)
  Path(folder).mkdir(parents=True, exist_ok=True)
  write_atomic(Path(folder) / FILE, save(arrays, {'format': 'pt', _BASE: base}))


def read(name, unet, base):
  """The adapters in a file, or in FILE of a folder, for the tree of a UNet of weights with the digest `base`; UserError
  where they are not of this model, or say that they were trained beside others."""
  path = Path(name) / FILE if os.path.isdir(name) else Path(name)
  try:
    arrays, header = load_file(path), _header(path)
    strength = _strength(header)
  except Exception as error:  # whatever damaged bytes make the decoder raise
    detail = ' '.join(str(error).split())
    raise UserError(f'lora: {path} cannot be read ({detail}); name a {FILE} or its folder') from error
  if header.get(_BASE, base) != base:
    raise UserError(f'lora: {path} was trained beside weights with the digest {header[_BASE][:12]}, these are '
                    f'{base[:12] or "random"}; name those in weights')
  adapters = {}
  for dense, kernel in _kernels(unet).items():
    pair = [arrays.pop(f'{_dotted(dense)}.lora_{letter}.weight', None) for letter in 'AB']
    if all(of is None for of in pair):
      continue
    a, b = (None if of is None else np.float32(of.T) for of in pair)
    if a is None or b is None or a.ndim != 2 or b.ndim != 2 or (a.shape[0], b.shape[1]) != kernel.shape or (
        a.shape[1] != b.shape[0]):
      raise UserError(f'lora: {path}: {_dotted(dense)} does not fit the weights, where it is {list(kernel.shape)}; it '
                      'is of another model')
    adapters[dense] = {'a': a, 'b': np.float32(strength) * b}
  if arrays or not adapters:
    raise UserError(f'lora: {path} holds {next(iter(arrays), "nothing")}, for which the attention of the UNet has no '
                    'place; it is of another model or another kind of adapters')
  return adapters


def _header(path):
  with safe_open(path, 'np') as file:
    return file.metadata() or {}


def _strength(header):
  """alpha / rank, by which diffusers multiplies adapters whose file tells both in its header; 1 where it does not."""
  told = json.loads(header.get('lora_adapter_metadata', '{}'))
  if any(told.get(f'unet.{key}') for key in ('rank_pattern', 'alpha_pattern', 'use_rslora')):
    raise ValueError('its adapters are of several ranks or strengths, which this version does not know')
  return told['unet.lora_alpha'] / told['unet.r'] if {'unet.lora_alpha', 'unet.r'} <= told.keys() else 1.


def digest(adapters):
  """SHA-256 (hex) of adapters."""
  found = hashlib.sha256()
  for path, pair in sorted(adapters.items()):
    found.update(path.encode() + pair['a'].tobytes() + pair['b'].tobytes())
  return found.hexdigest()


def _kernels(unet):
  """{path of a Dense of the attention: kernel}."""
  flat = traverse_util.flatten_dict(unet, sep='/')
  return {path.removesuffix('/kernel'): kernel for path, kernel in flat.items()
          if path.endswith('/kernel') and path.split('/')[-2] in TARGETS}


def _dotted(path):
  """down_blocks_0/attentions_1/.../attn1/to_out_0 as PyTorch names it, below `unet`."""
  words = []
  for word in path.split('/'):
    name, _, number = word.rpartition('_')
    words.append(f'{name}.{number}' if name in _NUMBERED and number.isdigit() else word)
  return '.'.join(['unet', *words])
