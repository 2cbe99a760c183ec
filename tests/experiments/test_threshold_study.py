"""What threshold_study draws, and when a threshold's promise counts as kept."""

import dataclasses

import numpy as np
import pytest
from made_photos import bumps

from configs import anomaly
from defect_jax.data import parts
from defect_jax.data.samples import Sample
from defect_jax.trained.detector import Setup
from experiments import threshold_study as study


@pytest.mark.parametrize(('promised', 'rate', 'expected'), [
    # The difference of 0.05 is within the root of 0.04^2 + 0.07^2 = 0.081, of 0.15 not within that of 0.05^2 + 0.07^2.
    ((0.05, (0.02, 0.12)), (0.10, (0.06, 0.2)), True), ((0.05, (0.02, 0.12)), (0.20, (0.15, 0.3)), False),
    # Below: 0.19 against the root of 0.04^2 + 0.1^2 = 0.108.
    ((0.20, (0.10, 0.40)), (0.01, (0.0, 0.05)), False), ((0.05, (0.0, 0.3)), (0.0, (0.0, 0.1)), True)])
def test_a_promise_is_kept_if_the_interval_of_the_difference_holds_nothing(promised, rate, expected):
  assert study.agrees(*promised, *rate) is expected


@pytest.fixture
def photos(tmp_path):
  """24 good photos of 12 groups and 4 bright ones of two more."""
  config = anomaly.get_config('tiny')
  config.data.fit = 'crop'
  config.detector, config.score.map, config.score.reduce = 'mean_image', 'mean_image', 'max'
  config.score.blur = 0.
  records = [parts.Record(f'good/{number}', 'good', f'good {number // 2}', tmp_path) for number in range(24)] + [
      parts.Record(f'dent/{number}', 'dent', f'dent {number // 2}', tmp_path) for number in range(4)]
  images = [bumps(number)[..., None].astype(np.float32) / 255 for number in range(28)]
  samples = {record.file: Sample(record, np.clip(image + 0.5 * (record.label == 'dent'), 0, 1), None)
             for record, image in zip(records, images, strict=True)}
  return study.Set(records, samples, Setup.of(config), 100)


def test_a_draw_trains_on_all_own_photos_or_on_half_of_them(photos):
  folds, ungrouped, part = photos.draw(0)
  assert [row['way'] for row in (folds, ungrouped, part)] == ['folds', 'folds, ungrouped', 'part']
  assert [row['trained_on'] for row in (folds, part)] == [12, 6]
  assert [row['calibrated_by'] for row in (folds, part)] == [12, 4]
  assert folds['auroc'] == ungrouped['auroc'] and folds['false_alarms'] == ungrouped['false_alarms']
  assert folds['ci'][1] - folds['ci'][0] >= ungrouped['ci'][1] - ungrouped['ci'][0]
  assert {row['auroc'] for row in photos.draw(0)} == {folds['auroc'], part['auroc']}


def test_scores_of_folds_are_of_photos_whose_group_was_not_trained_on(photos):
  seen = []

  class Spy(study.Set):
    def fitted(self, train):
      seen.append({record.group for record in train})
      return super().fitted(train)

    def scores(self, detector, records):
      assert not seen[-1] & {record.group for record in records}
      return super().scores(detector, records)

  spy = Spy(**{field.name: getattr(photos, field.name) for field in dataclasses.fields(photos)})
  rows = list(spy.draw(1))
  assert len(rows) == 3 and len(seen) == 5 + 2  # folds, what stays, and the half


def test_the_table_has_means_over_the_draws_and_paired_gains():
  def row(draw, way, auroc, agrees):
    return {'set': 'tiles', 'draw': draw, 'way': way, 'trained_on': 40, 'calibrated_by': 40, 'promised': 0.05,
            'ci': (0.01, 0.2), 'false_alarms': 0.04 + 0.02 * draw, 'agrees': agrees, 'alone': True, 'auroc': auroc}
  rows = [row(draw, way, auroc + 0.1 * draw, agrees) for draw in (0, 1) for way, auroc, agrees in (
      ('folds', 0.8, True), ('folds, ungrouped', 0.8, draw == 0), ('part', 0.7, False))]
  assert study.table(rows).rows == [
      ['tiles', 'folds: all own photos', '40', '40', '5.0 %', '1.0 % to 20.0 %', '5.0 %', '2 of 2', '2', '0.850',
       '+0.100 (+0.100 to +0.100)'],
      ['tiles', 'the same, groups ignored', '40', '40', '5.0 %', '1.0 % to 20.0 %', '5.0 %', '1 of 2', '2', '0.850',
       '+0.100 (+0.100 to +0.100)'],
      ['tiles', 'part: half of them, groups ignored', '40', '40', '5.0 %', '1.0 % to 20.0 %', '5.0 %', '0 of 2', '2',
       '0.750', '–']]
