"""Keys that several tasks have, and checks of them."""

from collections.abc import Iterable

from ml_collections import ConfigDict

from defect_jax.diffusion import templates
from defect_jax.errors import UserError
from defect_jax.registry import SOURCES
from defect_jax.rules import Boolean, Choice, Integer, Names, Number, Optional, Text, Tuple
from defect_jax.schema import Key, Table

_HELP = {
    'vae': 'name the workdir of a trained VAE, such as --config.vae=runs/vae_split',
    'classifier': 'name the workdir of a trained classifier, such as --config.classifier=runs/classifier',
    'run': 'name the workdir of a finished run, such as --config.run=runs/anomaly',
    'photos': 'name the folder of your photos',
}
FRACTION = Number(above=0, below=1)
DTYPE = Key('float32', Choice('float32', 'bfloat16'), text='Of the arithmetic; bfloat16 on accelerators.')
IMAGES: Table = {  # how a photo becomes the image that a network sees
    'size': Key(64, Integer(32, 256), 'px', 'Side of the images.'),
    'channels': Key(1, Choice(1, 3), text='Grey or colour.'),
    'context': Key(2.0, Number(1, 100), text="Of region=mask: the square's side over the mask's longer side."),
    'box': Key(None, Optional(Tuple(Integer(0), 4)), 'px', 'Of region=box: left, top, width, height.'),
    'fit': Key(None, Optional(Choice('crop', 'pad')), open=True, text='What happens to photos that are not square: the '
               'central square is taken, or mirrored borders are added.'),
    'bits': Key(None, Optional(Integer(9, 16)), added=True, before=16, open=True,
                text='How many bits of 16-bit files the camera uses.')}
PHOTOS = Key(None, Optional(Text()), text='Of predict: the folder.', path=True)
MODE = Key('evaluate', Choice('evaluate', 'predict'),
           text='evaluate: on photos of known classes. predict: on a folder of any photos.')
MASKS = Key('as_is', Choice('as_is', 'inverted', 'as_stored', 'inverted_as_stored'), added=True,
            text='How masks of defects are read. inverted: what is not marked is the defect. as_stored: those of '
                 'photos that EXIF data turn are not turned.')


def head(task: str, batch: int, meaning: str, most: int = 65536, least: int = 1) -> Table:
  """task, seed, batch and plugins; `meaning`: of batch."""
  plugins = 'Modules or .py files that register losses, detectors or data sources.'
  return {
      'task': Key(task, Choice(task), text='What is done.'),
      'seed': Key(0, Integer(0, 2**31 - 1), text='Whatever is drawn at random follows from it.'),
      'batch': Key(batch, Integer(least, most), text=meaning),
      'plugins': Key((), Names(least=0), text=plugins, path=True, added=True)}


def steps(total: int, log: int, evaluate: int, checkpoint: int) -> Table:
  """The schedule of a training."""
  return {
      'total': Key(total, Integer(1), 'steps', 'Length of the training.'),
      'log': Key(log, Integer(1), 'steps', 'Between two lines of metrics.jsonl; requests are read then.'),
      'eval': Key(evaluate, Integer(1), 'steps', 'Between two evaluations.'),
      'checkpoint': Key(checkpoint, Integer(1), 'steps', 'Between two checkpoints.')}


def source() -> Table:
  """Where the photos are."""
  return {
      'source': Key('auto', Choice('auto', *SOURCES), text='The layout of the photos. auto: as path is, and without '
                    'one elpv, solar cells.', open=True),
      'path': Key(None, Optional(Text()), text='The folder of your photos.', path=True),
      'cell_type': Key('mono', Choice('mono', 'poly', 'all'), text='Of elpv: the type of the solar cells.'),
      'masks': MASKS,
      'max_broken': Key(0.01, Number(0, 1), text='Share of photos that may be unreadable; those are reported.')}


def split() -> Table:
  """Which photos are trained on, and which are held out."""
  return {
      'split': Key(None, Optional(Choice('hash', 'folders', 'none', 'kfold')), added=True, before='hash', open=True,
                   text='hash: parts by the hash of each group, for studies. folders: train/ is trained on, val/ is '
                   'held out, test/ measured. none: all are trained on. kfold: all are, and what is measured on unseen '
                   'photos is cross-validated. Left open: as the folder and the task want it.'),
      'folds': Key(5, Integer(2, 20), 'folds', 'Of kfold.', added=True)}


def augment(flip: bool, shift: int, brightness: float) -> Table:
  """Random changes of the photos at each step."""
  return {
      'flip_horizontal': Key(flip, Boolean(), text='Half of the photos are mirrored left to right.'),
      'flip_vertical': Key(flip, Boolean(), text='Half of the photos are mirrored top to bottom.'),
      'shift': Key(shift, Integer(0, 31), 'px', 'Largest shift, along either side.'),
      'brightness': Key(brightness, Number(0, 1), text='Largest change of the intensities, which are 0 to 1.')}


def check_named(config: ConfigDict, *keys: str) -> None:
  """Raises UserError for the first of `keys` that is not set."""
  for key in keys:
    if config[key] is None:
      raise UserError(f'{key}: is not set; {_HELP[key]}')


def check_prompts(prompts: Iterable[str]) -> None:
  """Raises UserError for what is no template."""
  for template in prompts:
    templates.fill(template, 'defect')
