"""Experiments side by side in one process, though they define flags of the same names."""

import importlib

import pytest
from absl import flags


@pytest.fixture
def experiment():
  """Imports an experiment by name; its flags are forgotten again, and those of other experiments are out of its way."""
  def load(name):
    others = {flag: flags.FLAGS[flag] for flag in flags.FLAGS
              if (flags.FLAGS.find_module_defining_flag(flag) or '').startswith('experiments.')}
    flags.FLAGS.remove_flag_values(others)
    known = set(flags.FLAGS)
    try:
      return importlib.import_module(f'experiments.{name}')
    finally:
      flags.FLAGS.remove_flag_values(set(flags.FLAGS) - known)
      for flag, value in others.items():
        flags.FLAGS[flag] = value
  return load
