"""The classifier under data.split = kfold, folders and none: what is trained on, what is tested by what, no leaks."""

import json
import shutil

import jax
import numpy as np
import pytest
from made_photos import bumps, dented, make_set, write
from sklearn import metrics
from workdirs import rows_of, summary_of

from defect_jax.augmentation import made
from defect_jax.config import load
from defect_jax.data import dataset, folds, listing, parts, splits
from defect_jax.errors import UserError
from defect_jax.imagesets import manifest, soundness
from defect_jax.runs.folder import Workdir
from defect_jax.runs.start import run, settled
from defect_jax.tasks.keys import classifier as keys
from defect_jax.training import classifier_fit


@pytest.fixture(scope='module', autouse=True)
def quick():
  # What these jobs compute takes milliseconds; what XLA optimizes it for takes seconds.
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)


@pytest.fixture(scope='module')
def few(tmp_path_factory):
  """14 good photos and 6 dents; two photos of a workpiece are told by index.csv."""
  root = tmp_path_factory.mktemp('few')
  files = [f'ok/{number:02d}.png' for number in range(14)] + [f'ng/{number:02d}.png' for number in range(6)]
  for number, file in enumerate(files):
    write(root / file, (bumps if file[0] == 'o' else dented)(100 * number))
  (root / 'index.csv').write_text('path,group\n' + ''.join(
      f'{file},{file[:2]} {int(file[3:5]) // 2}\n' for file in files))
  return root


def of(root, **changes):
  config = load('configs/classifier.py:tiny')
  config.data.path, config.model.widths, config.data.size = str(root), (4,), 32
  config.steps.update(total=6, log=2, eval=2, checkpoint=2)
  config.update_from_flattened_dict(changes)
  return config.lock()


def done(config, root):
  workdir = Workdir(root)
  config, _ = settled(config, workdir)
  workdir.check(config)
  with workdir.running():
    workdir.finish(run(config, workdir))
  return workdir


@pytest.fixture(scope='module')
def crossed(few, tmp_path_factory):
  return done(of(few, **{'data.folds': 3}), tmp_path_factory.mktemp('crossed') / 'run')


def test_each_photo_is_tested_once_and_all_are_trained_on(crossed, few, check_outputs):
  check_outputs(crossed.root)
  summary, rows = summary_of(crossed.root), rows_of(crossed.root)
  assert len(rows) == 20 and summary['photos'] == 20 and summary['counts']['real'] == {'good': 14, 'ng': 6}
  assert (summary['part'], summary['split'], summary['folds']) == ('all', 'kfold', 3)
  truth, called = ([row[key] for row in rows.values()] for key in ('truth', 'class'))
  assert summary['confusion'] == metrics.confusion_matrix(truth, called, labels=['good', 'ng']).tolist()
  assert np.sum(summary['confusion']) == 20
  assert summary['steps'] == summary['best_step'] == np.median(summary['fold_steps'])
  seen = json.loads((crossed.root / 'classifier.json').read_text())['seen']
  assert len(seen) == 20


def test_no_workpiece_is_on_both_sides_of_a_fold(few):
  photos = splits.split(part='dev', share=0.2, seed=0, test_only=False, source='auto', path=str(few), split='kfold',
                        folds=3, size=32, channels=1, region='full', fit='crop')
  assert photos.folds == 3
  tested = []
  for number in range(3):
    fold = photos.fold(number, 0.2, 0)
    sides = [set(side.groups) for side in (fold.train, fold.validation, fold.test)]
    assert len(set.union(*sides)) == sum(map(len, sides)) == 10
    assert {0, 1} == {*fold.train.labels} and {*fold.apart} == {*fold.test.sha256}
    tested += fold.test.files
  assert sorted(tested) == sorted(photos.train.files) and len(tested) == 20


def test_folds_of_a_vae_and_a_classifier_are_the_same(few):
  """A VAE of the defects leaves out what the classifier's fold tests; of the listing alone, whatever is drawn."""
  photos = splits.split(part='dev', share=0.2, seed=0, test_only=False, source='auto', path=str(few), split='kfold',
                        folds=3, size=32, channels=1, region='full', fit='crop')
  for number in range(3):
    listed = listing.list_photos('auto', str(few), 'kfold', 3, number + 1)
    held_out = {record.file for record in listed if record.part == 'dev'}
    assert held_out == {*photos.fold(number, 0, 0).test.files}


def test_folds_are_counted_by_classes_of_several_groups(few):
  listed = listing.list_photos('auto', str(few), 'kfold')
  assert max(folds.assign(listed, 5).values()) == 2  # of the dents there are three workpieces


def test_a_killed_run_goes_on_to_the_same_figures(crossed, few, tmp_path, monkeypatch):
  shutil.copytree(crossed.root / 'folds/1', tmp_path / 'run/folds/1')
  shutil.copy(crossed.root / 'config.json', tmp_path / 'run')
  trained = []
  train = classifier_fit.Recipe.train
  monkeypatch.setattr(classifier_fit.Recipe, 'train', lambda *args, **keywords: (
      trained.append(str(args[1].root)), train(*args, **keywords))[1])
  done(of(few, **{'data.folds': 3}), tmp_path / 'run')
  assert [name[-1] for name in trained] == ['2', '3', 'n']
  assert rows_of(tmp_path / 'run') == rows_of(crossed.root)
  assert summary_of(tmp_path / 'run')['ci'] == summary_of(crossed.root)['ci']


def test_a_fold_of_other_photos_is_refused(crossed, few, tmp_path):
  shutil.copytree(few, tmp_path / 'photos')
  write(tmp_path / 'photos/ok/00.png', bumps(7))
  shutil.copytree(crossed.root / 'folds', tmp_path / 'run/folds')
  shutil.copy(crossed.root / 'config.json', tmp_path / 'run')
  text = (tmp_path / 'run/config.json').read_text().replace(str(few), str(tmp_path / 'photos'))
  for path in (tmp_path / 'run').rglob('config.json'):
    path.write_text(text)
  with pytest.raises(UserError, match='others than those that the run began with'):
    done(of(tmp_path / 'photos', **{'data.folds': 3}), tmp_path / 'run')


def test_the_page_says_how_figures_were_had(crossed):
  page = (crossed.root / 'report.html').read_text()
  assert 'by 3-fold cross-validation: each photo was tested once' in page
  assert 'is not measured itself' in page and 'Save the list as CSV' in page


def test_without_a_split_nothing_is_measured(few, tmp_path, capsys, check_outputs):
  workdir = done(of(few, **{'data.split': 'none'}), tmp_path / 'run')
  check_outputs(workdir.root)
  summary = summary_of(workdir.root)
  assert (summary['photos'], summary['steps'], summary['part'], summary['folds']) == (20, 6, 'all', 0)
  assert summary['accuracy'] is summary['ci'] is summary['confusion'] is None
  assert 'nothing measured, since no photos were held out' in capsys.readouterr().out
  assert 'Nothing is measured' in (workdir.root / 'report.html').read_text()


def test_folders_are_trained_on_and_tested_as_they_say(few, tmp_path):
  for number, file in enumerate(sorted(path.relative_to(few) for path in few.rglob('*.png'))):
    folder = ('train', 'train', 'val', 'test')[number % 4]
    write(tmp_path / f'photos/{folder}/{"good" if file.parts[0] == "ok" else "ng"}/{file.name}', bumps(number))
  workdir = done(of(tmp_path / 'photos'), tmp_path / 'run')
  summary = summary_of(workdir.root)
  assert (summary['split'], summary['part'], summary['photos']) == ('folders', 'test', 10)
  assert sum(summary['counts']['validation'].values()) == 5
  assert all(file.startswith('test/') for file in rows_of(workdir.root)) and len(rows_of(workdir.root)) == 5


def test_a_fold_takes_sets_that_know_nothing_of_it(few, tmp_path):
  photos = splits.split(part='dev', share=0.2, seed=0, test_only=False, source='auto', path=str(few), split='kfold',
                        folds=3, size=32, channels=1, region='full', fit='crop')
  sets = []
  for number in range(2):
    fold = photos.fold(number, 0, 0)
    root = make_set(tmp_path / str(number), 4, label='ng', source_part='all')
    manifest.write_known(root, fold.train.sha256)
    sets.append(str(root))
  assert [made.for_fold(sets, photos.fold(number, 0, 0), number, None) for number in range(2)] == [sets[:1], sets[1:]]
  with pytest.raises(UserError, match=r'without the photos of fold 3 of 3; make one by: .*--config.data.fold=3'):
    made.for_fold(sets, photos.fold(2, 0, 0), 2, 'photos')
  unknown = make_set(tmp_path / 'unknown', 4, label='ng', source_part='all')
  with pytest.raises(UserError, match='fold 1 of 3'):
    made.for_fold([str(unknown)], photos.fold(0, 0, 0), 0, None)


def test_made_images_of_all_photos_are_for_the_one_that_stays(few, tmp_path):
  root = make_set(tmp_path / 'set', 6, label='ng', source_part='all')
  workdir = done(of(few, **{'data.folds': 3, 'made.sets': (str(root),)}), tmp_path / 'run')
  assert summary_of(workdir.root)['counts']['made'] == {'good': 0, 'ng': 6}
  assert [summary_of(workdir.root / f'folds/{number}')['made'] for number in (1, 2, 3)] == [0, 0, 0]
  assert 'The figures are without made images' in (workdir.root / 'report.html').read_text()
  images = manifest.read(root)
  soundness.refuse_unsound(root, images, {}, {}, parts.TRAINED_ON)
  with pytest.raises(UserError, match='of its model, all'):
    soundness.refuse_unsound(root, images, {}, {})


def test_made_close_ups_are_refused(few, tmp_path):
  root = make_set(tmp_path / 'set', 6, label='ng', source_part='all')
  manifest.write_known(root, [], 'mask')
  with pytest.raises(UserError, match=r'shows squares around defects .* --config.data.region=full'):
    done(of(few, **{'made.sets': (str(root),)}), tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


def test_the_part_final_is_of_hash_alone(few):
  config = of(few, **{'data.split': 'kfold', 'measure.part': 'final'})
  with pytest.raises(UserError, match=r'there is such a part by data\.split=hash alone'):
    keys.check(config)


def test_where_a_class_has_one_workpiece_there_are_no_folds(few, tmp_path):
  shutil.copytree(few, tmp_path / 'photos')
  text = (few / 'index.csv').read_text()
  (tmp_path / 'photos/index.csv').write_text('\n'.join(
      line.rpartition(',')[0] + ',one' if line.startswith('ng') else line for line in text.splitlines()))
  with pytest.raises(UserError, match='all photos of ng are in one fold'):
    splits.split(part='dev', share=0.2, seed=0, test_only=False, source='auto', path=str(tmp_path / 'photos'),
                 split='kfold', size=32, channels=1, region='full', fit='crop')


def test_too_few_groups_for_early_stopping_are_told(few):
  photos = splits.split(part='dev', share=0.2, seed=0, test_only=False, source='auto', path=str(few), split='kfold',
                        folds=3, size=32, channels=1, region='full', fit='crop')
  two = photos.train.only([*range(2), *range(18, 20)])
  found = photos._holding_out(two, 0.2, 0, strict=False)
  assert len(found.validation) == 0 and 'no early stopping' in found.notes[-1]
  assert dataset.digest(found.train) == dataset.digest(two)
