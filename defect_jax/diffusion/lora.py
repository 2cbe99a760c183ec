"""LoRA: small matrices beside those of the UNet's attention, trained and saved apart, merged on load.

W' = W + scale * A B (Hu et al. 2022, equation 3). Saved as diffusers saves them: pytorch_lora_weights.safetensors with
`unet.<module>.to_q.lora_A.weight` `[rank, in]` and `lora_B.weight` `[out, rank]`, into which the scale is multiplied.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from jaxtyping import Array
from safetensors import safe_open
from safetensors.numpy import load_file, save

from defect_jax.errors import UserError
from defect_jax.runs.atomic import write_atomic

FILE = 'pytorch_lora_weights.safetensors'
TARGETS = ('to_q', 'to_k', 'to_v', 'to_out_0')
_BASE = 'defect_jax.base'  # key of a file's header
_NUMBERED = ('down_blocks', 'up_blocks', 'attentions', 'transformer_blocks', 'to_out')
# {path of a Dense: {'a': [in, rank], 'b': [rank, out]}}
Adapters = Mapping[str, Mapping[str, Array]]


def init(unet: Mapping[str, Any], rank: int, seed: int) -> Adapters:
  """Adapters of a UNet's tree; b is 0, so that they change nothing."""
  rng = np.random.default_rng(seed)
  return {path: {'a': np.float32(rng.normal(0, len(kernel)**-0.5, (len(kernel), rank))),
                 'b': np.zeros((rank, kernel.shape[1]), np.float32)} for path, kernel in sorted(_kernels(unet).items())}


def merged(unet: Mapping[str, Any], adapters: Adapters, scale: float = 1.0) -> dict[str, Any]:
  """The UNet's tree with the adapters added to it; runs inside jit too."""
  flat = traverse_util.flatten_dict(unet, sep='/')
  for path, pair in adapters.items():
    kernel = flat[f'{path}/kernel']
    flat[f'{path}/kernel'] = kernel + (scale * pair['a'] @ pair['b']).astype(kernel.dtype)
  return traverse_util.unflatten_dict(flat, sep='/')


def write(folder: Path, adapters: Adapters, base: str, scale: float = 1.0) -> None:
  """Writes FILE in a folder, whole or not at all; base: Pipeline.digest of the weights that they were trained with."""
  arrays = {}
  for path, pair in jax.device_get(adapters).items():
    arrays[f'{_dotted(path)}.lora_A.weight'] = np.ascontiguousarray(pair['a'].T)
    arrays[f'{_dotted(path)}.lora_B.weight'] = np.ascontiguousarray(scale * pair['b'].T)
  folder.mkdir(parents=True, exist_ok=True)
  write_atomic(folder / FILE, save(arrays, {'format': 'pt', _BASE: base}))


def read(name: str | os.PathLike, unet: Mapping[str, Any], base: str) -> Adapters:
  """The adapters in a file, or in FILE of a folder, for a UNet; UserError if not of weights digested `base`."""
  path = Path(name) / FILE if os.path.isdir(name) else Path(name)
  try:
    with safe_open(path, 'np') as file:
      arrays, header = load_file(path), file.metadata() or {}
    strength = _strength(header)
  except Exception as error:  # whatever damaged bytes make the decoder raise
    raise UserError(f'lora: {path} cannot be read ({" ".join(str(error).split())}); name a {FILE} or its folder'
                    ) from error
  if header.get(_BASE, base) != base:
    raise UserError(f'lora: {path} was trained beside weights with the digest {header[_BASE][:12]}, these are '
                    f'{base[:12] or "random"}; name those in weights')
  adapters = {}
  for dense, kernel in _kernels(unet).items():
    pair = [arrays.pop(f'{_dotted(dense)}.lora_{letter}.weight', None) for letter in 'AB']
    if all(matrix is None for matrix in pair):
      continue
    a, b = (None if matrix is None else np.float32(matrix.T) for matrix in pair)
    if a is None or b is None or a.ndim != 2 or a.shape[1:] != b.shape[:1] or (len(a), *b.shape[1:]) != kernel.shape:
      raise UserError(f'lora: {path}: {_dotted(dense)} does not fit the weights, where it is {list(kernel.shape)}; it '
                      'is of another model')
    adapters[dense] = {'a': a, 'b': np.float32(strength) * b}
  if arrays or not adapters:
    raise UserError(f'lora: {path} holds {next(iter(arrays), "nothing")}, for which the attention of the UNet has no '
                    'place; it is of another model or another kind of adapters')
  return adapters


def _strength(header):
  """alpha / rank, by which diffusers multiplies adapters whose file has both in its header; 1 without them."""
  metadata = json.loads(header.get('lora_adapter_metadata', '{}'))
  if any(metadata.get(f'unet.{key}') for key in ('rank_pattern', 'alpha_pattern', 'use_rslora')):
    raise ValueError('its adapters are of several ranks or strengths, which this version does not know')
  return metadata['unet.lora_alpha'] / metadata['unet.r'] if {'unet.lora_alpha', 'unet.r'} <= metadata.keys() else 1.


def digest(adapters: Adapters) -> str:
  """SHA-256, hex."""
  sha = hashlib.sha256()
  for path, pair in sorted(adapters.items()):
    sha.update(path.encode() + pair['a'].tobytes() + pair['b'].tobytes())
  return sha.hexdigest()


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
