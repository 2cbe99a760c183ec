"""Keys of a config that trains an inpainting pipeline."""

from ml_collections import ConfigDict

from defect_jax.errors import UserError
from defect_jax.rules import Boolean, Choice, Integer, Names, Number, Optional, Text, Tuple
from defect_jax.schema import Key, Table
from defect_jax.tasks.keys import common

_RATE = Number(above=0, high=1000)
_WIDTHS = Tuple(Integer(8, 4096))
_RANGES = 4  # of timesteps, see diffusion.finetune.RANGES


def table() -> Table:
  return common.head('inpaint_train', 16, 'Areas per step.', least=_RANGES) | {
      'dtype': common.DTYPE,
      'weights': Key(None, Optional(Text()),
                     text='A pipeline to go on from, as for the task inpaint; none: from scratch.'),
      'tune': {
          'method': Key('full', Choice('full', 'lora'), text='Of given weights. full: moves the UNet. lora: moves '
                        "small matrices beside its attention, saved apart in the run's folder lora/."),
          'text': Key(False, Boolean(), text='Whether the text encoder is moved too.'),
          'rank': Key(8, Integer(1, 1024), text='Of the matrices of lora.'),
          'scale': Key(1.0, Number(above=0), text='Factor on what the matrices of lora add.')},
      'data': common.source() | common.split() | {
          'part': Key('pool', Choice('pool'), text='Of the photos.'),
          'bits': common.IMAGES['bits'],
          'classes': Key((), Names(least=0), open=True, text='To learn; none named: all. Good photos are where defects '
                         'are tried out.'),
          'few_shot': Key(0, Integer(0), 'photos', 'Of each defect class; 0: all of the part.'),
          'size': Key(64, Integer(32, 1024), 'px', 'Side of an area, and what the pipeline is made for.'),
          'context': Key((1.5, 4.0), Tuple(Number(1, 100), 2),
                         text="Side of an area over its defect's, from and to, where there are masks."),
          'share': Key((0.5, 1.0), Tuple(Number(above=0, high=1), 2),
                       text="Side of an area over the photo's shorter side, where there are none."),
          'areas': Key(3072, Integer(4, 10**6), 'areas', 'Drawn once; half of them of defects.'),
          'flip_horizontal': Key(True, Boolean(), text='Half of the areas are mirrored left to right.'),
          'flip_vertical': Key(True, Boolean(), text='Half of the areas are mirrored top to bottom.')},
      'masks': {
          'size': Key((0.25, 0.6), Tuple(Number(above=0, high=1), 2), text='Where no defect is marked, of the blob '
                      "that is made anew: diameter over the area's side, from and to."),
          'dilate': Key((1, 5), Tuple(Integer(0, 256), 2), 'px', 'Around a defect, from and to.'),
          'coarse': Key(0.5, Number(0, 1), text='Share of the areas whose mask is an ellipse around the defect.'),
          'tries': Key(32, Integer(1, 1000), text='Blobs, of which the one on the most salient part is taken.')},
      'prompts': Key(('a close-up photo of a {defect} on a metal surface',), Tuple(Text()),
                     text='Each in turn; {defect} stands for the class.'),
      'text_drop': Key(0.1, Number(0, 1), text='How often the text is left out, which guidance needs.'),
      'model': {
          'autoencoder': {
              'widths': Key((16, 32, 64), _WIDTHS, text='Channels; the side is halved from one to the next.'),
              'blocks': Key(1, Integer(1, 8), text='Per width.'),
              'latent': Key(6, Integer(1, 64), text='Channels of the latents.')},
          'unet': {
              'widths': Key((64, 128, 128), _WIDTHS, text='Channels; the side is halved from one to the next.'),
              'blocks': Key(1, Integer(1, 8), text='Per width.'),
              'attention': Key((False, True, True), Tuple(Boolean()), text='At which widths.'),
              'heads': Key(4, Integer(1, 64), text='Of the attention.')},
          'text': {
              'width': Key(64, Integer(8, 4096), text='Channels.'),
              'blocks': Key(1, Integer(1, 48), text='Layers.'),
              'heads': Key(4, Integer(1, 64), text='Of the attention.'),
              'length': Key(16, Integer(4, 77), 'tokens', 'Of the prompts, at most.')}},
      'autoencoder': {
          'lr': Key(0.002, _RATE, text='Learning rate.'),
          'batch': Key(8, Integer(1, 65536), text='Areas per step.'),
          'lpips': Key(0.01, Number(0), text='Weight of LPIPS in its loss.'),
          'kld': Key(1e-7, Number(0), text='Weight of the KLD in its loss.'),
          'steps': common.steps(1200, 10, 200, 200)},
      'optimizer': {
          'lr': Key(0.001, _RATE, text='Learning rate.'),
          'warmup': Key(50, Integer(0), 'steps', 'Until the learning rate is reached.'),
          'clip': Key(1.0, Number(above=0), text='Largest norm of the gradient.'),
          'average': Key(0.995, Number(0, below=1),
                         text='Decay per step of the running mean of the parameters, which is what is saved.'),
          'outside': Key(0.1, Number(0, 1), text='Weight of the loss outside the masks.'),
          'accumulate': Key(1, Integer(1, 1024), text='Pieces of a batch, one after the other, to save memory.'),
          'again': Key(False, Boolean(), text='Computes anew in the backward pass what else is kept, to save memory.')},
      'steps': common.steps(2600, 10, 650, 100),
      'measure': {
          'part': Key('dev', Choice('dev', 'final'), text='Real defects that made ones are compared with.'),
          'images': Key(120, Integer(2, 10**5), 'images', 'How many are made for that.'),
          'steps': Key(15, Integer(1, 500), 'steps', 'Of the sampler.'),
          'guidance': Key(3.0, Number(1, 100), text='How strongly the prompt counts.'),
          'batch': Key(20, Integer(1, 4096), text='Images made at once.'),
          'margin': Key(1.25, Number(1, 10), text='Side of the square around a mask that is compared, over its own.'),
          'size': Key(64, Integer(32, 512), 'px', 'Each square is scaled to this.')},
      'save': {'dtype': Key('float32', Choice('float32', 'bfloat16'), text='Of the saved weights.')}}


def check(config: ConfigDict) -> None:
  """Raises UserError for values that do not go together."""
  common.check_prompts(config.prompts)
  for key, pair in (('masks.size', config.masks.size), ('masks.dilate', config.masks.dilate)):
    if len(pair) != 2 or pair[0] > pair[1]:
      raise UserError(f'{key} = {pair}: give two numbers, the smaller first')
  if config.weights is None and (config.tune.method != 'full' or config.tune.text):
    raise UserError('tune: is about given weights; name them in weights, or leave tune.method=full and tune.text=false')
  if config.optimizer.warmup >= config.steps.total:
    raise UserError(f'optimizer.warmup = {config.optimizer.warmup}: must be below the {config.steps.total} steps')


def fixed_steps(_: ConfigDict) -> tuple[str, ...]:
  """The learning rate falls until the last step."""
  return ('steps.total',)


def settle(config: ConfigDict) -> list[str]:
  """See settling.settle."""
  from defect_jax.tasks.keys import settling  # which takes as long as all else before a mistake is refused
  return settling.settle(config, config.data, elpv={'classes': ('defective', 'good')},
                         own={'classes': tuple}, otherwise='none')
