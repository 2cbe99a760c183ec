"""Classifies photos by a CNN trained on few real photos and made ones: measures it, or predicts a folder of photos."""

from defect_jax.tasks.classifier import evaluating, predicting

_MODES = {'evaluate': evaluating.run, 'predict': predicting.run}


def run(config, workdir):
  """Evaluates or predicts as `config` says; returns the summary. Raises UserError, Stopped, Diverged or DiskFull."""
  return _MODES[config.mode](config, workdir)
