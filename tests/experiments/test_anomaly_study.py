"""What anomaly_study chooses and computes from the figures of its runs."""

import pytest


@pytest.fixture
def study(experiment):
  return experiment('anomaly_study')


def summary(**scores):
  """A summary with image AUROC, AUPRO, and AUROC of the class crack."""
  return {'scores': {
      name: {'image_auroc': auroc, 'aupro': aupro, 'by_class': {'crack': {'image_auroc': crack}, 'hole': {}}}
      for name, (auroc, aupro, crack) in scores.items()}}


DEV = [summary(residual_mean=(0.6, 0.9, 0.5), normalised_top=(0.9, 0.2, 0.5), pca_max=(0.7, 0.5, 0.5),
               knn_mean=(0.8, 0.8, 0.5)),
       summary(residual_mean=(0.8, 0.7, 0.5), normalised_top=(0.7, 0.4, 0.5), pca_max=(0.9, 0.5, 0.5))]
FINAL = [summary(residual_mean=(0.99, 0.6, 0.9), normalised_top=(0.5, 0.99, 0.7), pca_max=(0.4, 0.3, 0.1),
                 knn_mean=(0.3, 0.2, 0.2)),
         summary(residual_mean=(0.99, 0.8, 0.9), normalised_top=(0.7, 0.99, 0.8), pca_max=(0.6, 0.3, 0.1))]


def test_scores_are_chosen_on_dev_and_told_on_final(study):
  rows = {(row['class'], row['method']): row for row in study.table('set', DEV, FINAL)}
  of_vae = rows['all', 'VAE']
  # On dev normalised_top has a mean AUROC of 0.8, residual_mean of 0.7, but the higher AUPRO.
  assert of_vae['score'] == 'normalised_top' and of_vae['map'] == 'residual'
  assert of_vae['figures']['image_auroc'] == pytest.approx((0.6, 0.1, 2))
  assert of_vae['figures']['aupro'] == pytest.approx((0.7, 0.1, 2))
  assert rows['all', 'nearest neighbours']['figures']['image_auroc'] == (0.3, 0., 1)  # seed 0 only
  assert rows['crack', 'VAE']['figures']['image_auroc'] == pytest.approx((0.75, 0.05, 2))
  assert ('all', 'mean image') not in rows


def test_a_table_has_a_line_a_row(study):
  rows = list(study.table('set', DEV, FINAL))
  shown = list(study.lines(rows))
  assert len(shown) == 2 + len(rows)
  start = '| set | all | VAE | normalised_top | residual | 0.600 ±0.100 | – | – | – | 0.700 ±0.100 |'
  assert shown[2].startswith(start)
