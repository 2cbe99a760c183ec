"""The anomaly job where all good photos are trained on: thresholds and figures of photos that no detector has seen."""

import functools
import json
import re

import anomaly_jobs
import numpy as np
import pytest
from made_photos import bumps, write
from PIL import Image
from sklearn import metrics
from workdirs import rows_of, summary_of

from defect_jax.data import folds, parts
from defect_jax.detectors import threshold
from defect_jax.trained.detector import open_detector

# Scores that can be worked out by hand: the largest distance of a pixel from the mean of the photos trained on.
MEAN = ('--config.detector=mean_image', '--config.score.map=mean_image', '--config.score.reduce=max',
        '--config.score.blur=0.0', '--config.detectors=')


@pytest.fixture(scope='module')
def root(tmp_path_factory):
  """20 good photos and 10 dents with masks, two of each group."""
  root = tmp_path_factory.mktemp('folds') / 'photos'
  rows = ['path,group']
  for number in range(20):
    write(root / f'ok/{number:02d}.png', bumps(number))
    rows.append(f'ok/{number:02d}.png,ok {number // 2}')
  for number in range(10):
    write(root / f'ng/dent/{number:02d}.png', (made := anomaly_jobs.dented(1000 + number))[0])
    write(root / f'ground_truth/dent/{number:02d}_mask.png', made[1])
    rows.append(f'ng/dent/{number:02d}.png,ng {number // 2}')
  (root / 'index.csv').write_text('\n'.join(rows) + '\n')
  return root


@pytest.fixture(scope='module')
def job(root):
  with anomaly_jobs.handlers_kept():
    yield functools.partial(anomaly_jobs.run, path=root, split=())


def image(root, file):
  return np.asarray(Image.open(root / file)).astype(float) / 255


def by_hand(root):
  """{file: score} by a fold that has not seen the file's group, of good photos and dents."""
  records = [parts.Record(file, label, f'{name} {number // 2}', root / file)
             for label, name, count, place in (('good', 'ok', 20, 'ok'), ('dent', 'ng', 10, 'ng/dent'))
             for number in range(count) for file in [f'{place}/{number:02d}.png']]
  fold_of = folds.assign(records, 5, ('good',))
  return {record.file: np.abs(image(root, record.file) - np.mean(
      [image(root, other.file) for other in records
       if other.label == 'good' and fold_of[other.file] != fold_of[record.file]], 0)).max() for record in records}


def test_every_photo_is_scored_by_a_detector_that_has_not_seen_its_group(job, root, tmp_path, capsys, check_outputs):
  run = tmp_path / 'run'
  assert job(run, *MEAN) == 0  # by itself kfold
  check_outputs(run)
  out, summary, expected = capsys.readouterr().out, summary_of(run), by_hand(root)
  good = [score for file, score in expected.items() if file.startswith('ok')]
  assert summary['image_auroc'] == pytest.approx(metrics.roc_auc_score(
      [file.startswith('ng') for file in expected], list(expected.values())))
  found = threshold.from_good(good, 0.95, '', [number // 2 for number in range(20)])
  assert summary['threshold'] == pytest.approx(found.value, rel=1e-4)
  assert summary['false_alarm_ci'] == pytest.approx(found.false_alarm_ci, rel=1e-6)
  assert summary['threshold_source'] == 'quantile 0.95 of 20 good photos that their detector has not seen, of 10 groups'
  assert (summary['photos'], summary['split'], summary['folds'], summary['part']) == (20, 'kfold', 5, 'all')
  assert summary['counts'] == {'train': 20, 'calibrate': 20, 'test': 30}
  assert '20 good photos trained on, all by the detector that stays' in out
  assert '30 photos tested, each by the detector that was trained without its group.' in out
  assert re.search(r'forecast: about \d+ s in all: 5 folds and the detector that stays', out)
  # Squares of 6 px are looked at as they are, below the 8 that are surely seen; the photos are of one kind.
  assert summary['looked_at'] | {'photo_px': [32, 32], 'masks': 10, 'defect_px': 6., 'defect_seen_px': 6.} == (
      summary['looked_at'])
  assert 'lost_in_scaling' in summary['reasons'] and summary['usable'] is False and summary['mixture'] == {}
  assert 'measured for the answers: ' in out and summary['answers_seconds'] > 0
  # The detector that stays is trained on all good photos.
  predictor = open_detector(run)
  np.testing.assert_allclose(np.asarray(predictor.detector.params['center'])[..., 0],
                             np.mean([image(root, f'ok/{number:02d}.png') for number in range(20)], 0), atol=1e-5)
  assert predictor.threshold.false_alarm_ci == pytest.approx(found.false_alarm_ci, rel=1e-6)


def test_the_page_lists_every_tested_photo_with_its_reason(job, root, tmp_path):
  assert job(tmp_path / 'run', '--config.data.split=kfold', *MEAN) == 0
  page = (tmp_path / 'run/report.html').read_text()
  rows = json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)[1])
  assert len(rows) == 30 and [row[3] for row in rows] == sorted((row[3] for row in rows), reverse=True)
  first = rows[0]
  assert first[0].startswith('ng/dent/') and first[1] == 'ng' and first[7] is True and first[5] == 'dent'
  assert re.fullmatch(r'[\d.]+ above the threshold; strongest at the [\w ]+, 6 x 6 of 32 x 32 px', first[2])
  assert 'of the good ones, from which it comes, called defective' in page


def test_what_stays_predicts_by_that_threshold_and_says_why(job, root, tmp_path):
  run = tmp_path / 'run'
  assert job(run, '--config.data.split=kfold', *MEAN) == 0
  again = '--config.mode=predict', f'--config.vae={run}', f'--config.photos={root / "ng"}'
  assert job(tmp_path / 'rows', *again) == 0
  mean = np.mean([image(root, f'ok/{number:02d}.png') for number in range(20)], 0)
  for file, row in rows_of(tmp_path / 'rows').items():
    assert float(row['score']) == pytest.approx(np.abs(image(root / 'ng', file) - mean).max(), abs=1e-4)
    assert float(row['threshold']) == pytest.approx(summary_of(run)['threshold'], rel=1e-5)
    assert 'the threshold; strongest at the' in row['reason']
  page = (tmp_path / 'rows/report.html').read_text()
  rows = json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)[1])
  assert len(rows) == 10 and all(row[6].startswith('data:image/jpeg') and len(row[4]) == 64 for row in rows)
  # Predicted at once, without a measure, the threshold is the same.
  assert job(tmp_path / 'once', '--config.data.split=kfold', *MEAN, '--config.mode=predict',
             f'--config.photos={root / "ng"}') == 0
  assert summary_of(tmp_path / 'once')['threshold'] == summary_of(run)['threshold']


def test_without_defects_some_are_pasted_on_good_photos(job, tmp_path, capsys):
  for number in range(12):
    write(tmp_path / f'photos/ok/{number:02d}.png', bumps(number))
  assert job(tmp_path / 'run', '--config.data.split=kfold', *MEAN, path=tmp_path / 'photos') == 0
  summary = summary_of(tmp_path / 'run')
  assert summary['image_auroc'] > 0.5 and summary['found'] is not None and summary['threshold'] > 0
  assert summary['counts'] == {'train': 12, 'calibrate': 12, 'test': 24} and summary['measured_on'] == 'pasted'
  assert 'defects are pasted on good ones, to see what would be found' in capsys.readouterr().out


def test_another_part_is_measured_afterwards_without_training_anew(job, root, tmp_path, capsys):
  run, own = tmp_path / 'run', ('--config.data.split=kfold', '--config.data.folds=2', '--config.detectors=',
                                '--config.score.features=false')
  assert job(run, *own) == 0
  before, page = summary_of(run), (run / 'report.html').read_bytes()
  trained = {path: path.stat().st_mtime_ns for path in run.rglob('checkpoints/*/digest.json')}
  capsys.readouterr()
  assert job(run, *own, '--config.measure.part=synthetic') == 0
  after, out = summary_of(run), capsys.readouterr().out
  assert 'training a VAE' not in out and len(trained) == 3
  assert trained == {path: path.stat().st_mtime_ns for path in run.rglob('checkpoints/*/digest.json')}
  assert (before['part'], before['measured_on'], after['part'], after['measured_on']) == (
      'all', 'labels', 'synthetic', 'pasted')
  assert after['threshold'] == before['threshold'] and after['counts']['test'] == 40
  # Whether it can be used is still answered by the real ones.
  assert (after['usable'], after['reasons']) == (before['usable'], before['reasons'])
  assert 'Before, measure.part=dev was measured' in (run / 'report.html').read_text()
  # What was measured before is kept, and had again by the command as it was.
  assert (run / 'measured/dev/report.html').read_bytes() == page
  assert json.loads((run / 'measured/dev/summary.json').read_text()) == before
  assert job(run, *own, '--config.measure.part=dev') == 0
  assert {key: summary_of(run)[key] for key in ('scores', 'config_hash')} == {
      key: before[key] for key in ('scores', 'config_hash')}
  assert (run / 'measured/synthetic/report.html').exists()
  assert job(run, *own, '--config.measure.part=dev') == 0 and 'finished already' in capsys.readouterr().out
  assert job(run, *own, '--config.score.map=knn') == 2  # nothing else may change
  assert 'score.map differ' in capsys.readouterr().err


def test_made_defects_are_pasted_on_photos_out_of_fold(job, root, tmp_path):
  assert job(tmp_path / 'run', '--config.data.split=kfold', *MEAN, '--config.measure.part=synthetic') == 0
  summary = summary_of(tmp_path / 'run')
  assert summary['part'] == 'synthetic' and summary['counts'] == {'train': 20, 'calibrate': 20, 'test': 40}
  assert summary['pixel_auroc'] > 0.5 and summary['threshold'] == pytest.approx(threshold.from_good(
      [score for file, score in by_hand(root).items() if file.startswith('ok')], 0.95, '').value, rel=1e-4)


def folders(path, val):
  for number in range(12):
    write(path / f'train/good/{number:02d}.png', bumps(number))
  for number in range(4):
    write(path / f'test/good/{number:02d}.png', bumps(100 + number))
    write(path / f'test/dent/{number:02d}.png', anomaly_jobs.dented(1000 + number)[0])
    if val:
      write(path / f'val/good/{number:02d}.png', bumps(200 + number))
  return path


def test_folders_train_on_train_and_measure_test_by_what_stays(job, tmp_path):
  path = folders(tmp_path / 'photos', False)
  assert job(tmp_path / 'run', *MEAN, path=path) == 0  # by itself, since train/good holds all that is trained on
  summary = summary_of(tmp_path / 'run')
  mean = np.mean([image(path, f'train/good/{number:02d}.png') for number in range(12)], 0)
  scores = [np.abs(image(path, f'test/{label}/{number:02d}.png') - mean).max()
            for label in ('good', 'dent') for number in range(4)]
  assert summary['image_auroc'] == pytest.approx(metrics.roc_auc_score([0] * 4 + [1] * 4, scores))
  assert summary['false_alarms'] == np.mean(np.array(scores[:4]) > summary['threshold'])
  assert (summary['photos'], summary['split'], summary['folds'], summary['part']) == (12, 'folders', 5, 'test')
  assert summary['counts'] == {'train': 12, 'calibrate': 12, 'test': 8}


def test_each_fold_trains_its_own_vae_and_goes_on_where_it_stopped(job, root, stopped, tmp_path):
  own = '--config.data.split=kfold', '--config.data.folds=2', '--config.detectors=', '--config.score.features=false'
  run = tmp_path / 'run'
  stopped(run, *own)
  assert (run / 'folds/1/vae/checkpoints').is_dir() and not (run / 'folds/2').exists()
  assert job(run, *own) == 0
  summary = summary_of(run)
  for place, fold in (('folds/1/vae', 1), ('folds/2/vae', 2), ('vae', None)):
    assert summary_of(run / place)['steps'] == 30
    config = json.loads((run / place / 'config.json').read_text())
    assert config['data'].get('fold') == fold
  assert summary['seconds'] > sum(summary_of(run / place)['seconds'] for place in ('folds/1/vae', 'folds/2/vae', 'vae'))
  assert job(tmp_path / 'whole', *own) == 0
  whole = summary_of(tmp_path / 'whole')
  assert {key: whole[key] for key in ('threshold', 'image_auroc', 'scores')} == {
      key: summary[key] for key in ('threshold', 'image_auroc', 'scores')}


def test_a_vae_that_has_seen_the_folds_is_refused(job, tmp_path, assert_refused):
  assert_refused(job(tmp_path / 'run', '--config.data.split=kfold', '--config.vae=nowhere'), tmp_path / 'run',
                 'vae: nowhere has seen photos that give the threshold')
