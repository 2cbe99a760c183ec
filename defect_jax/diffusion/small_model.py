"""The configs of a small inpainting pipeline that is trained from scratch."""

from collections.abc import Mapping
from typing import Any

from flax import traverse_util

from defect_jax.diffusion import pipeline, random_model
from defect_jax.errors import UserError

_GROUPS = 32  # of the UNet's group norms, which diffusers' Flax modules fix
_LEAST_GROUPS = 8  # of the autoencoder's
_LAST = {'conv2', 'proj_attn', 'proj_out'}  # layers that residual branches of diffusers' modules end in
# With the velocity v the loss weighs all noise levels alike, and nothing has to be divided by a vanishing signal
# (Salimans and Ho 2022, section 4 and appendix D).
SCHEDULER = random_model.SCHEDULER | {'prediction_type': 'v_prediction'}


def configs(size: int, autoencoder: Mapping[str, Any], unet: Mapping[str, Any], text: Mapping[str, Any], tokens: int,
            length: int) -> dict[str, dict[str, Any]]:
  """{part: its config.json}; raises UserError for widths that the networks cannot have.

  Args:
    size: side of an image in pixels.
    autoencoder: {'widths', 'blocks', 'latent'}: channels per side, which is halved from one to the next; residual
      blocks per side; channels of the latents.
    unet: {'widths', 'blocks', 'attention' (bool per width), 'heads'}. text: {'width', 'blocks', 'heads'}.
    tokens: of the vocabulary, of which the last two are start and end. length: tokens of a text.
  """
  _check(size, autoencoder, unet, text)
  levels, latent = len(autoencoder['widths']), autoencoder['latent']
  factor = 2**(levels - 1)
  down = tuple('CrossAttnDownBlock2D' if attends else 'DownBlock2D' for attends in unet['attention'])
  up = tuple('CrossAttnUpBlock2D' if attends else 'UpBlock2D' for attends in reversed(unet['attention']))
  return {
      'unet': {'in_channels': 2 * latent + 1, 'out_channels': latent, 'sample_size': size // factor,
               'block_out_channels': tuple(unet['widths']), 'layers_per_block': unet['blocks'],
               'down_block_types': down, 'up_block_types': up, 'attention_head_dim': unet['heads'],
               'cross_attention_dim': text['width']},
      'vae': {'block_out_channels': tuple(autoencoder['widths']), 'latent_channels': latent, 'sample_size': size,
              'layers_per_block': autoencoder['blocks'], 'norm_num_groups': _LEAST_GROUPS, 'scaling_factor': 1.0,
              'down_block_types': ('DownEncoderBlock2D',) * levels, 'up_block_types': ('UpDecoderBlock2D',) * levels},
      'text_encoder': {
          'vocab_size': tokens, 'hidden_size': text['width'], 'intermediate_size': 2 * text['width'],
          'num_hidden_layers': text['blocks'], 'num_attention_heads': text['heads'], 'max_position_embeddings': length,
          'bos_token_id': tokens - 2, 'eos_token_id': tokens - 1, 'pad_token_id': tokens - 1}}


def begin(configs: Mapping[str, Mapping[str, Any]], seed: int) -> dict[str, dict[str, Any]]:
  """{part: parameters} to train from.

  The last layer of each residual branch is 0, so that the networks begin as chains of few layers, which learn twice as
  fast (as in the code of Dhariwal and Nichol 2021). The UNet begins by predicting 0.
  """
  def of_part(part, like):
    flat = traverse_util.flatten_dict(random_model.init(like, seed))
    last = _LAST | ({'conv_out'} if part == 'unet' else set())
    return traverse_util.unflatten_dict({
        path: 0 * leaf if path[-1] == 'kernel' and path[-2] in last else leaf for path, leaf in flat.items()})

  return {part: of_part(part, like) if part != 'text_encoder' else random_model.init(like, seed)
          for part, like in pipeline.shapes(configs).items()}


def _check(size: int, autoencoder: Mapping[str, Any], unet: Mapping[str, Any], text: Mapping[str, Any]) -> None:
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
