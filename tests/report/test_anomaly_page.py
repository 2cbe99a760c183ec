"""The anomaly page: what its sentences say of a summary, the table's order, heat maps."""

import numpy as np
import pytest

from defect_jax.data.parts import Record
from defect_jax.data.samples import Sample
from defect_jax.report import anomaly as report
from defect_jax.report import heatmaps


def row(auroc, **more):
  return {'image_auroc': auroc, 'image_auroc_ci': (auroc - 0.05, auroc + 0.05), 'image_aupr': 0.5, 'f1': 0.4,
          'image_f1_max': 0.6, 'found': 0.25, 'false_alarms': 0.04, 'pixel_auroc': None, 'aupro': None, 'by_class': {
              'crack': {'photos': 7, 'image_auroc': auroc, 'pixel_auroc': 0.8, 'aupro': 0.7}}} | more


SUMMARY = row(0.8) | {
    'score': 'residual_mean', 'part': 'dev', 'found': 0.25, 'false_alarms': 0.04, 'threshold': 0.5,
    'threshold_source': 'quantile 0.95 of 39 good photos of the part dev', 'false_alarm_rate': 0.05,
    'false_alarm_ci': (0.01, 0.13), 'split': 'hash', 'folds': 0,
    'counts': {'train': 80, 'calibrate': 39, 'test': 3}, 'scores': {'residual_mean': row(0.8), 'knn_max': row(0.9)}}


@pytest.fixture
def page(tmp_path):
  image = np.full((20, 30, 1), 0.5, np.float32)
  mask = np.zeros((20, 30), bool)
  mask[5:9, 5:9] = True
  report.write_evaluation(
      tmp_path / 'page.html', title='run', config='{}', summary=SUMMARY, notes=['skipped a<b.png'],
      labels=['good', 'crack', 'good'], scores=[0.1, 0.9, 0.4], good=[0.1, 0.2, 0.3], scale=1.0,
      ranked=[(Sample(Record('crack/1.png', 'crack', '', tmp_path / '1.png'), image, mask), 0.9, mask * 0.5)])
  return (tmp_path / 'page.html').read_text()


def test_it_says_what_the_score_and_the_threshold_are_worth(page):
  assert 'AUROC 0.800 (0.750 to 0.850, 95 %) by residual_mean on the part dev' in page
  assert '25 % of the defective photos are found and 4 % of the good ones called defective; F1 0.40' in page
  assert '5 % are expected above it (95 % interval 1 % to 13 %)' in page
  assert 'optimistic' in page and 'a&lt;b.png' in page and 'src="http' not in page


def test_it_says_how_the_figures_were_had(page):
  assert '80 good photos trained on, 39 others for the threshold.' in page
  assert '3 photos tested, of the part dev.' in page
  of_folds = list(report.how(5, {'train': 80, 'calibrate': 80, 'test': 7}, 'test'))
  assert list(report.how(0, {'train': 80, 'calibrate': 39, 'test': 9}, 'synthetic'))[1] == (
      'Tested are good photos, as they are and with a pasted defect.')
  assert of_folds[1] == '7 photos tested, of the part test.' and 'by one of 5 others' in of_folds[0]
  assert list(report.how(0, {'train': 80, 'calibrate': 39, 'test': 0}, None)) == [
      '80 good photos trained on, 39 others for the threshold.']


def test_the_tables_begin_with_the_own_score_and_sort_all(page):
  assert page.index('<b>residual_mean</b>') < page.index('<td>knn_max</td>')
  assert page.rindex('<td>knn_max</td>') < page.rindex('<b>residual_mean</b>')
  assert '<td>VAE: what it cannot rebuild</td><td>25 %</td><td>4 %</td><td>0.800</td>' in page
  assert 'AUROC' in page and '0.700' in page  # AUPRO of the class


def test_without_both_kinds_of_photos_nothing_is_claimed():
  assert list(report._measured(SUMMARY | {'image_auroc': None, 'found': None})) == [
      'Not measured: there are not both good and defective photos.']
  assert list(report._measured(SUMMARY | {'image_auroc': None})) == [
      'At the threshold 25 % of the defective photos are found; no good ones were tested.']


def test_pasted_defects_are_not_said_to_be_real():
  first, second, third = report._measured(SUMMARY | {'part': 'synthetic'})
  assert first.startswith('Measured on pasted defects, not on real ones') and 'measure.part=dev' in first
  assert 'by residual_mean with pasted defects' in second and '25 % of the pasted defects are found' in third


def test_a_heat_map_is_the_grey_photo_where_the_map_is_zero_and_one_colour_from_the_scale_on():
  image = np.linspace(0, 1, 128 * 128, dtype=np.float32).reshape(128, 128, 1)
  grey = heatmaps.overlay(image, np.zeros((128, 128)), 1.0)
  assert np.ptp(grey.astype(int), axis=-1).max() == 0 and np.abs(grey[..., 0] - 255 * image[..., 0]).max() <= 1
  black = np.zeros((64, 64, 1), np.float32)
  at, above = (heatmaps.overlay(black, np.full((64, 64), value), 2.0) for value in (2.0, 9.0))
  assert at.shape == (128, 128, 3) and (at == above).all() and at[0, 0, 0] > at[0, 0, 2] + 50  # yellow


def test_an_outline_surrounds_the_mask_and_hides_nothing_else():
  mask = np.zeros((128, 140), bool)
  mask[10:20, 30:40] = True
  drawn = heatmaps.outlined(np.full((128, 140, 1), 0.5, np.float32), mask)
  green = drawn[..., 1] == 220
  assert green.sum() == 36 and green[10, 30:40].all() and not green[11:19, 31:39].any()


def test_without_defective_photos_there_is_no_table_of_dashes(tmp_path):
  nothing = dict.fromkeys(('image_auroc', 'image_auroc_ci', 'image_aupr', 'f1', 'image_f1_max', 'found'))
  report.write_evaluation(
      tmp_path / 'page.html', title='run', config='{}', notes=[], labels=['good'], scores=[0.1], good=[0.2], scale=1.0,
      ranked=[], summary=SUMMARY | nothing | {'scores': {'residual_mean': SUMMARY | nothing | {'by_class': {}}}})
  text = (tmp_path / 'page.html').read_text()
  assert '<table' not in text and 'Ways to judge' not in text and 'Not measured' in text
