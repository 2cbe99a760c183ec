"""The anomaly job on made photos: its figures, its threshold, its rows, what it refuses."""

import functools
import json
import shutil
import types
from pathlib import Path

import anomaly_jobs
import numpy as np
import pytest
from made_photos import bumps, write
from PIL import Image
from sklearn import metrics
from workdirs import rows_of, summary_of

from defect_jax.data import parts
from defect_jax.runs.folder import Workdir
from defect_jax.trained import detector
from defect_jax.trained.vae import open_vae


@pytest.fixture(scope='module')
def job(parts_photos):
  """Runs the job in this process: (workdir, further arguments) -> exit status."""
  with anomaly_jobs.handlers_kept():
    yield functools.partial(anomaly_jobs.run, path=parts_photos)


@pytest.fixture(scope='module')
def evaluated(job, tmp_path_factory):
  workdir = tmp_path_factory.mktemp('evaluated') / 'run'
  assert job(workdir) == 0
  return workdir


def in_part(folder, label, part):
  files = sorted(path for path in (folder / label).glob('*.png'))
  return [path for path in files if parts.part_of(path.relative_to(folder.parent).as_posix()) == part]


def test_what_is_measured_is_what_predict_scores(evaluated, job, parts_photos, tmp_path, check_outputs):
  check_outputs(evaluated)
  summary = summary_of(evaluated)
  dents = in_part(parts_photos / 'test', 'dent', 'dev')
  good = in_part(parts_photos / 'train', 'good', 'dev')
  assert summary['counts']['test'] == len(dents) + len(good) // 2
  assert summary['counts']['calibrate'] == len(good) - len(good) // 2
  for folder in (parts_photos / 'test/dent', parts_photos / 'train/good'):
    shutil.copytree(folder, tmp_path / 'photos' / folder.name)
  assert job(tmp_path / 'run', '--config.mode=predict', f'--config.vae={evaluated}',
             f'--config.photos={tmp_path / "photos"}') == 0
  check_outputs(tmp_path / 'run')
  rows = rows_of(tmp_path / 'run')
  assert len(rows) == 64 and {row['verdict'] for row in rows.values()} <= {'ok', 'ng'}
  assert all(float(row['threshold']) == pytest.approx(summary['threshold'], rel=1e-5) for row in rows.values())
  # By the groups' digests, every other good photo of dev is tested.
  good = sorted(good, key=lambda path: parts.digest(f'train/good/{path.name}'))[1::2]
  scores = [float(rows[f'{path.parent.name}/{path.name}']['score']) for path in dents + good]
  labels = [1] * len(dents) + [0] * len(good)
  assert metrics.roc_auc_score(labels, scores) == pytest.approx(summary['image_auroc'])
  above = [score > summary['threshold'] for score in scores]
  assert metrics.f1_score(labels, above) == pytest.approx(summary['f1'])
  assert all((tmp_path / 'run' / row['heatmap']).is_file() for row in rows.values())


def test_every_score_and_baseline_stands_in_the_table(evaluated):
  summary = summary_of(evaluated)
  table = summary['scores']
  for map_name in ('residual', 'normalised', 'ssim', 'lpips', 'pca', 'mean_image', 'knn'):
    for reduction in ('mean', 'max', 'top', 'peak'):
      row = table[f'{map_name}_{reduction}']
      assert 0 <= row['aupro'] <= 1 and 0 <= row['pixel_auroc'] <= 1 and 0 <= row['image_auroc'] <= 1
      assert set(row['by_class']) == {'dent'}
  assert table['kld']['pixel_auroc'] is None and table['kld']['image_auroc'] is not None
  assert table[summary['score']]['image_auroc'] == summary['image_auroc']
  # A white square on a soft slope: even this little training sees it.
  assert table['residual_max']['pixel_auroc'] > 0.8 and table['knn_max']['image_auroc'] > 0.9
  page = (evaluated / 'report.html').read_text()
  assert 'optimistic' in page and 'residual_peak' in page


def test_the_vae_is_an_ordinary_run_on_good_photos_of_the_pool(evaluated, parts_photos, check_outputs):
  check_outputs(evaluated / 'vae')
  vae = open_vae(evaluated / 'vae')
  assert vae.config.data.defects == ('good',) and vae.config.data.part == 'pool'
  assert summary_of(evaluated)['photos'] == len(in_part(parts_photos / 'train', 'good', 'pool'))


def test_broken_photos_become_rows_and_another_threshold_other_verdicts(evaluated, job, parts_photos, tmp_path, capsys):
  photos = tmp_path / 'photos'
  shutil.copytree(parts_photos / 'test/dent', photos)
  (photos / '003.png').write_bytes(b'')
  (photos / '005.png').write_bytes((photos / '005.png').read_bytes()[:60])
  write(photos / 'colour and larger.png', np.uint8(np.random.default_rng(0).integers(0, 256, (50, 70, 3))))
  again = '--config.mode=predict', f'--config.vae={evaluated}', f'--config.photos={photos}'
  assert job(tmp_path / 'run', *again, '--config.threshold.value=1000') == 0
  rows = rows_of(tmp_path / 'run')
  assert '25 photos: 23 ok, 0 ng, 2 skipped' in capsys.readouterr().out
  assert (rows['003.png']['verdict'], rows['003.png']['reason']) == ('error', 'is empty (0 bytes)')
  assert 'truncated' in rows['005.png']['reason'] and rows['005.png']['score'] == ''
  assert rows['colour and larger.png']['verdict'] == 'ok'
  summary = summary_of(tmp_path / 'run')
  assert summary['threshold'] == 1000 and summary['threshold_source'] == 'set by hand' and summary['skipped'] == 2
  assert job(tmp_path / 'low', *again, '--config.threshold.value=-1.0', '--config.heatmaps=false') == 0
  rows = rows_of(tmp_path / 'low')
  assert [row['verdict'] for row in rows.values()].count('ng') == 23 and not any(r['heatmap'] for r in rows.values())


def test_the_vae_is_found_behind_runs_that_took_anothers(monkeypatch):
  runs = {'first': None, 'second': 'first', 'third': 'second'}
  monkeypatch.setattr(detector, 'anomaly_config',
                      lambda root: types.SimpleNamespace(vae=runs[root]) if root in runs else None)
  assert [detector.vae_folder(root) for root in runs] == [Workdir('first').root / 'vae'] * 3
  assert detector.vae_folder('a vae') == Path('a vae')


def test_a_stopped_prediction_goes_on(evaluated, job, stopped, parts_photos, tmp_path):
  arguments = ('--config.mode=predict', f'--config.vae={evaluated}', f'--config.photos={parts_photos / "test/dent"}',
               '--config.batch=4')
  stopped(tmp_path / 'run', *arguments)
  kept = (tmp_path / 'run/predictions.part.csv').read_text().splitlines()
  assert 1 < len(kept) < 25 and not (tmp_path / 'run/predictions.csv').exists()
  assert job(tmp_path / 'run', *arguments) == job(tmp_path / 'whole', *arguments) == 0
  assert (tmp_path / 'run/predictions.csv').read_bytes() == (tmp_path / 'whole/predictions.csv').read_bytes()
  assert not (tmp_path / 'run/predictions.part.csv').exists()


def test_a_photo_that_is_gone_when_it_goes_on_is_not_told_of(evaluated, job, stopped, parts_photos, tmp_path):
  shutil.copytree(parts_photos / 'test/dent', tmp_path / 'photos')
  arguments = '--config.mode=predict', f'--config.vae={evaluated}', f'--config.photos={tmp_path / "photos"}'
  stopped(tmp_path / 'run', *arguments)
  first = (tmp_path / 'run/predictions.part.csv').read_text().splitlines()[1].split(',')[1]
  (tmp_path / 'photos' / first).unlink()
  assert job(tmp_path / 'run', *arguments) == 0
  assert sorted(rows_of(tmp_path / 'run')) == sorted(path.name for path in (tmp_path / 'photos').iterdir())
  assert summary_of(tmp_path / 'run')['photos'] == 23


def test_another_photo_of_the_same_name_is_scored_anew(evaluated, job, stopped, parts_photos, tmp_path):
  shutil.copytree(parts_photos / 'test/dent', tmp_path / 'photos')
  arguments = '--config.mode=predict', f'--config.vae={evaluated}', f'--config.photos={tmp_path / "photos"}'
  stopped(tmp_path / 'run', *arguments)
  kept = [line.split(',')[1] for line in (tmp_path / 'run/predictions.part.csv').read_text().splitlines()[1:]]
  write(tmp_path / 'photos' / kept[0], bumps(0))
  assert job(tmp_path / 'run', *arguments) == job(tmp_path / 'whole', *arguments) == 0
  assert rows_of(tmp_path / 'run') == rows_of(tmp_path / 'whole')


def test_a_run_below_its_photos_and_names_of_any_length(evaluated, job, stopped, parts_photos, tmp_path):
  shutil.copytree(parts_photos / 'test/dent', tmp_path / 'photos')
  long = f'{"a" * 240}.png'
  write(tmp_path / 'photos' / long, bumps(0))
  arguments = '--config.mode=predict', f'--config.vae={evaluated}', f'--config.photos={tmp_path / "photos"}'
  stopped(tmp_path / 'photos/run', *arguments)
  assert list((tmp_path / 'photos/run/heatmaps').iterdir())
  assert job(tmp_path / 'photos/run', *arguments) == 0
  rows = rows_of(tmp_path / 'photos/run')
  assert len(rows) == 25 and (tmp_path / 'photos/run' / rows[long]['heatmap']).is_file()


def test_a_threshold_is_not_taken_from_photos_that_the_vae_has_not_seen(job, stopped, parts_photos, tmp_path, capsys):
  shutil.copytree(parts_photos, tmp_path / 'photos')
  stopped(tmp_path / 'run', path=tmp_path / 'photos')
  assert json.loads((tmp_path / 'run/vae/status.json').read_text())['state'] == 'stopped'
  assert job(tmp_path / 'run', path=tmp_path / 'photos') == 0
  (tmp_path / 'run/summary.json').unlink()  # as if stopped while it measured
  write(in_part(tmp_path / 'photos/train', 'good', 'pool')[0], bumps(1000))
  assert job(tmp_path / 'run', path=tmp_path / 'photos') == 2
  assert 'the photos are others than those' in capsys.readouterr().err


@pytest.mark.parametrize(('arguments', 'reason'), [
  (['--config.mode=predict'], 'photos: is not set'),
  (['--config.mode=predict', '--config.photos=nowhere'], 'photos: nowhere is not a folder'),
  (['--config.vae=nowhere'], 'nowhere holds no run'),
  (['--config.data.defects=dint'], "data.defects: no class 'dint'"),
  (['--config.threshold.quantile=1.0'], 'threshold.quantile = 1.0'),
  (['--config.score.map=knnn'], "score.map = 'knnn': must be one of"),
  (['--config.detector=pca', '--config.score.map=knn'], "score.map = 'knn': the detector pca has pca, pca_normalised"),
  (['--config.detector=vea'], "detector = 'vea': must be one of")])
def test_refusals_leave_nothing(job, tmp_path, assert_refused, arguments, reason):
  assert_refused(job(tmp_path / 'run', *arguments), tmp_path / 'run', reason)


def test_a_vae_of_another_image_size_is_refused(job, evaluated, tmp_path, capsys):
  assert job(tmp_path / 'run', f'--config.vae={evaluated}', '--config.data.size=64') == 2
  err = capsys.readouterr().err
  assert 'takes images of 32 px and 1 channels, data.size = 64' in err and not (tmp_path / 'run').exists()


def test_a_vae_of_defective_photos_is_refused(job, evaluated, tmp_path, capsys):
  shutil.copytree(evaluated / 'vae', tmp_path / 'vae')
  config = json.loads((tmp_path / 'vae/config.json').read_text())
  config['data']['defects'] = ['dent']
  (tmp_path / 'vae/config.json').write_text(json.dumps(config))
  assert job(tmp_path / 'run', f'--config.vae={tmp_path / "vae"}') == 2
  assert 'was trained on photos of dent, so takes them for normal' in capsys.readouterr().err
  assert job(tmp_path / 'run', f'--config.vae={evaluated}', '--config.tiles.on=true') == 2
  assert 'tiles.on = True' in capsys.readouterr().err and not (tmp_path / 'run').exists()


def test_photos_without_good_ones_and_masks_of_another_size_are_refused(job, parts_photos, tmp_path, capsys):
  photos = tmp_path / 'photos'
  shutil.copytree(parts_photos / 'test', photos / 'test')
  assert job(tmp_path / 'run', path=photos) == 2
  assert '0 good photos in part pool' in capsys.readouterr().err
  shutil.copytree(parts_photos, photos, dirs_exist_ok=True)
  wrong = in_part(photos / 'test', 'dent', 'dev')[0]
  write(photos / f'ground_truth/dent/{wrong.stem}_mask.png', np.zeros((9, 8), np.uint8))
  assert job(tmp_path / 'run', path=photos) == 2
  assert f'test/dent/{wrong.name}: is 32 x 32 px, its mask 8 x 9 px' in capsys.readouterr().err
  assert not (tmp_path / 'run').exists()


def test_large_photos_are_tiled(job, parts_photos, tmp_path, capsys):
  wide = np.concatenate([bumps(seed) for seed in range(5)], 1)
  write(tmp_path / 'photos/good.png', wide)
  wide[10:16, 70:76] = 255
  write(tmp_path / 'photos/dented.png', wide)
  assert job(tmp_path / 'run', '--config.tiles.on=true', '--config.score.map=residual', '--config.score.reduce=max',
             '--config.score.blur=0.0',
             '--config.mode=predict', f'--config.photos={tmp_path / "photos"}') == 0
  rows, out = rows_of(tmp_path / 'run'), capsys.readouterr().out
  good = len(in_part(parts_photos / 'train', 'good', 'pool'))
  assert f'{good} tiles of {good} good photos are trained on' in out
  assert f'training a VAE on {good} tiles of good photos' in out and f'{good} tiles of photos of good, part pool' in out
  assert f'{good} photos of good' not in out
  assert rows['dented.png']['verdict'] == 'ng'
  assert float(rows['dented.png']['score']) > 1.5 * float(rows['good.png']['score'])
  heat = np.asarray(Image.open(tmp_path / 'run' / rows['dented.png']['heatmap'])).astype(int)
  redness = (heat[..., 0] - heat[..., 2])[::4, ::4]  # 32 px are enlarged to 128
  assert redness[10:16, 70:76].mean() > 1.5 * redness.mean()


@pytest.mark.slow
def test_made_defects_are_measured_without_a_labelled_one(job, parts_photos, tmp_path):
  photos = tmp_path / 'photos'
  shutil.copytree(parts_photos / 'train', photos / 'train')
  assert job(tmp_path / 'run', '--config.measure.part=synthetic', path=photos) == 0
  summary = summary_of(tmp_path / 'run')
  assert summary['part'] == 'synthetic' and summary['pixel_auroc'] > 0.5
  assert set(summary['scores']['residual_max']['by_class']) <= {'blotch', 'cutpaste'}
