"""Keys of a config that predicts a folder of photos by a finished run."""

from ml_collections import ConfigDict

from defect_jax.rules import Boolean, Number, Optional, Text
from defect_jax.schema import Key, Table
from defect_jax.tasks.keys import common


def table() -> Table:
  return common.head('predict', 64, 'Photos or tiles at once.', 4096) | {
      'run': Key(None, Optional(Text()), text='Workdir of a trained VAE, detector or classifier.', path=True),
      'photos': Key(None, Optional(Text()), text='The folder.', path=True),
      'threshold': {'value': Key(None, Optional(Number()), text="A threshold of your own; none: the run's.")},
      'heatmaps': Key(True, Boolean(), text='Whether one is written for each photo.')}


def check(config: ConfigDict) -> None:
  """Raises UserError for what is not named."""
  common.check_named(config, 'run', 'photos')
