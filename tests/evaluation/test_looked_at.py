"""Lengths of defects, by masks drawn by hand."""

import dataclasses

import numpy as np
import pytest
from made_photos import write

from defect_jax.data import listing, regions, tiles
from defect_jax.evaluation import looked_at


@pytest.fixture()
def records(tmp_path):
  """Two photos of 80 x 40 px (width x height) with a bar of 20 x 4 px, and a speck, and one of 60 x 40 without."""
  for number in range(2):
    mask = np.zeros((40, 80), np.uint8)
    mask[10:14, 30:50] = 255
    mask[30, 70] = 255
    write(tmp_path / 'ng' / 'bar' / f'{number}.png', np.full((40, 80), 100 + number, np.uint8))
    write(tmp_path / 'ground_truth' / 'bar' / f'{number}_mask.png', mask)
  write(tmp_path / 'ng' / 'bar' / '2.png', np.full((40, 60), 90, np.uint8))
  return list(listing.list_photos('folder', tmp_path, split='none'))


def _of(records, **changes):
  geometry = regions.Geometry(**{'size': 20, 'channels': 1, 'fit': 'pad'} | changes)
  return looked_at.of(records, tiles.Tiling(geometry))


def test_lengths_in_the_photo_and_in_the_network(records):
  found = _of(records)  # 80 px become 20
  assert found == {'photo_px': [80, 40], 'seen_px': 20, 'scale': 0.25, 'masks': 2, 'defect_px': 20.0,
                   'defect_seen_px': 5.0, 'thickness_seen_px': 0.75}  # two pixels from the border inward: 3 px
  assert _of(records, fit='crop')['defect_seen_px'] == 10.0  # the central 40 px become 20


def test_around_a_mask_the_defect_is_larger(records):
  """The box of bar and speck is 41 px wide, so that a square of twice that, or all of the width, is shown."""
  marked = [record for record in records if record.annotation]
  assert _of(marked, region='mask', context=1.0)['scale'] == pytest.approx(20 / 41)


def test_tiles_of_a_reduced_photo(records):
  tiling = tiles.Tiling(regions.Geometry(size=20, channels=1), tiled=True, reduce=2)
  assert looked_at.of(records, tiling)['defect_seen_px'] == 10.0


def test_without_masks_the_scale_alone(records):
  plain = [dataclasses.replace(record, annotation=None) for record in records]
  found = _of(plain)
  assert (found['masks'], found['defect_px'], found['defect_seen_px']) == (0, None, None)
  assert found['scale'] == 0.25


def test_nothing_to_read():
  assert looked_at.of([], tiles.Tiling(regions.Geometry(size=20, channels=1))) is None


@pytest.mark.parametrize(('shape', 'length', 'thickness'), [((1, 9), 9, 1), ((3, 9), 9, 3), ((5, 5), 5, 5)])
def test_the_extent_of_a_bar(shape, length, thickness):
  mask = np.zeros((20, 20), bool)
  mask[4:4 + shape[0], 4:4 + shape[1]] = True
  mask[19, 19] = True  # a smaller one does not count
  assert looked_at.extent(mask) == (length, thickness)
