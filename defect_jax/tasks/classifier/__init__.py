"""Classifies photos by a CNN trained on few real photos and made ones: measures it, or predicts a folder of photos."""

from defect_jax.tasks.classifier import evaluating, predicting
from defect_jax.tasks.classifier.schema import SCHEMA

__all__ = ['FIXED_STEPS', 'SCHEMA', 'run']

_MODES = {'evaluate': evaluating.run, 'predict': predicting.run}


def FIXED_STEPS(config):
  """Early stopping chooses among the steps at which it looks at held-out photos."""
  return ('steps.eval',) if config.validation.share else ()


def run(config, workdir):
  """Evaluates or predicts as `config` says; returns the summary. Raises UserError, Stopped, Diverged or DiskFull."""
  return _MODES[config.mode](config, workdir)
