"""Keys of a config that makes images by a VAE."""

from ml_collections import ConfigDict

from defect_jax.rules import Choice, Integer, Names, Number, Optional, Text
from defect_jax.schema import Key, Table
from defect_jax.tasks.keys import common


def table() -> Table:
  return common.head('generate', 100, 'Images made at once.') | {
      'vae': Key(None, Optional(Text()), text='Workdir of a trained VAE.', path=True),
      'count': Key(1000, Integer(1, 10**6), 'images', 'How many are made.'),
      'sampler': {
          'name': Key('mosaic', Choice('prior', 'posterior', 'interpolate', 'gmm', 'mosaic'), text='How z is drawn.'),
          'temperature': Key(1.0, Number(above=0, high=100), text='Factor on the standard deviation of what is drawn.'),
          'components': Key(8, Integer(1), text='Of gmm: Gaussians of the mixture.'),
          'neighbours': Key(5, Integer(1), 'photos', 'Of interpolate and mosaic: a partner is one of so many nearest.'),
          'candidates': Key(1, Integer(1, 100), text='Made per image; the one is kept that is no copy of a training '
                            "photo (LPIPS) and whose sharpness is most like the photos'.")},
      'measure': {
          'part': Key('dev', Choice('dev', 'final'), text='Real photos that the images are compared with.'),
          'kid_elpv': Key(('defective', 'maybe_defective', 'maybe_good'), Names(),
                          text='Of elpv: classes of the real photos for KID, which takes 100 of them; no part has '
                          'as many cells of one type that are surely defective.')}}


def check(config: ConfigDict) -> None:
  """Raises UserError if no VAE is named."""
  common.check_named(config, 'vae')
