"""The set that all productions must come to."""

import pytest
from made_images import CHUNK, COUNT, HASH, make, tree

from defect_jax.augmentation.production import ShareProgress, produce


@pytest.fixture(scope='session')
def whole(tmp_path_factory):
  """The tree of a set made in one go by one process."""
  root = tmp_path_factory.mktemp('whole') / 'deep' / 'set'
  assert produce(root, COUNT, CHUNK, make, HASH) == ShareProgress(COUNT, COUNT, COUNT, True)
  return tree(root)
