"""A small inpainting pipeline of random weights, with which the command and the tests run without pretrained ones."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

CONFIGS: dict[str, dict[str, Any]] = {
    'unet': {
        'in_channels': 9, 'out_channels': 4, 'sample_size': 8, 'block_out_channels': (32, 64), 'layers_per_block': 1,
        'down_block_types': ('CrossAttnDownBlock2D', 'DownBlock2D'), 'attention_head_dim': 4,
        'up_block_types': ('UpBlock2D', 'CrossAttnUpBlock2D'), 'cross_attention_dim': 32},
    'vae': {
        'block_out_channels': (16, 16, 32, 32), 'norm_num_groups': 16, 'layers_per_block': 1, 'sample_size': 64,
        'down_block_types': ('DownEncoderBlock2D',) * 4, 'up_block_types': ('UpDecoderBlock2D',) * 4},
    'text_encoder': {
        'vocab_size': 514, 'hidden_size': 32, 'intermediate_size': 64, 'num_hidden_layers': 2, 'num_attention_heads': 2,
        'max_position_embeddings': 77, 'bos_token_id': 512, 'eos_token_id': 513, 'pad_token_id': 513}}
# Stable Diffusion 1.5's.
SCHEDULER = {'beta_start': 0.00085, 'beta_end': 0.012, 'beta_schedule': 'scaled_linear', 'num_train_timesteps': 1000,
             'set_alpha_to_one': False, 'skip_prk_steps': True, 'steps_offset': 1, 'clip_sample': False}


def init(like: Mapping[str, Any], seed: int) -> dict[str, Any]:
  """Parameters of the shapes in a tree: kernels and embeddings normal, so that a layer keeps its input's scale.

  NumPy draws them, since compiling the modules' own initialisers takes half a minute.
  """
  rng, params = np.random.default_rng(seed), {}
  for path, leaf in sorted(traverse_util.flatten_dict(like).items()):
    if path[-1] == 'scale':
      params[path] = np.ones(leaf.shape, np.float32)
    elif path[-1] == 'bias':
      params[path] = np.zeros(leaf.shape, np.float32)
    else:
      params[path] = np.float32(rng.normal(0, math.prod(leaf.shape[:-1])**-0.5, leaf.shape))
  return traverse_util.unflatten_dict(params)
