"""The classifier job on made photos: its figures, its rows, how it goes on, what it refuses."""

import dataclasses
import json
import re
import shutil
import signal

import jax
import numpy as np
import pytest
from absl import flags
from classifier_photos import config_of, open_photos
from made_photos import group_of, regrouped
from sklearn import metrics
from workdirs import rows_of, summary_of

from defect_jax import main
from defect_jax.config import config_hash
from defect_jax.data import dataset, parts
from defect_jax.errors import UserError
from defect_jax.imagesets import manifest
from defect_jax.runs.folder import Workdir
from defect_jax.trained import classifier as trained

SMALL = ('--config.model.widths=4,8', '--config.data.split=hash', '--config.data.fit=crop', '--config.data.good=0',
         '--config.optimizer.lr=0.02', '--config.optimizer.average=0.8', '--config.steps.total=40',
         '--config.steps.eval=10', '--config.steps.checkpoint=10', '--config.model.dropout=0.0')


@pytest.fixture(scope='module')
def job(dents):
  """Runs the job in this process: (workdir, further arguments) -> exit status."""
  handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

  def call(workdir, *arguments, path=dents):
    flags.FLAGS.unparse_flags()
    flags.FLAGS['workdir'].value = None
    return main.main(['--config=configs/classifier.py:tiny', f'--workdir={workdir}', '--config.data.source=folder',
                      f'--config.data.path={path}', *SMALL, *arguments])

  # What these jobs compute takes milliseconds; what XLA optimizes it for takes seconds.
  jax.config.update('jax_disable_most_optimizations', True)
  yield call
  jax.config.update('jax_disable_most_optimizations', False)
  for number, handler in handlers.items():
    signal.signal(number, handler)


@pytest.fixture(scope='module')
def evaluated(job, made, tmp_path_factory):
  workdir = tmp_path_factory.mktemp('evaluated') / 'run'
  assert job(workdir, f'--config.made.sets={made()}', '--config.made.ratio=0.5') == 0
  return workdir


def test_figures_are_those_of_the_rows(evaluated, dents, check_outputs):
  check_outputs(evaluated)
  summary, rows = summary_of(evaluated), rows_of(evaluated)
  dev = [path for path in dents.rglob('*.png') if parts.part_of(path.relative_to(dents).as_posix()) == 'dev']
  assert rows.keys() == {path.relative_to(dents).as_posix() for path in dev}
  truth, called = ([row[key] for row in rows.values()] for key in ('truth', 'class'))
  assert summary['confusion'] == metrics.confusion_matrix(truth, called, labels=['good', 'dent']).tolist()
  assert summary['balanced_accuracy'] == pytest.approx(metrics.balanced_accuracy_score(truth, called))
  assert summary['auroc'] == pytest.approx(metrics.roc_auc_score(
      [label == 'dent' for label in truth], [float(row['score']) for row in rows.values()]), abs=1e-4)
  assert summary['auroc'] > 0.85  # white squares: even this little training finds most of them
  config = Workdir(evaluated).read_config()
  assert config_hash(config) != summary['config_hash'] == config_hash(config, made_sets=summary['made_sets'])
  assert summary['made_sets'] == [manifest.digest(config.made.sets[0])]
  assert summary['photos'] == sum((photos_of := summary['counts'])['real'].values())
  assert photos_of['made']['dent'] == round(0.5 * photos_of['real']['dent']) and photos_of['made']['good'] == 0
  page = (evaluated / 'report.html').read_text()
  assert 'Confusion' in page and 'Made images' in page and 'Precision and recall' in page


def test_what_is_measured_is_what_predict_says(evaluated, job, dents, tmp_path, check_outputs):
  shutil.copytree(dents, tmp_path / 'photos')
  (tmp_path / 'photos/ok/003.png').write_bytes(b'')
  assert job(tmp_path / 'run', '--config.mode=predict', f'--config.classifier={evaluated}',
             f'--config.photos={tmp_path / "photos"}') == 0
  check_outputs(tmp_path / 'run')
  rows = rows_of(tmp_path / 'run')
  assert len(rows) == 100 and rows['ok/003.png']['verdict'] == 'error'
  for file, row in rows_of(evaluated).items():
    if file != 'ok/003.png':
      assert float(rows[file]['score']) == pytest.approx(float(row['score']), abs=1e-3)
      assert (rows[file]['class'], rows[file]['verdict']) == (row['class'], row['verdict'])
      assert (tmp_path / 'run' / rows[file]['heatmap']).is_file()
  assert summary_of(tmp_path / 'run')['balanced_accuracy'] is None


def test_an_opened_classifier_is_measured_without_training(evaluated, job, tmp_path, check_outputs):
  assert job(tmp_path / 'again', f'--config.classifier={evaluated}') == 0
  check_outputs(tmp_path / 'again')
  for key in ('accuracy', 'auroc', 'confusion', 'temperature'):
    assert summary_of(tmp_path / 'again')[key] == summary_of(evaluated)[key]
  assert job(tmp_path / 'final', f'--config.classifier={evaluated}', '--config.measure.part=final',
             '--config.validation.share=0.4') == 0
  assert summary_of(tmp_path / 'final')['part'] == 'final'
  trained, opened = (summary_of(of)['counts'] for of in (evaluated, tmp_path / 'final'))
  assert opened == trained | {'test': opened['test']} != trained
  assert not rows_of(tmp_path / 'final').keys() & rows_of(evaluated).keys()


def test_an_opened_classifier_needs_no_photos_to_train_on(evaluated, job, dents, tmp_path):
  shutil.copytree(dents, tmp_path / 'photos')
  for path in (tmp_path / 'photos').rglob('*.png'):
    if parts.part_of(path.relative_to(tmp_path / 'photos').as_posix()) != 'dev':
      path.unlink()
  assert job(tmp_path / 'run', f'--config.classifier={evaluated}', path=tmp_path / 'photos') == 0
  assert summary_of(tmp_path / 'run')['confusion'] == summary_of(evaluated)['confusion']


def test_photos_that_a_classifier_was_trained_on_do_not_measure_it(evaluated, job, dents, tmp_path, assert_refused):
  """They may have come into another part by an index.csv of a later day."""
  found = open_photos(config_of(dents))
  for number, file in enumerate((found.real.files[0], found.validation.files[0])):
    shutil.copytree(dents, tmp_path / f'photos{number}')
    regrouped(tmp_path / f'photos{number}', file, group_of('final'))
    code = job(tmp_path / 'run', f'--config.classifier={evaluated}', '--config.measure.part=final',
               path=tmp_path / f'photos{number}')
    assert_refused(code, tmp_path / 'run', f'measure.part: {file} of the part final were trained on by {evaluated}')


def test_a_prediction_goes_on_only_by_the_same_classifier(evaluated, job, stopped, made, dents, tmp_path):
  def predict(run, of, start=job):
    return start(tmp_path / run, '--config.mode=predict', f'--config.classifier={of}', f'--config.photos={dents}',
                 '--config.heatmaps=False')

  shutil.copytree(evaluated, tmp_path / 'model')
  predict('run', tmp_path / 'model', stopped)
  kept = (tmp_path / 'run/predictions.part.csv').read_text().splitlines()
  assert 1 < len(kept) <= 100
  (tmp_path / 'run/predictions.part.csv').write_text('\n'.join([kept[0], re.sub(',(ok|ng),', ',kept,', kept[1]), '']))
  assert predict('run', tmp_path / 'model') == 0
  assert rows_of(tmp_path / 'run')[kept[1].split(',')[1]]['verdict'] == 'kept'
  predict('other', tmp_path / 'model', stopped)
  shutil.rmtree(tmp_path / 'model')
  assert job(tmp_path / 'model', '--config.seed=1') == 0
  assert predict('other', tmp_path / 'model') == predict('anew', tmp_path / 'model') == 0
  assert rows_of(tmp_path / 'other') == rows_of(tmp_path / 'anew')


def test_a_photo_that_was_scored_and_is_damaged_since_is_left_off_the_page(evaluated, job, stopped, dents, tmp_path):
  shutil.copytree(dents, tmp_path / 'photos')
  arguments = ('--config.mode=predict', f'--config.classifier={evaluated}', f'--config.photos={tmp_path / "photos"}',
               '--config.heatmaps=False')
  stopped(tmp_path / 'run', *arguments)
  scored = [line.split(',')[1] for line in
            (tmp_path / 'run/predictions.part.csv').read_text().splitlines()[1:]]
  for file in scored:
    (tmp_path / 'photos' / file).write_bytes(b'')
  assert job(tmp_path / 'run', *arguments) == 0
  page = (tmp_path / 'run/report.html').read_text()
  assert len(rows_of(tmp_path / 'run')) == 100 and not any(f' {file}<' in page for file in scored)


def test_a_prevalence_shifts_the_log_odds(evaluated, job, tmp_path):
  images = np.random.default_rng(0).uniform(size=(3, 32, 32, 1)).astype(np.float32)
  even, rare = (trained.open_classifier(evaluated, prevalence=share).probabilities(images) for share in (None, 0.01))
  np.testing.assert_allclose(np.log(rare[:, 1] / rare[:, 0]) - np.log(even[:, 1] / even[:, 0]), np.log(0.01 / 0.99),
                             rtol=1e-5)
  assert job(tmp_path / 'rare', f'--config.classifier={evaluated}', '--config.prevalence=1e-30') == 0
  assert {row['class'] for row in rows_of(tmp_path / 'rare').values()} == {'good'}


def test_a_prediction_is_the_mean_over_mirrored_copies(evaluated):
  found = trained.open_classifier(evaluated)
  light, mirrors = found.config.data.augment, ((), (1,), (2,), (1, 2))
  assert trained.tta_axes_of(light, False) == found.tta_axes == ((),)
  assert trained.tta_axes_of(light, True) == trained.open_classifier(evaluated, mirrored=True).tta_axes == mirrors
  light.flip_vertical = False
  assert trained.tta_axes_of(light, True) == ((), (2,))
  images = np.random.default_rng(0).uniform(size=(3, 32, 32, 1)).astype(np.float32)
  copies = [images, images[:, ::-1], images[:, :, ::-1], images[:, ::-1, ::-1]]
  each = [found.logits(copy) for copy in copies]
  assert np.ptp(each, 0).max() > 1e-3
  np.testing.assert_allclose(dataclasses.replace(found, tta_axes=mirrors).logits(images), np.mean(each, 0), rtol=1e-5)


def test_what_counts_as_defective_before_it_is_looked_at_is_told(evaluated, job, dents, tmp_path, capsys):
  arguments = '--config.mode=predict', f'--config.classifier={evaluated}', f'--config.photos={dents / "ok"}'
  assert job(tmp_path / 'one', *arguments, '--config.threshold=0.4', '--config.heatmaps=False') == 0
  assert 'note: 1 classes of defects count as 50% of all photos, above threshold = 0.4' in capsys.readouterr().out
  assert job(tmp_path / 'two', *arguments, '--config.heatmaps=False') == 0
  assert job(tmp_path / 'three', *arguments, '--config.threshold=0.4', '--config.prevalence=0.4',
             '--config.heatmaps=False') == 0
  assert 'count as' not in capsys.readouterr().out


def test_a_classifier_of_other_shapes_is_refused(evaluated, job, tmp_path, assert_refused):
  shutil.copytree(evaluated, tmp_path / 'old')
  config = json.loads((tmp_path / 'old/config.json').read_text())
  config['model']['widths'] = [4, 16]
  (tmp_path / 'old/config.json').write_text(json.dumps(config))
  assert_refused(job(tmp_path / 'run', f'--config.classifier={tmp_path / "old"}'), tmp_path / 'run',
                 'saved by another version of defect_jax; train it anew')


def test_a_stopped_training_goes_on_to_the_same_end(evaluated, job, dents, made, tmp_path, monkeypatch, capsys):
  append = Workdir.append_metrics

  def stopping(workdir, row):
    workdir.stop_requested = workdir.stop_requested or row['step'] == 20
    append(workdir, row)

  arguments = f'--config.made.sets={made()}', '--config.made.ratio=0.5'
  shutil.copytree(dents, tmp_path / 'photos')
  with monkeypatch.context() as patch:
    patch.setattr(Workdir, 'append_metrics', stopping)
    assert job(tmp_path / 'run', *arguments, path=tmp_path / 'photos') == 3
  assert not (tmp_path / 'run/summary.json').exists()
  gone = next(path for path in sorted(tmp_path.glob('photos/ok/*.png'))
              if parts.part_of(path.relative_to(tmp_path / 'photos').as_posix()) == 'pool')
  gone.rename(tmp_path / 'gone.png')
  capsys.readouterr()
  assert job(tmp_path / 'run', *arguments, path=tmp_path / 'photos') == 2
  assert 'are others than those that the run began with' in capsys.readouterr().err
  (tmp_path / 'gone.png').rename(gone)
  assert job(tmp_path / 'run', *arguments, path=tmp_path / 'photos') == 0
  assert (tmp_path / 'run/predictions.csv').read_bytes() == (evaluated / 'predictions.csv').read_bytes()
  assert summary_of(tmp_path / 'run')['best_step'] == summary_of(evaluated)['best_step']


def test_training_ends_when_nothing_gets_better(job, tmp_path):
  assert job(tmp_path / 'run', '--config.validation.patience=1', '--config.optimizer.lr=10.0',
             '--config.steps.total=600') == 0
  summary = summary_of(tmp_path / 'run')
  assert summary['steps'] < 600 and summary['best_step'] == summary['steps'] - 10


def test_without_held_out_photos_there_is_no_temperature(job, tmp_path):
  assert job(tmp_path / 'run', '--config.validation.share=0.0', '--config.data.few_shot=6') == 0
  summary = summary_of(tmp_path / 'run')
  assert (summary['temperature'], summary['best_step'], summary['steps']) == (1, None, 40)
  assert summary['counts']['real']['dent'] == 6 and sum(summary['counts']['validation'].values()) == 0


def test_a_made_image_of_a_tested_photo_is_refused(job, dents, made, tmp_path, capsys):
  """The leak test: the very set that passes is refused once its source stands among the tested photos."""
  source = next(file for file in open_photos(config_of(dents)).real.files if 'dent' in file)
  leaky = made(source=source)
  assert job(tmp_path / 'fine', f'--config.made.sets={leaky}', '--config.made.ratio=0.1') == 0
  shutil.copytree(dents, tmp_path / 'photos')
  regrouped(tmp_path / 'photos', source, group_of('dev'))
  capsys.readouterr()
  assert job(tmp_path / 'run', f'--config.made.sets={leaky}', path=tmp_path / 'photos') == 2
  err = capsys.readouterr().err
  assert f'images/000000.png (of {source}, dev)' in err and 'held out of training' in err
  assert not (tmp_path / 'run').exists()


def test_when_early_stopping_looks_is_part_of_the_training(evaluated, job, capsys):
  assert job(evaluated, '--config.steps.eval=5') == 2 and 'steps.eval' in capsys.readouterr().err


def test_a_classifier_that_is_damaged_or_not_at_its_end_is_not_opened(evaluated, tmp_path):
  shutil.copytree(evaluated, tmp_path / 'run')
  path = tmp_path / 'run/classifier.json'
  text, kept = path.read_text(), json.loads(path.read_text())
  for lost in ([], None, kept | {'temperature': None}, {key: kept[key] for key in kept if key != 'classes'}):
    path.write_text(json.dumps(lost))
    with pytest.raises(UserError, match=r'has no usable classifier\.json'):
      trained.open_classifier(tmp_path / 'run')
  path.write_text(text)
  (tmp_path / 'run/summary.json').unlink()
  with pytest.raises(UserError, match='is not at its end; run its command again first'):
    trained.open_classifier(tmp_path / 'run')


@pytest.mark.parametrize(('arguments', 'reason'), [
  (['--config.data.defects=dint'], "data.defects: no class 'dint'"),
  (['--config.mode=predict', '--config.classifier=nowhere'], 'photos: is not set'),
  (['--config.classifier=nowhere'], 'nowhere holds no run'),
  (['--config.made.sets=nowhere'], 'manifest.jsonl: cannot be read'),
  (['--config.prevalence=1.0'], 'prevalence = 1.0'),
  (['--config.model.kind=vgg19'], "model.kind = 'vgg19'")])
def test_refusals_leave_nothing(job, tmp_path, assert_refused, arguments, reason):
  assert_refused(job(tmp_path / 'run', *arguments), tmp_path / 'run', reason)


def test_too_many_photos_are_refused_before_they_are_read(job, tmp_path, assert_refused, monkeypatch):
  monkeypatch.setattr(dataset.Prepared, 'images', lambda *_: pytest.fail('they were read'))
  run = tmp_path / 'run'
  assert_refused(job(run, '--config.data.resident_mb=0.1'), run, 'data.resident_mb = 0.1: the photos take')


def test_sets_of_other_classes_and_of_too_few_images_are_refused(job, made, tmp_path, capsys):
  assert job(tmp_path / 'run', f'--config.made.sets={made(2, label="scratch")}') == 2
  assert 'is of the class scratch, the classifier knows good, dent' in capsys.readouterr().err
  assert job(tmp_path / 'run', f'--config.made.sets={made(2)}', '--config.made.ratio=5.0') == 2
  assert 'made.ratio = 5: asks for' in capsys.readouterr().err and not (tmp_path / 'run').exists()


def test_photos_of_one_class_are_refused(job, dents, tmp_path, capsys):
  shutil.copytree(dents / 'ok', tmp_path / 'photos/ok')
  assert job(tmp_path / 'run', path=tmp_path / 'photos') == 2
  assert 'all good, so there is nothing to tell apart' in capsys.readouterr().err
