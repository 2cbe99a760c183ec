"""A classifier is one of the made sets that it was trained with: others are another run."""

import json
import shutil

import numpy as np
import pytest
from made_photos import make_set

from defect_jax.config import config_hash, load, to_json
from defect_jax.errors import UserError
from defect_jax.imagesets import manifest, writer
from defect_jax.runs import start
from defect_jax.runs.folder import Workdir


@pytest.fixture
def run(tmp_path):
  """(config, workdir) of a finished run with a made set, as far as it is looked at before anything is opened."""
  config = load('configs/classifier.py:tiny')
  config.made.sets = (str(make_set(tmp_path / 'set')),)
  config.data.update(source='folder', path='photos', defects=(), split='hash', fit='crop', bits=16, few_shot=0)
  workdir = Workdir(tmp_path / 'run')
  workdir.root.mkdir()
  workdir.config_json.write_text(to_json(config))
  workdir.summary_json.write_text(json.dumps({'task': 'classifier', 'made_sets': [manifest.digest(tmp_path / 'set')]}))
  return config, workdir


def test_other_sets_have_another_hash(tmp_path):
  config = load('configs/classifier.py:tiny')
  one, two = make_set(tmp_path / 'one'), make_set(tmp_path / 'two', seed=1)
  same = shutil.copytree(one, tmp_path / 'same')
  hashes = [config_hash(config, made_sets=[manifest.digest(root)]) for root in (one, two, same)]
  assert hashes[0] == hashes[2] != hashes[1]
  writer.write_image(two, 0, np.zeros((32, 32), np.uint8))
  assert config_hash(config, made_sets=[manifest.digest(two)]) not in hashes


def test_a_finished_run_does_not_stand_for_a_set_that_has_changed(run, tmp_path):
  config, workdir = run
  assert start.finished(config, workdir)['task'] == 'classifier'
  writer.write_image(tmp_path / 'set', 3, np.zeros((32, 32), np.uint8))
  with pytest.raises(UserError, match=r'^made\.sets: .*set holds other images than when this run was trained;'):
    start.finished(config, workdir)
  workdir.summary_json.write_text(json.dumps({'task': 'classifier'}))  # of an earlier version
  assert start.finished(config, workdir)


def test_a_finished_run_stays_finished_where_its_set_is_gone(run, tmp_path):
  shutil.rmtree(tmp_path / 'set')
  assert start.finished(*run)['task'] == 'classifier'


def test_the_workdir_of_one_set_takes_no_other(run, tmp_path):
  config, workdir = run
  config.made.sets = (str(make_set(tmp_path / 'other')),)
  with pytest.raises(UserError, match=r'made\.sets differ'):
    start.finished(config, workdir)
