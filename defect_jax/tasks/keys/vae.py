"""Keys of a VAE's config."""

from ml_collections import ConfigDict

from defect_jax.errors import UserError
from defect_jax.registry import LOSSES
from defect_jax.rules import Boolean, Choice, Integer, Names, Number, Optional, Text, Tuple
from defect_jax.schema import Key, Named, Table
from defect_jax.tasks.keys import common

_SPEED = {'kld': 12.0}
_TARGETS: Table = {
    'kld': Key(16.0, Number(above=0), 'nats per image', 'Target of the KLD.'),
    'mse': Key(None, Optional(Number(above=0)), text='Target of the MSE; wins if both MSE targets are set.'),
    'mse_of_variance': Key(0.015, Optional(Number(above=0)),
                           text="The same as a share of the training photos' variance about their mean image."),
}


def table() -> Table:
  """Has a weight, a speed and a target for each registered loss that is no weighted sum of others."""
  names = list(filter(_has_target, LOSSES))
  new = {name: name not in LOSSES.built_in for name in names}
  return common.head('vae', 25, 'Photos per step; a batch larger than the set is padded.') | {
      'dtype': common.DTYPE,
      'average': Key(0.0, Number(0, below=1), text='Decay per step of the running mean of the parameters, which '
                     "is what comes out; 0: the last step's parameters."),
      'data': data(),
      'model': {
          'patch': Key(4, Choice(1, 2, 4, 8), 'px', 'The networks work on patches of this side.'),
          'widths': Key((32, 64, 128), Tuple(Integer(1, 4096), 2),
                        text='Channels, from the patches to a side that is halved from one to the next.'),
          'blocks': Key(0, Integer(0, 100), text='Residual blocks per stage.'),
          'latent': Key(16, Integer(1, 4096), text='Latent dimensions.'),
          'activation': Key('silu', Choice('silu', 'gelu', 'relu', 'elu', 'tanh'), text='Between the layers.'),
          'linear': Key(False, Boolean(),
                        text='Matrices beside the convolutions, which begin as a PCA of the photos.')},
      'streams': Named({
          'loss': Key('mse', Choice(*LOSSES), text='Whose gradient it is.'),
          'params': Key('decoder/.*', Text(), text='Pattern of the parameters that it moves.'),
          'optimizer': Key('adam_shared', Choice('adam_shared', 'adam', 'momentum', 'sgd'),
                           text='adam_shared: its denominator is made of all such streams that move a parameter.'),
          'lr': Key(0.002, Number(above=0, high=10), text='Learning rate.')}),
      'control': {
          'policy': Key('pi', Choice('constant', 'threshold', 'proportional', 'pi', 'dual'),
                        text='What steers the losses to their targets, see defect_jax/training/control.py.'),
          'beta': Key(1.0, Number(0), text='Weight of the KLD in the loss elbo.'),
          'slope': Key(2.0, Number(above=0), text='Of the policy proportional.'),
          'weights': {name: Key(1.0, Number(0), text='Weight of this loss before the optimizer.', added=new[name])
                      for name in names},
          'proportional': Key(8.0, Number(0), text='Of the law of the policy pi.'),
          'integral': Key(0.1, Number(0), text='Of the laws of the policies pi and dual.'),
          'speed': {name: Key(_SPEED.get(name, 1.5), Number(above=0), added=new[name],
                              text='Of pi: the fraction 1 / speed off its target is corrected at the full rate.')
                    for name in names},
          'smoothing': Key(0.9, Number(0, below=1), text='Of pi: decay per step of the mean of log(loss / target).'),
          'slew': Key(0.008, Number(above=0, below=1),
                      text='Of pi: largest change per step, as a fraction, of the KLD that is aimed at.')},
      'targets': _TARGETS | {
          name: Key(None, Optional(Number(above=0)), text='Target of this loss, if a stream has it.', added=new[name])
          for name in names if name not in _TARGETS},
      'measure': {'known': Key(True, Boolean(), added=True, text='Where all photos are trained on: whether a second '
                               'VAE, of four fifths of them, shows whether photos are known by heart.')},
      'steps': common.steps(2000, 10, 100, 500)}


def data() -> Table:
  """Keys of the group data."""
  return common.source() | common.split() | {
      'fold': Key(None, Optional(Integer(1, 20)), added=True,
                  text='Of kfold: its photos are left out, for a set of made images that knows nothing of them.'),
      'part': Key('pool', Choice('pool', 'dev', 'final'), text='Of the photos, by group.'),
      'defects': Key((), Names(least=0), open=True, text='Classes to learn; good is one. None named: all but good.'),
      'few_shot': Key(None, Optional(Integer(0)), 'photos', open=True,
                      text='Drawn by the seed; 0: all photos of the part.'),
      **common.IMAGES,
      'region': Key('full', Choice('full', 'box', 'mask'), text='mask: a square around each defect mask.'),
      'resident_mb': Key(2048.0, Number(0), 'MB', 'Larger sets are streamed instead of kept on the device.'),
      'augment': common.augment(False, 0, 0.0),
      'blotch': {
          'strength': Key(0.0, Number(0, 1), text='Above 0: noise on what the encoder sees, with the clean photos as '
                                                  "the decoder's target, for anomaly detection."),
          'grain': Key(8, Integer(1, 128), 'px', 'Size of the spots of that noise.')}}


def _has_target(loss: str) -> bool:
  """A weighted sum of other losses has none."""
  return loss != 'elbo' if loss in LOSSES.built_in else not LOSSES[loss].is_sum


def check(config: ConfigDict) -> None:
  """Raises UserError if a target is missing."""
  targets = config.targets
  if targets.mse is None and targets.mse_of_variance is None:
    raise UserError('targets.mse, targets.mse_of_variance: one of them is needed')
  for loss in {stream.loss for stream in config.streams.values()} - {'kld', 'mse'}:
    if _has_target(loss) and targets[loss] is None:
      raise UserError(f'targets.{loss}: is needed, since a stream has the loss {loss}; set it, such as 0.02')


def settle(config: ConfigDict) -> list[str]:
  """See settling.settle."""
  from defect_jax.tasks.keys import settling  # which takes as long as all else before a mistake is refused
  return settling.settle(config, config.data, elpv={'defects': ('defective',), 'few_shot': 25, 'fit': 'crop'},
                         own={'defects': settling.defects_of, 'few_shot': 0, 'fit': 'crop'}, otherwise='none',
                         alone='defect')
