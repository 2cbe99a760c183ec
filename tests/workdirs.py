"""Settings of a small VAE job, and what a run has left in its folder."""

import csv
import json

SMALL = ('--config.model.widths=4,8', '--config.model.latent=4', '--config.steps.total=40', '--config.steps.log=2',
         '--config.steps.eval=20', '--config.steps.checkpoint=8', '--config.targets.kld=16',
         '--config.targets.mse_of_variance=0.02')


def summary_of(workdir):
  return json.loads((workdir / 'summary.json').read_text())


def rows_of(workdir):
  with open(workdir / 'predictions.csv', newline='') as file:
    return {row['file']: row for row in csv.DictReader(file)}
