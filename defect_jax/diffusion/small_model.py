"""The configs of a small inpainting pipeline that is trained from scratch."""

from flax import traverse_util

from defect_jax.config import UserError
from defect_jax.diffusion import pipeline, random_model

_GROUPS = 32  # of the UNet's group norms, which diffusers' Flax modules fix
_LEAST_GROUPS = 8  # of the autoencoder's
_LAST = {'conv2', 'proj_attn', 'proj_out'}  # layers that residual branches of diffusers' modules end in
# By the velocity v the loss weighs all noise levels alike, and nothing has to be divided by a vanishing signal
# (Salimans and Ho 2022, section 4 and appendix D).
SCHEDULER = random_model.SCHEDULER | {'prediction_type': 'v_prediction'}


def configs(size, autoencoder, unet, text, tokens, length):
  """{part: dict of its config.json}; UserError for widths that the networks cannot have.

  Args:
    size: side of an image in pixels.
    autoencoder: {'widths', 'blocks', 'latent'}: channels, from the image's side to one that is halved at each;
      residual blocks a side; channels of the latents.
    unet: {'widths', 'blocks', 'attention' (bool a width), 'heads'}. text: {'width', 'blocks', 'heads'}.
    tokens: of the vocabulary, the last two being its start and its end. length: tokens of a text.
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


def begin(configs, seed):
  """{part: parameters} to train from.

  What a residual branch ends in is 0, so that the networks begin as chains of few layers: twice as fast to learn
  (as in Dhariwal and Nichol 2021, whose code does the same). The UNet begins by predicting nothing.
  """
  def of_part(part, like):
    flat = traverse_util.flatten_dict(random_model.init(like, seed))
    last = _LAST | ({'conv_out'} if part == 'unet' else set())
    return traverse_util.unflatten_dict({
        path: 0 * leaf if path[-1] == 'kernel' and path[-2] in last else leaf for path, leaf in flat.items()})

  return {part: of_part(part, like) if part != 'text_encoder' else random_model.init(like, seed)
          for part, like in pipeline.shapes(configs).items()}


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
