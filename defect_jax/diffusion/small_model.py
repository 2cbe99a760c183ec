"""Small inpainting pipelines: one of random weights, to run without pretrained ones, and those trained from scratch."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from defect_jax.errors import UserError

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
_GROUPS = 32  # of the UNet's group norms, which diffusers' Flax modules fix
_LEAST_GROUPS = 8  # of the autoencoder's
_LAST = {'conv2', 'proj_attn', 'proj_out'}  # layers that residual branches of diffusers' modules end in
# With the velocity v the loss weighs all noise levels alike, and nothing has to be divided by a vanishing signal
# (Salimans and Ho 2022, section 4 and appendix D).
VELOCITY = SCHEDULER | {'prediction_type': 'v_prediction'}


def configs(size: int, autoencoder: Mapping[str, Any], unet: Mapping[str, Any], text: Mapping[str, Any], tokens: int,
            length: int) -> dict[str, dict[str, Any]]:
  """{part: its config.json} for images of `size` px; raises UserError for widths that the networks cannot have.

  autoencoder, unet, text: a config's `model`. tokens: known ones; the last two are start and end. length: of a text.
  """
  _check(size, autoencoder, unet, text)
  levels, latent = len(autoencoder['widths']), autoencoder['latent']
  cross = ['CrossAttn' if attends else '' for attends in unet['attention']]
  return {
      'unet': {'in_channels': 2 * latent + 1, 'out_channels': latent, 'sample_size': size // 2**(levels - 1),
               'block_out_channels': tuple(unet['widths']), 'layers_per_block': unet['blocks'],
               'down_block_types': tuple(f'{prefix}DownBlock2D' for prefix in cross),
               'up_block_types': tuple(f'{prefix}UpBlock2D' for prefix in reversed(cross)),
               'attention_head_dim': unet['heads'], 'cross_attention_dim': text['width']},
      'vae': {'block_out_channels': tuple(autoencoder['widths']), 'latent_channels': latent, 'sample_size': size,
              'layers_per_block': autoencoder['blocks'], 'norm_num_groups': _LEAST_GROUPS, 'scaling_factor': 1.0,
              'down_block_types': ('DownEncoderBlock2D',) * levels, 'up_block_types': ('UpDecoderBlock2D',) * levels},
      'text_encoder': {
          'vocab_size': tokens, 'hidden_size': text['width'], 'intermediate_size': 2 * text['width'],
          'num_hidden_layers': text['blocks'], 'num_attention_heads': text['heads'], 'max_position_embeddings': length,
          'bos_token_id': tokens - 2, 'eos_token_id': tokens - 1, 'pad_token_id': tokens - 1}}


def begin(shapes: Mapping[str, Any], seed: int) -> dict[str, dict[str, Any]]:
  """{part: parameters} to train from, the last layer of each residual branch 0; the UNet begins by predicting 0.

  So the networks begin as chains of few layers, which learn twice as fast (as in the code of Dhariwal and Nichol 2021).
  """
  last = {'unet': {*_LAST, 'conv_out'}, 'vae': _LAST, 'text_encoder': set()}
  return {part: traverse_util.path_aware_map(
      lambda path, leaf, part=part: 0 * leaf if path[-1] == 'kernel' and path[-2] in last[part] else leaf,
      init(like, seed)) for part, like in shapes.items()}


def _check(size, autoencoder, unet, text):
  for key, widths, groups in (('autoencoder', autoencoder['widths'], _LEAST_GROUPS), ('unet', unet['widths'], _GROUPS)):
    if any(width % groups for width in widths):
      raise UserError(f'model.{key}.widths = {tuple(widths)}: must be multiples of {groups}')
  if len(unet['attention']) != len(unet['widths']):
    raise UserError(f'model.unet.attention = {tuple(unet["attention"])}: give one for each of the '
                    f'{len(unet["widths"])} model.unet.widths')
  if text['width'] % text['heads'] or any(width % unet['heads'] for width in unet['widths']):
    raise UserError('model.text.width and model.unet.widths: must be multiples of their heads')
  multiple = 2**(len(autoencoder['widths']) + len(unet['widths']) - 2)
  if size % multiple:
    raise UserError(f'data.size = {size}: with so many widths it must be a multiple of {multiple}')


def init(like: Mapping[str, Any], seed: int) -> dict[str, Any]:
  """Parameters of the shapes in a tree: kernels and embeddings normal, so that a layer keeps its input's scale."""
  rng = np.random.default_rng(seed)  # compiling the modules' own initialisers takes half a minute

  def draw(path, leaf):
    if path[-1] in ('scale', 'bias'):
      return np.full(leaf.shape, path[-1] == 'scale', np.float32)
    return np.float32(rng.normal(0, math.prod(leaf.shape[:-1])**-0.5, leaf.shape))

  return traverse_util.unflatten_dict({
      path: draw(path, leaf) for path, leaf in sorted(traverse_util.flatten_dict(like).items())})
