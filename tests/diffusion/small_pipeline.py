"""Folders with small random inpainting pipelines, made with nothing but the files' formats."""

import json
from pathlib import Path

import numpy as np
from flax import serialization, traverse_util
from safetensors.numpy import save_file

from defect_jax.diffusion import pipeline, small_model, vocabulary

NAMES = {'unet': 'diffusion_', 'vae': 'diffusion_', 'text_encoder': ''}


def write(folder, seed=1):
  """A pipeline's folder with Flax weights; returns the parameters by part."""
  folder = Path(folder)
  params = {part: small_model.init(like, seed) for part, like in pipeline.shapes(small_model.CONFIGS).items()}
  for part, config in small_model.CONFIGS.items():
    (folder / part).mkdir(parents=True)
    (folder / part / 'config.json').write_text(json.dumps(config))
    (folder / part / f'{NAMES[part]}flax_model.msgpack').write_bytes(serialization.msgpack_serialize(params[part]))
  for name in ('scheduler', 'tokenizer'):
    (folder / name).mkdir()
  (folder / 'scheduler/scheduler_config.json').write_text(json.dumps(small_model.SCHEDULER))
  vocabulary.write(folder / 'tokenizer')
  (folder / 'model_index.json').write_text(json.dumps({'_class_name': 'StableDiffusionInpaintPipeline'}))
  return params


def as_pytorch(folder, params):
  """Replaces the Flax weights of a folder by the same as PyTorch saves them."""
  for part, tree in params.items():
    arrays = {}
    for path, array in traverse_util.flatten_dict(tree).items():
      *words, last = path
      name = '.'.join(_dotted(word) for word in words)
      if last == 'kernel':
        array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
      kind = 'bias' if last == 'bias' else 'weight'
      arrays[f'{name}.{kind}'] = np.ascontiguousarray(array)
    (Path(folder) / part / f'{NAMES[part]}flax_model.msgpack').unlink()
    save_file(arrays, Path(folder) / part / f"{NAMES[part].replace('_', '_pytorch_')}model.safetensors")


def _dotted(word):
  """down_blocks_0 -> down_blocks.0, but not what merely ends in a number of its own, such as linear_1 or norm1."""
  name, _, number = word.rpartition('_')
  return f'{name}.{number}' if number.isdigit() and name in (
    'down_blocks', 'up_blocks', 'resnets', 'attentions', 'transformer_blocks', 'downsamplers', 'upsamplers', 'net',
    'to_out') else word
