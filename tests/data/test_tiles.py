"""Tiles: they cover a photo, blend back to it, and masks go through the same geometry as photos."""

import numpy as np
import pytest

from defect_jax.data import regions, tiles


def view(size=16, **settings):
  return tiles.Tiling(regions.Geometry(size, 1), True, **settings)


@pytest.mark.parametrize('shape', [(16, 16), (40, 17), (64, 100), (9, 30), (5, 5)])
@pytest.mark.parametrize('overlap', [0.0, 0.25, 0.5])
def test_the_tiles_of_a_photo_blend_to_the_photo(shape, overlap):
  seen = view(overlap=overlap)
  image = np.random.default_rng(0).random((*shape, 1), np.float32)
  blend = tiles.Blend(16, shape)
  for start in seen.starts(image.shape):
    blend.add(start, {'grey': seen.cut(image, start)[..., 0]})
  np.testing.assert_allclose(blend.maps()['grey'], image[..., 0], rtol=1e-5)


def test_tiles_overlap_by_at_least_what_is_asked():
  tops = sorted({top for top, _ in view(overlap=0.25).starts((100, 16, 1))})
  assert tops[0] == 0 and tops[-1] == 84 and max(np.diff(tops)) <= 12
  assert view(overlap=0.0).starts((32, 48, 1)) == [(0, 0), (0, 16), (0, 32), (16, 0), (16, 16), (16, 32)]


def test_where_tiles_overlap_the_nearer_centre_counts_more():
  blend = tiles.Blend(4, (4, 6))
  blend.add((0, 0), {'of': np.zeros((4, 4))})
  blend.add((0, 2), {'of': np.ones((4, 4))})
  # Weights along a row are 1 2 2 1; in column 2 they are 2 and 1, in column 3 1 and 2.
  np.testing.assert_allclose(blend.maps()['of'], [[0, 0, 1 / 3, 2 / 3, 1, 1]] * 4, rtol=1e-6)


def test_a_photo_is_reduced_by_means_and_its_mask_by_any():
  photo = np.zeros((4, 6), np.uint8)
  photo[1, 1], photo[3, 4] = 255, 51
  mask = np.zeros((4, 6), bool)
  mask[1, 1] = True
  image, shown = view(reduce=2).place(photo, mask, 'a.png')
  np.testing.assert_allclose(image[..., 0], [[0.25, 0, 0], [0, 0, 0.05]], atol=1e-7)
  assert shown.tolist() == [[True, False, False], [False, False, False]]
  assert view(reduce=4).place(photo, mask, 'a.png')[1].shape == (1, 2)  # what is missing repeats the border


@pytest.mark.parametrize('fit', ['crop', 'pad'])
def test_the_mask_of_a_whole_photo_covers_just_where_the_photo_changes(fit):
  rng = np.random.default_rng(0)
  whole = tiles.Tiling(regions.Geometry(16, 1, fit=fit))
  for _ in range(20):
    shape = rng.integers(17, 90, 2)
    mask = np.zeros(shape, bool)
    mask[rng.integers(shape[0]), rng.integers(shape[1])] = True  # one pixel must not vanish
    before, _ = whole.place(np.zeros(shape, np.uint8), None, 'a.png')
    after, shown = whole.place(np.uint8(mask) * 255, mask, 'a.png')
    assert (shown == (np.abs(after - before)[..., 0] > 0)).all()
    assert shown.any() or fit == 'crop'


def test_a_box_bounds_what_tiles_see():
  boxed = tiles.Tiling(regions.Geometry(16, 1, 'box', box=(10, 4, 20, 30)), True)
  photo = np.zeros((40, 50), np.uint8)
  photo[4:34, 10:30] = 255
  image, _ = boxed.place(photo, None, 'a.png')
  assert image.shape == (30, 20, 1) and image.min() == 1


def test_drawing_tiles_takes_all_or_an_even_choice():
  images = [np.full((16, 16 * n, 1), n / 10, np.float32) for n in (1, 2, 3)]
  seen = view(overlap=0.0)
  assert len(tiles.draw(images, seen, 100, 0)) == 6
  drawn = np.stack([tiles.draw(images, seen, 2, seed) for seed in range(600)])
  # Each of the six tiles is among the two in a third of the draws.
  assert np.mean(np.any(np.isclose(drawn[..., 0, 0, 0], 0.1), 1)) == pytest.approx(1 / 3, abs=0.06)
  np.testing.assert_array_equal(tiles.draw(images, seen, 2, 5), tiles.draw(images, seen, 2, 5))
