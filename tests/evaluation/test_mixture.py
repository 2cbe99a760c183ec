"""Two products, any pose, other light: found where they are, and not in real sets of one product."""

import os
from pathlib import Path

import numpy as np
import pytest
from made_photos import write

from defect_jax.data import listing
from defect_jax.evaluation import mixture

DATA = Path(os.environ.get('DEFECT_JAX_DATA', Path(__file__).resolve().parents[2] / '..' / 'shared' / 'data'))
real = pytest.mark.skipif(not (DATA / 'bsdata').exists(), reason='no real photos; set DEFECT_JAX_DATA')


def records(root):
  return list(listing.list_photos('auto', root, split='none'))


def stripes(rng, angle, side=128):
  """A photo of stripes, with noise."""
  y, x = np.mgrid[:side, :side]
  wave = np.sin(0.35 * (x * np.cos(angle) + y * np.sin(angle)) + rng.uniform(0, 6))
  return np.uint8(np.clip(128 + 60 * wave + rng.normal(0, 6, (side, side)), 0, 255))


def part(rng, turned, side=128):
  """A bar with a head before an empty background."""
  y, x = np.mgrid[:side, :side] - side / 2
  angle = rng.uniform(0, 2 * np.pi) if turned else 0.02 * rng.normal()
  across, along = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
  bar = (np.abs(across) < 50) & (np.abs(along) < 8) | (np.hypot(across - 45, along) < 16)
  return np.uint8(np.clip(np.where(bar, 60, 200) + rng.normal(0, 3, (side, side)), 0, 255))


def two_products(root, striped, bars):
  """Records of so many good photos of each of two products."""
  rng = np.random.default_rng(0)
  for number in range(striped):
    write(root / 'ok' / f'a{number:02}.png', stripes(rng, 0.0))
  for number in range(bars):
    write(root / 'ok' / f'b{number:02}.png', part(rng, turned=False))
  return records(root)


def test_two_products_in_one_class(tmp_path):
  found = mixture.find(two_products(tmp_path, 12, 6))['mixed_products']['good']
  assert found['counts'] == [12, 6]
  assert [{Path(file).name[0] for file in side} for side in found['examples']] == [{'a'}, {'b'}]


@pytest.mark.parametrize('turned', [True, False])
def test_parts_in_any_pose_and_laid_alike(tmp_path, turned):
  rng = np.random.default_rng(0)
  for number in range(12):
    write(tmp_path / 'ok' / f'{number:02}.png', part(rng, turned))
  found = mixture.find(records(tmp_path))
  assert ('any_pose' in found) is turned
  if turned:
    assert found['any_pose']['good'] < 0.4


@pytest.mark.parametrize(('gain', 'told'), [(0.6, True), (1.0, False)])
def test_light_that_tells_good_from_defective(tmp_path, gain, told):
  rng = np.random.default_rng(0)
  for number in range(10):
    write(tmp_path / 'ok' / f'{number}.png', stripes(rng, 0.0))
    write(tmp_path / 'ng' / f'{number}.png', np.uint8(gain * stripes(rng, 0.0)))
  light = mixture.find(records(tmp_path)).get('light_drifts')
  assert (light is not None) is told
  if told:
    assert light['auroc'] == 1.0 and light['levels'][1] / light['levels'][0] == pytest.approx(gain, abs=0.02)


def test_of_few_photos_clusters_mean_nothing(tmp_path):
  assert 'mixed_products' not in mixture.find(two_products(tmp_path, 10, 5))


def test_few_photos_say_nothing(tmp_path):
  rng = np.random.default_rng(0)
  for number in range(7):
    write(tmp_path / 'ok' / f'{number}.png', stripes(rng, 0.3 * number))
  assert mixture.find(records(tmp_path)) == {} == mixture.find([])


@real
def test_real_photos_of_one_product_and_of_two():
  tiles = [record for record in listing.list_photos('folder', DATA / 'magnetic_tile' / 'magnetic_tile')
           if record.label in ('good', 'break')]
  screws = [record for record in listing.list_photos('folder', DATA / 'bsdata' / 'ball_screw')
            if record.label == 'good']
  assert mixture.find(tiles) == {} == mixture.find(screws)
  joined = [record for record in tiles if record.label == 'good'][:40] + screws[:20]
  assert mixture.find(joined)['mixed_products']['good']['counts'] == [20, 10]  # of every other photo
