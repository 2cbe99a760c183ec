"""Experiments side by side in one process, though they define flags of the same names."""

import importlib

import pytest
from absl import flags


@pytest.fixture
def experiment():
  """Imports an experiment by name; its flags are forgotten again, since others have some of the same name."""
  def load(name):
    known = set(flags.FLAGS)
    module = importlib.import_module(f'experiments.{name}')
    for flag in set(flags.FLAGS) - known:
      delattr(flags.FLAGS, flag)
    return module
  return load
