"""Finds anomalies by a VAE of good photos: measures it on photos of known classes, or predicts a folder of photos."""

from defect_jax.tasks.anomaly import evaluating, predicting

_MODES = {'evaluate': evaluating.run, 'predict': predicting.run}


def run(config, workdir):
  """Evaluates or predicts as `config` says; returns the summary. Raises UserError, Stopped, Diverged or DiskFull."""
  return _MODES[config.mode](config, workdir)
