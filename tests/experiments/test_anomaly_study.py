"""What anomaly_study chooses and computes from the figures of its runs."""

import pytest

from experiments import anomaly_study as study


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


def test_scores_are_chosen_on_dev_and_measured_on_final():
  rows = {(row['class'], row['method']): row for row in study.rows('set', DEV, FINAL)}
  of_vae = rows['all', 'VAE']
  # On dev normalised_top has a mean AUROC of 0.8, residual_mean of 0.7, but the higher AUPRO.
  assert of_vae['score'] == 'normalised_top' and of_vae['map'] == 'residual'
  assert of_vae['figures']['image_auroc'] == pytest.approx((0.6, 0.1, 2))
  assert of_vae['figures']['aupro'] == pytest.approx((0.7, 0.1, 2))
  assert rows['all', 'nearest neighbours']['figures']['image_auroc'] == (0.3, 0., 1)  # seed 0 only
  assert rows['crack', 'VAE']['figures']['image_auroc'] == pytest.approx((0.75, 0.05, 2))
  assert ('all', 'mean image') not in rows


def test_a_table_has_a_line_per_row():
  rows = list(study.rows('set', DEV, FINAL))
  lines = study.table(rows).markdown().splitlines()
  assert len(lines) == 2 + len(rows)
  start = '| set | all | VAE | normalised_top | residual | 0.600 ±0.100 | – | – | – | 0.700 ±0.100 |'
  assert lines[2].startswith(start)


def test_the_published_tables_have_images_by_set_and_pixels_by_class():
  def row(name, label, method, auroc, pixels):
    pixel = {'pixel_auroc': (pixels, 0., 1), 'aupro': (pixels / 2, 0., 1)} if pixels else {}
    return {'set': name, 'class': label, 'method': method, 'figures': {'image_auroc': (auroc, 0.125, 2)} | pixel}
  tables = study.published([
      row('elpv', 'all', 'VAE', 0.5, None), row('elpv', 'all', 'nearest neighbours', 0.25, None),
      row('magnetic_tile', 'all', 'VAE', 0.75, 0.5), row('magnetic_tile', 'crack', 'VAE', 0.75, 0.25),
      row('bsdata', 'all', 'PCA', 0.875, 0.75)])
  assert tables['image'].rows == [['solar cells', '0.500 ±0.125', '–', '–', '0.250 ±0.125'],
                                  ['magnetic tiles, all defects', '0.750 ±0.125', '–', '–', '–'],
                                  ['ball screws (bsdata)', '–', '0.875 ±0.125', '–', '–']]
  assert tables['pixel'].rows == [['crack', '0.250 / 0.125', '–', '–', '–'],
                                  ['ball screws (bsdata)', '–', '0.750 / 0.375', '–', '–']]


def test_final_takes_the_vae_of_the_run_on_dev(tmp_path):
  run = study.study(['magnetic_tile'], 2, 'final', tmp_path / 'data', tmp_path / 'runs', False)
  final, (dev,) = run.jobs[1], run.jobs[1].needs
  assert final.workdir == tmp_path / 'runs/final/magnetic_tile_1'
  assert dev.workdir == tmp_path / 'runs/dev/magnetic_tile_1'
  assert final.settings == dev.settings | {'measure.part': 'final', 'vae': dev.workdir}
  assert [job.settings['score.features'] for job in run.jobs] == [True, False]
