"""Photos that are not square: what is settled for them, and what the opening lines say."""

import made_photos
import numpy as np
import pytest

from defect_jax.config import load
from defect_jax.runs import start
from defect_jax.runs.folder import Workdir


@pytest.fixture
def settled(tmp_path):
  """The config of a task on 8 good and 8 defective photos of (width, height) px, and the lines of its opening."""
  def call(task, shape, **values):
    for number, folder in enumerate([*['ok'] * 8, *['ng'] * 8]):
      photo = np.random.default_rng(number).integers(0, 255, shape[::-1], np.uint8)
      made_photos.write(tmp_path / f'photos/{folder}/{number}.png', photo)
    config = load(f'configs/{task}.py:tiny')
    config.update_from_flattened_dict({'data.path': str(tmp_path / 'photos')} | values)
    return start.settled(config, Workdir(tmp_path / 'run'))
  return call


def test_anomaly_cuts_strips_into_tiles(settled):
  config, lines = settled('anomaly', (1000, 100))  # of 32 px: 100 / 32 = 3.1
  assert (config.tiles.on, config.tiles.reduce) == (True, 4)
  assert lines[-1] == ('photos are strips: cut into tiles of 32 px, once they are 4 times smaller; '
                       '--config.tiles.on=False takes each as one square')


def test_anomaly_takes_other_photos_whole(settled):
  config, lines = settled('anomaly', (150, 100))
  assert (config.tiles.on, config.tiles.reduce, config.data.fit) == (False, 1, 'pad')
  assert not any('square' in line for line in lines)


@pytest.mark.parametrize(('values', 'tiles'), [
    ({'tiles.on': False}, (False, 1)), ({'tiles.on': True}, (True, 1)), ({'tiles.reduce': 2}, (True, 2)),
    ({'data.region': 'box', 'data.box': (0, 0, 100, 100)}, (False, 1))])
def test_what_is_said_of_tiles_counts(settled, values, tiles):
  config, _ = settled('anomaly', (1000, 100), **values)
  assert (config.tiles.on, config.tiles.reduce) == tiles


def test_the_classifier_sees_all_of_a_photo(settled):
  config, lines = settled('classifier', (1000, 100))
  assert config.data.fit == 'pad'
  assert not any('square' in line for line in lines)


@pytest.mark.parametrize('task', ['classifier', 'anomaly', 'vae_split'])
def test_whoever_crops_is_told_what_is_looked_at(settled, task):
  _, lines = settled(task, (1000, 100), **{'data.fit': 'crop'} | ({'tiles.on': False} if task == 'anomaly' else {}))
  [line] = [line for line in lines if 'square' in line]
  assert line.startswith('note: photos are not square, and the central square alone is looked at: 10% of a photo')


def test_solar_cells_are_square(tmp_path):
  config, lines = start.settled(load('configs/anomaly.py:tiny'), Workdir(tmp_path / 'run'))
  assert (config.tiles.on, config.tiles.reduce, lines) == (False, 1, [])
