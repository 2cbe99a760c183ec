"""Keys of a config that looks at a folder of photos."""

from ml_collections import ConfigDict

from defect_jax.registry import SOURCES
from defect_jax.rules import Choice, Integer, Optional, Text
from defect_jax.schema import Key, Table
from defect_jax.tasks.keys import common

ANEW = True  # each start looks at the photos anew, those of another folder too


def table() -> Table:
  head = common.head('inspect', 1, '')
  return {name: head[name] for name in ('task', 'plugins')} | {
      'photos': Key(None, Optional(Text()), text='The folder of your photos.', path=True),
      'source': Key('auto', Choice('auto', *SOURCES), text='Their layout. auto: as their folder is.'),
      'masks': common.MASKS,
      'shown': Key(12, Integer(1, 200), 'photos', 'Of each class, on the page.')}


def check(config: ConfigDict) -> None:
  """Raises UserError where no folder is named."""
  common.check_named(config, 'photos')
