"""Keys of a classifier's config."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from defect_jax.errors import UserError
from defect_jax.rules import Boolean, Choice, Integer, Names, Number, Optional, Text, Tuple
from defect_jax.schema import Key, Table
from defect_jax.tasks.keys import common


def table() -> Table:
  return common.head('classifier', 32, 'Photos per step.') | {
      'dtype': common.DTYPE,
      'mode': common.MODE,
      'classifier': Key(None, Optional(Text()), text='Workdir of a classifier; none: one is trained.', path=True),
      'photos': common.PHOTOS,
      'data': common.source() | common.split() | {
          'more': Key((), Names(least=0), text='Further folders of real photos; elpv is one too.', path=True),
          'defects': Key((), Names(least=0), open=True, text='Classes to tell from good; none named: all there are.'),
          'merge': Key(False, Boolean(), text='Whether all defects are one class.'),
          'few_shot': Key(None, Optional(Integer(0)), 'photos', open=True, text='Defective ones of the pool to train '
                          'on, of each set, drawn by the seed; 0: all.'),
          'good': Key(0, Integer(0), 'photos', 'Good ones likewise.'),
          **common.IMAGES,
          'region': Key('full', Choice('full', 'box'), text='box: data.box of every photo.'),
          'resident_mb': Key(2048.0, Number(0), 'MB', 'Larger sets are refused.'),
          'augment': common.augment(True, 4, 0.1) | {
              'turn': Key(True, Boolean(), text='Turns by 90, 180 or 270 degrees.'),
              'rotate': Key(0.0, Number(0, 180), 'degrees', 'Largest turn besides.'),
              'contrast': Key(0.2, Number(0, below=1), text='Largest change, as a factor.')}},
      'made': {
          'sets': Key((), Names(least=0), text='Folders of made images, such as runs/generate/set.', path=True),
          'ratio': Key(1.0, Number(0), text='Made images per real photo of their class, of all sets together.'),
          'per_fold': Key(False, Boolean(), added=True, text='Of data.split=kfold: whether the figures are with made '
                          'images too. Each fold is then trained with the sets that know nothing of its photos.')},
      'model': {
          'kind': Key('resnet', Choice('resnet', 'vgg16'), text='vgg16: a head on its frozen features.'),
          'widths': Key((16, 32, 64, 128), Tuple(Integer(1, 4096)),
                        text='Of resnet: channels by stage; the side is halved from stage to stage.'),
          'blocks': Key(1, Integer(1, 100), text='Of resnet: per stage.'),
          'hidden': Key(0, Integer(0, 65536), text="Width of the head's hidden layer; 0: none."),
          'dropout': Key(0.2, Number(0, below=1), text='Share of the features left out in training.'),
          'views': Key(8, Integer(1, 1000),
                       text='Of vgg16: augmented copies of each photo whose features are computed, once.')},
      'optimizer': {
          'lr': Key(0.001, Number(above=0, high=10), text='Learning rate.'),
          'weight_decay': Key(0.01, Number(0), text='Of AdamW.'),
          'average': Key(0.98, Number(0, below=1), text='Decay per step of the running mean of the parameters.')},
      'validation': {
          'share': Key(0.2, Number(0, 0.5), text='Of the training photos, by group, for early stopping and, from 10 of '
                       'each class on, for the temperature of the probabilities; 0: no early stopping.'),
          'patience': Key(8, Integer(0), 'evaluations', 'Without a better one, then it stops; 0: all steps.')},
      'mirrored': Key(False, Boolean(), text='Predicts by the mean over mirrored copies, by the flips of data.augment: '
                      'up to four times as long.'),
      'prevalence': Key(None, Optional(common.FRACTION), text='Share of photos that are defective where it is used; '
                        "none: each class as frequent as the others, or what the named classifier's config says."),
      'threshold': Key(0.5, common.FRACTION, text='Of predict: probability of a defect from which a photo is ng.'),
      'heatmaps': Key(True, Boolean(),
                      text='Whether predict writes one for each photo: where the probability would change.'),
      'measure': {'part': Key('dev', Choice('dev', 'final'), text='Photos that are tested. final: to be opened once.')},
      'steps': common.steps(600, 10, 25, 100)}


def check(config: ConfigDict) -> None:
  """Raises UserError for what is not named."""
  if config.mode == 'predict':
    common.check_named(config, 'classifier', 'photos')
  if config.measure.part == 'final' and config.data.split not in (None, 'hash'):
    raise UserError(f'measure.part = final: there is such a part by data.split=hash alone, not by {config.data.split}')


def fixed_steps(config: ConfigDict) -> tuple[str, ...]:
  """Early stopping chooses among the steps at which it looks at held-out photos."""
  return ('steps.eval',) if config.validation.share else ()


def check_finished(config: ConfigDict, summary: Mapping[str, Any]) -> None:
  """Raises UserError where a made set is another than the one that the finished run was trained with."""
  from defect_jax.imagesets import manifest
  before = summary.get('made_sets')  # none of a run of an earlier version
  for root, digest in zip(config.made.sets, before or (), strict=False):
    if (Path(root) / manifest.NAME).is_file() and manifest.digest(root) != digest:
      raise UserError(f'made.sets: {root} holds other images than when this run was trained; put them back, or begin '
                      'another run by another --workdir')


def settle(config: ConfigDict) -> list[str]:
  """See settling.settle. Photos that are not square are looked at as the VAE of the made sets did, else as a whole."""
  from defect_jax.imagesets import manifest
  from defect_jax.tasks.keys import settling  # which takes as long as all else before a mistake is refused
  known = [known for root in config.made.sets if (known := manifest.read_known(root))]
  fits = {one.geometry['fit'] for one in known if one.geometry}
  return settling.settle(config, config.data, elpv={'defects': ('defective',), 'few_shot': 25, 'fit': 'crop'},
                         own={'defects': settling.only_defects, 'few_shot': 0,
                              'fit': fits.pop() if len(fits) == 1 else 'pad'}, otherwise='kfold')
