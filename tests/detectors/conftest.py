"""Tiles that vary in a few directions."""

import numpy as np
import pytest


@pytest.fixture(scope='session')
def tiles():
  """30 tiles of 32 px, 4 strong components and little noise."""
  rng = np.random.default_rng(0)
  basis = rng.normal(size=(4, 32 * 32))
  made = 0.5 + 0.01 * rng.normal(size=(30, 4)) @ basis + 0.001 * rng.normal(size=(30, 32 * 32))
  return made.reshape(30, 32, 32, 1).astype(np.float32)
