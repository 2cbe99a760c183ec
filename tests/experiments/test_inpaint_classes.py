"""What inpaint_classes computes, and that areas of one photo stay in its part."""

import csv
import types

import numpy as np
import pytest

from defect_jax.config import UserError
from defect_jax.data import dataset, parts
from experiments import inpaint_classes as study

CLASSES = ('dent', 'scratch', 'hole')


@pytest.mark.parametrize(('tiny', 'size', 'config'), [
    (False, '', 'configs/inpaint_train.py'), (True, '', 'configs/inpaint_train.py:tiny'),
    (False, 'large', 'configs/inpaint_train.py:large'), (True, 'large', 'configs/inpaint_train.py:large,tiny')])
def test_a_large_pipeline_has_the_places_of_the_small_one(monkeypatch, tmp_path, tiny, size, config):
  opened = []
  monkeypatch.setattr(study.inpaint_runs, 'Finished', lambda *of: opened.append(of))
  setup = study.Setup('photos', CLASSES, tmp_path, tiny)
  job = study.training('a', size, setup, {'steps.total': 7})
  assert (job.config, job.workdir, job.settings['steps.total']) == (config, tmp_path / 'a', 7)
  assert job.settings['data.classes'] == ('dent', 'scratch', 'hole', 'good')
  study.opened(job, setup, 9, 2., 4)
  assert opened == [(tmp_path / 'a', 9, 2., 4, 64 if tiny else 3072)]


def test_further_settings_are_read_and_others_refused():
  assert study.settings_of(['data.areas=64', 'weights=a=b']) == {'data.areas': '64', 'weights': 'a=b'}
  with pytest.raises(UserError, match='--set=areas: give key=value'):
    study.settings_of(['data.areas=64', 'areas'])


def test_a_class_that_is_not_asked_for_has_no_share():
  assert study.shares(['dent', 'dent'], ['dent', 'hole'], CLASSES) == {'dent': 0.5, 'scratch': None, 'hole': None}


def test_a_share_is_of_those_that_were_asked_for():
  asked = ['dent', 'scratch', 'hole', 'dent', 'scratch', 'hole']
  named = ['dent', 'scratch', 'good', 'good', 'scratch', 'dent']
  assert study.shares(asked, named, CLASSES) == {'dent': 0.5, 'scratch': 1.0, 'hole': 0.0}


def test_what_is_asked_of_each_kind():
  labels = ['dent', 'scratch', 'hole']
  places = types.SimpleNamespace(labels=labels, pasted=lambda: 'pasted', images='good ones', donors='real ones')
  best = np.array(['first', 'second', 'third'])
  run = types.SimpleNamespace(places=places, filled=lambda asked=None: asked,
                              selected=lambda count: (best, np.array([True, False, count == 3])),
                              refilled=lambda asked=None: f'in its own area: {asked}',
                              reconstructed=lambda images: f'{images} again')
  kinds = study.fill({'a': run, 'b': run}, CLASSES, 3)
  for name in 'ab':
    assert kinds[name].asked == labels and kinds[name].images is None  # by the places' own texts
    assert kinds[f'{name}, best of 3'].images is best
    passed = kinds[f'{name}, best of 3, passed']
    assert (passed.asked, list(passed.images), list(passed.places)) == (['dent', 'hole'], ['first', 'third'], [0, 2])
    assert kinds[f'{name}, masks of others'][:2] == (['scratch', 'hole', 'dent'],) * 2
    own = f'{name}, where real ones lie'
    assert kinds[own][:2] == (labels, 'in its own area: None')
    assert kinds[f'{own}, by the text of good areas'][:2] == (labels, "in its own area: ['good', 'good', 'good']")
    assert kinds[f'{name}, real ones by its autoencoder'].images == 'real ones again'
  assert [kinds[name].images for name in list(kinds)[-3:]] == ['real ones', 'pasted', 'good ones']


def test_areas_keep_the_part_of_their_photo(tmp_path):
  groups = [f'group {number}' for number in range(40)]
  lots = []
  for part in ('pool', 'dev'):
    of = [group for group in groups if parts.part_of(group) == part for _ in range(2)]  # two areas per photo
    lots.append(dataset.InMemory(np.zeros((len(of), 4, 4, 3), np.uint8), ['dent'] * len(of), of, of))
  config = types.SimpleNamespace(measure=types.SimpleNamespace(part='dev'), data=types.SimpleNamespace(part='pool'))
  study.export_real(types.SimpleNamespace(train=lots[0], dev=lots[1], config=config), tmp_path / 'areas')
  with open(tmp_path / 'areas/index.csv', newline='') as file:
    rows = list(csv.DictReader(file))
  assert len(rows) == sum(map(len, lots))
  for row in rows:
    assert (tmp_path / 'areas' / row['path']).is_file()
    assert row['path'].startswith(f'test/dent/{parts.part_of(row["group"])}_')


def test_a_table_has_as_many_columns_in_each_row():
  named, count = {'dent': 1, 'scratch': 0.5, 'hole': None}, {'dent': 8, 'scratch': 4, 'hole': 0}
  rows = {'real': {'named': named, 'count': count, 'kid': None, 'kid_ci': None},
           'made': {'named': named, 'count': count, 'kid': 0.5, 'kid_ci': (0.25, 0.75)}}
  lines = study.table(rows, CLASSES).markdown().splitlines()
  assert len({line.count('|') for line in lines}) == 1
  assert lines[3] == '| made | 1.00 (8) | 0.50 (4) | – | 0.500 (0.25 to 0.75) |'


def test_the_shares_of_real_areas_are_the_diagonal_of_the_confusion():
  places = types.SimpleNamespace(masks=np.zeros((2, 4, 4), bool))
  reference = types.SimpleNamespace(kid=lambda *_: (0.5, (0.25, 0.75)))
  first = types.SimpleNamespace(places=places, against=lambda: reference)
  kinds = {'made': study.Kind(['dent', 'hole'], 'images', np.arange(2))}
  confusion = np.array([[9, 0, 0, 0], [1, 3, 0, 0], [0, 1, 1, 0], [0, 0, 4, 1]])
  rows = study.rates(kinds, first, {'made': ['dent', 'dent']}, confusion, CLASSES)
  assert rows['real ones, held out']['named'] == {'dent': 0.75, 'scratch': 0.5, 'hole': 0.2}
  assert rows['real ones, held out']['count'] == {'dent': 4, 'scratch': 2, 'hole': 5}
  assert rows['made'] == {'named': {'dent': 1.0, 'scratch': None, 'hole': 0.0},
                           'count': {'dent': 1, 'scratch': 0, 'hole': 1}, 'kid': 0.5, 'kid_ci': (0.25, 0.75)}
