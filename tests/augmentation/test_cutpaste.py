"""Pieces of defects on good photos: only the piece changes, and it is the defect."""

import hashlib

import numpy as np
import pytest

from defect_jax.augmentation import cutpaste
from defect_jax.augmentation.production import produce
from defect_jax.data.salience import Salience
from defect_jax.imagesets import manifest, writer

FLAT = np.full((32, 32, 1), 0.5, np.float32)
SALIENCE = Salience([FLAT])


def spotted(top=20, left=6, side=4):
  """A photo with a bright square, and its mask."""
  image, mask = FLAT.copy(), np.zeros((32, 32), bool)
  image[top:top + side, left:left + side] = 1
  mask[top:top + side, left:left + side] = True
  return image, mask


def test_a_marked_defect_comes_along_whole_and_nothing_else_changes():
  image, mask = spotted()
  good = np.float32(np.random.default_rng(0).uniform(0.3, 0.4, (32, 32, 1)))
  places = set()
  for seed in range(20):
    made, changed = cutpaste.paste(good, image, mask, np.random.default_rng(seed), SALIENCE)
    assert np.array_equal(made[~changed], good[~changed])
    # The square is 0.5 brighter than what surrounds it, here as there; the border is soft outside of it.
    bright = made[..., 0] > 0.7
    assert bright.sum() == 16 and changed[bright].all()
    places.add(tuple(np.argwhere(bright)[0]))
  assert len(places) > 15


@pytest.mark.parametrize('top, left', [(0, 0), (0, 13), (13, 28), (28, 28), (2, 13), (13, 25)])
def test_a_defect_near_an_edge_brings_nothing_of_the_opposite_edge(top, left):
  image, mask = spotted(top, left)
  away = np.hypot(*(np.arange(32)[shape] - at for shape, at in ((np.s_[:, None], top + 2), (np.s_[None], left + 2))))
  image[away > 15] = 0
  for seed in range(30):
    made, _ = cutpaste.paste(FLAT, image, mask, np.random.default_rng(seed), SALIENCE)
    assert made.min() > 0.49 and (made > 0.9).sum() == 16
    where = np.argwhere(made[..., 0] > 0.9)[0]
    # What an edge cuts off stays at this edge, or at the mirrored one; the rest goes anywhere.
    assert where[0] == top or 0 < top < 28
    assert where[1] in (left, 28 - left) or 0 < left < 28


def test_without_a_mask_the_box_lies_where_the_photo_is_unlike_good_ones():
  image, _ = spotted(20, 6, 8)
  hits = 0
  for seed in range(20):
    made, changed = cutpaste.paste(FLAT, image, np.zeros((32, 32), bool), np.random.default_rng(seed), SALIENCE)
    assert np.array_equal(made[~changed], FLAT[~changed])
    hits += (made > 0.9).sum() > 10
  assert hits >= 18


def test_a_set_of_them_says_where_it_comes_from(tmp_path):
  def photo(name, image, mask, label):
    return cutpaste.Photo(image, mask, name, label, hashlib.sha256(name.encode()).hexdigest())
  image, mask = spotted()
  maker = cutpaste.Maker([photo('ok/a.png', FLAT, mask & False, 'good')], [photo('ng/b.png', image, mask, 'ng')], 3)
  assert produce(tmp_path / 'set', 5, 4, maker, 'c0ffee').whole
  made = manifest.read_manifest(tmp_path / 'set')
  assert [(of.method, of.source, of.other_source, of.source_part, of.label) for of in made] == [
      ('cutpaste', 'ok/a.png', 'ng/b.png', 'pool', 'ng')] * 5
  for of in made:
    levels, marked = (writer.read_levels(tmp_path / 'set' / name) for name in (of.file, of.mask))
    assert set(np.unique(marked)) == {0, 255} and np.all(levels[marked == 0] == 128)
  # Image i follows from its index alone.
  again = maker(np.arange(4, 8, dtype=np.uint32))[0]
  assert np.array_equal(writer.to_levels(again[0]['file']), writer.read_levels(tmp_path / 'set' / made[4].file))
