"""Scores photos by anything that was trained: an anomaly run, a classifier, or a VAE.

  python -m defect_jax.main --config=configs/predict.py --config.run=runs/anomaly --config.photos=PHOTOS
  python -m defect_jax.main --config=configs/predict.py --config.run=runs/vae_split --config.photos=photo.png \
      --config.threshold.value=0.02

Writes predictions.csv (a row per photo: file, score, threshold, verdict), heatmaps/ and report.html. A VAE alone scores
a photo by the mean difference of photo and reconstruction, and has no threshold of its own.
"""

from ml_collections import ConfigDict

from defect_jax.config import parse_arg
from defect_jax.schema import defaults
from defect_jax.tasks.keys import predict


def get_config(arg: str | None = None) -> ConfigDict:
  """`tiny`: few photos at once."""
  config = defaults(predict.table())
  if parse_arg(arg, tiny=False).tiny:
    config.batch = 8
  return config
