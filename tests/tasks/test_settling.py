"""What is left open in a config is settled by the photos, stays as the run began, and is said in the first lines."""

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from defect_jax.config import config_hash, from_command_line
from defect_jax.imagesets import manifest
from defect_jax.runs import start
from defect_jax.runs.folder import Workdir

PARTS_OF_CLASSES = {'train/good': 4, 'train/crack': 3, 'val/good': 2, 'val/crack': 2, 'test/good': 3, 'test/crack': 2}
MVTEC = {'train/good': 5, 'test/good': 3, 'test/crack': 4}


def make(root, folders, side=16):
  rng = np.random.default_rng(0)
  for folder, count in folders.items():
    (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(count):
      levels = rng.integers(0, 256, (side, side), np.uint8)
      Image.fromarray(levels).save(root / folder / f'{len(folder)}_{number}.png')
  return root


def settled(tmp_path, config, path, *more):
  _, asked, _ = from_command_line([f'--config=configs/{config}.py', *([f'--config.data.path={path}'] if path else []),
                                   *more])
  return start.settled(asked, Workdir(tmp_path / 'run'))


def open_keys(config):
  return {key: config.data.get(key) for key in ('source', 'defects', 'few_shot', 'split', 'fit', 'bits')}


@pytest.mark.parametrize(('config', 'folders', 'expected'), [
    ('vae_split', {'OK': 3, 'NG': 3}, {'source': 'classes', 'defects': ('NG',), 'split': 'none', 'fit': 'crop'}),
    ('classifier', {'OK': 3, 'NG': 3}, {'source': 'classes', 'defects': ('NG',), 'split': 'kfold', 'fit': 'pad'}),
    ('anomaly', {'OK': 3, 'NG': 3}, {'source': 'classes', 'defects': (), 'split': 'kfold', 'fit': 'pad'}),
    ('vae_split', {'.': 4}, {'source': 'photos', 'defects': ('defect',), 'split': 'none', 'fit': 'crop'}),
    ('anomaly', {'.': 4}, {'source': 'photos', 'defects': (), 'split': 'kfold', 'fit': 'pad'}),
    ('classifier', {'no_defect': 3, 'crack': 2, 'hole': 2},
     {'source': 'classes', 'defects': ('crack', 'hole'), 'split': 'kfold', 'fit': 'pad'}),
    ('classifier', PARTS_OF_CLASSES, {'source': 'classes', 'defects': ('crack',), 'split': 'folders', 'fit': 'pad'}),
    ('vae_split', PARTS_OF_CLASSES, {'source': 'classes', 'defects': ('crack',), 'split': 'folders', 'fit': 'crop'}),
    ('anomaly', MVTEC, {'source': 'mvtec_ad', 'defects': (), 'split': 'folders', 'fit': 'pad'}),
    ('vae_split', {'train/good': 3, 'train/crack': 3},
     {'source': 'classes', 'defects': ('crack',), 'split': 'none', 'fit': 'crop'}),
    # Defects that lie in test/ alone are all used.
    ('vae_split', MVTEC, {'source': 'mvtec_ad', 'defects': ('crack',), 'split': 'none', 'fit': 'crop'}),
    ('classifier', MVTEC, {'source': 'mvtec_ad', 'defects': ('crack',), 'split': 'kfold', 'fit': 'pad'})])
def test_the_path_is_enough(tmp_path, config, folders, expected):
  config, lines = settled(tmp_path, config, make(tmp_path / 'photos', folders))
  assert open_keys(config) == {**expected, 'few_shot': 0, 'bits': 16}
  assert str(tmp_path / 'photos') in lines[0]
  assert '--config.data.split=' in lines[1]


@pytest.mark.parametrize(('folders', 'asked', 'part'), [
    ({'OK': 3, 'NG': 3}, [], 'dev'), ({'.': 4}, [], 'synthetic'), ({'OK': 3, 'NG': 3}, ['synthetic'], 'synthetic'),
    (MVTEC, [], 'dev'), ({'train/good': 5, 'test/good': 3}, [], 'synthetic'), ({'.': 4}, ['dev'], 'dev')])
def test_a_detector_is_measured_on_pasted_defects_where_there_are_no_others(tmp_path, folders, asked, part):
  config, lines = settled(tmp_path, 'anomaly', make(tmp_path / 'photos', folders),
                          *(f'--config.measure.part={name}' for name in asked))
  assert config.measure.part == part
  assert any('defects are pasted on good ones' in line for line in lines) == (part == 'synthetic' and not asked)


def test_the_final_part_is_that_of_the_hash(tmp_path):
  photos = make(tmp_path / 'photos', {'ok': 3, 'ng': 3})
  config, _ = settled(tmp_path, 'classifier', photos, '--config.measure.part=final')
  assert config.data.split == 'hash'


def test_what_is_said_counts(tmp_path):
  photos = make(tmp_path / 'photos', {'ok': 3, 'ng': 3})
  config, _ = settled(tmp_path, 'vae_split', photos, '--config.data.defects=good', '--config.data.few_shot=2',
                      '--config.data.split=hash', '--config.data.fit=pad', '--config.data.bits=12')
  assert open_keys(config) == {'source': 'classes', 'defects': ('good',), 'few_shot': 2, 'split': 'hash', 'fit': 'pad',
                               'bits': 12}


@pytest.mark.parametrize(('config', 'few_shot'), [('vae_split', 25), ('classifier', 25), ('anomaly', 0)])
def test_solar_cells_are_split_by_hash_as_they_were(tmp_path, config, few_shot):
  config, lines = settled(tmp_path, config, None)
  assert not lines
  assert open_keys(config) == {'source': 'elpv', 'defects': () if config.task == 'anomaly' else ('defective',),
                               'few_shot': few_shot, 'split': 'hash', 'fit': 'crop', 'bits': 16}
  before = ConfigDict(config.to_dict())
  for key in ('split', 'folds', 'bits', 'masks', *(['fold'] if config.task == 'vae' else [])):
    del before.data[key]  # as a version before would have had it
  assert config_hash(config) == config_hash(before)


def test_a_run_goes_on_as_it_began_whatever_has_become_of_the_folder(tmp_path):
  photos = make(tmp_path / 'photos', {'ok': 3, 'ng': 3})
  config, _ = settled(tmp_path, 'vae_split', photos)
  workdir = Workdir(tmp_path / 'run')
  assert start.finished(config, workdir) is None
  workdir.open()
  workdir.close('stopped')
  make(photos, {'hole': 2})
  assert settled(tmp_path, 'vae_split', photos)[0].data.defects == ('ng',)
  assert settled(tmp_path / 'other', 'vae_split', photos)[0].data.defects == ('hole', 'ng')


def test_inpaint_takes_every_photo(tmp_path):
  photos = make(tmp_path / 'photos', {'.': 3})
  _, asked, _ = from_command_line(['--config=configs/inpaint.py', f'--config.photos={photos}'])
  config, lines = start.settled(asked, Workdir(tmp_path / 'run'))
  assert (config.source, config.split, config.classes, config.bits) == ('photos', 'none', ('good',), 16)
  assert lines[0].endswith('all are taken, none are held out')


def test_home_is_expanded(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  make(tmp_path / 'photos', {'ok': 2, 'ng': 2})
  assert settled(tmp_path, 'vae_split', '~/photos')[0].data.path == str(tmp_path / 'photos')


def test_a_doubt_that_is_answered_is_not_told_again(tmp_path):
  photos = make(tmp_path / 'photos', {'ok': 3, 'ng': 3})
  (photos / 'ground_truth/ng').mkdir(parents=True)
  mask = np.full((16, 16), 255, np.uint8)
  mask[6:9, 6:9] = 0
  for photo in (photos / 'ng').iterdir():
    Image.fromarray(mask).save(photos / 'ground_truth/ng' / f'{photo.stem}_mask.png')
  assert any('data.masks=inverted' in line for line in settled(tmp_path, 'vae_split', photos)[1])
  lines = settled(tmp_path, 'vae_split', photos, '--config.data.masks=inverted')[1]
  assert not any('inverted' in line for line in lines)


def test_a_classifier_looks_at_photos_as_the_vae_of_its_made_sets_did(tmp_path):
  photos = make(tmp_path / 'photos', {'OK': 3, 'NG': 3})
  for name, fit in (('one', 'crop'), ('two', 'crop'), ('other', 'pad')):
    manifest.write_known(tmp_path / name, [], 'full', {'fit': fit})
  manifest.write_known(tmp_path / 'old', [], 'full')

  def fit_of(number, *sets):
    asked = f'--config.made.sets={",".join(str(tmp_path / name) for name in sets)}'
    return settled(tmp_path / str(number), 'classifier', photos, asked)[0].data.fit
  assert [fit_of(*case) for case in ((0, 'one', 'two'), (1, 'one', 'other'), (2, 'old'), (3, 'nowhere'))] == [
      'crop', 'pad', 'pad', 'pad']
  assert settled(tmp_path, 'classifier', photos, f'--config.made.sets={tmp_path / "one"}', '--config.data.fit=pad'
                 )[0].data.fit == 'pad'
