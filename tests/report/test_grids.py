import io

import numpy as np
import pytest
from PIL import Image

from defect_jax.report import grids


def _flat(value, side=96, channels=1):
  return np.full((side, side, channels), value, np.float32)


def test_pixels_by_hand():
  # 50 px enlarged by 2 to 100; two columns and two rows, 2 px of white between, the last place empty.
  image = _flat(0, 50)
  image[0, 1] = 0.5
  paper = grids.grid([[image, _flat(1.7, 50)], [_flat(-3, 50)]])
  assert paper.dtype == np.uint8 and paper.shape == (202, 202)
  assert paper[0, :5].tolist() == [0, 0, 128, 128, 0] and paper[1, 2] == 128 and paper[2, 2] == 0
  assert paper[0, 99:103].tolist() == [0, 255, 255, 255]  # image, gap, the clipped white image
  assert (paper[100:102] == 255).all() and (paper[102:, :100] == 0).all()
  assert (paper[102:, 100:] == 255).all()


@pytest.mark.parametrize('side, shown', [(32, 96), (64, 128), (96, 96), (128, 128), (7, 98)])
def test_small_images_are_enlarged_by_whole_pixels(side, shown):
  image = np.random.default_rng(side).random((side, side, 1), np.float32)
  paper = grids.grid([[image]])
  factor = shown // side
  assert paper.shape == (shown, shown)
  np.testing.assert_array_equal(paper[::factor, ::factor], np.rint(255 * image[..., 0]))
  np.testing.assert_array_equal(paper[factor - 1::factor, factor - 1::factor], paper[::factor, ::factor])


def test_colours_keep_their_channel():
  red = _flat(0, channels=3)
  red[..., 0] = 1
  assert (grids.grid([[red]]) == [255, 0, 0]).all()


def test_refuses_what_is_no_grid():
  for rows in ([], [[]], [[_flat(0)], [_flat(0, 64)]], [[_flat(0, channels=2)]], [[np.zeros((96, 96))]]):
    with pytest.raises(ValueError, match='grid'):
      grids.grid(rows)
  with pytest.raises(ValueError, match='differ'):
    grids.recon_grid([_flat(0)], [_flat(0, 64)])


def test_recon_grid_has_photo_above_reconstruction_above_residual():
  # 30 photos: the first 25 are shown, 9 a row, so 3 bands of 3 rows.
  photos = np.stack([_flat(i / 30) for i in range(30)])
  recon = photos + 0.1
  paper = grids.recon_grid(photos, recon)
  assert paper.shape == (9 * 98 - 2, 9 * 98 - 2)
  tile = {(row, column): paper[row * 98 + 48, column * 98 + 48] for row in range(9) for column in range(9)}
  assert tile[0, 4] == round(255 * 4 / 30) and tile[1, 4] == round(255 * (4 / 30 + 0.1)) and tile[2, 4] == 153
  assert tile[3, 0] == round(255 * 9 / 30) and tile[6, 6] == round(255 * 24 / 30)
  assert {tile[row, 7] for row in (6, 7, 8)} == {255}  # no 26th


def test_residual_is_grey_where_both_are_equal_and_dark_where_something_lacks():
  photo = _flat(0.75)
  np.testing.assert_array_equal(grids.residual(photo, photo), _flat(0.5))
  np.testing.assert_array_equal(grids.residual(photo, _flat(0.5)), _flat(0.25))


def test_image_grid_wraps():
  images = np.stack([_flat(i / 10) for i in range(10)])
  paper = grids.image_grid(images)
  assert paper.shape == (2 * 98 - 2, 9 * 98 - 2)
  assert paper[98, 0] == round(255 * 0.9) and paper[98, 98] == 255


def test_png_on_disk_holds_the_pixels_and_replaces_whole(tmp_path):
  path = tmp_path / 'grid.png'
  paper = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
  path.write_bytes(b'old')
  grids.write_png(path, paper)
  np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(path.read_bytes()))), paper)
  assert [file.name for file in tmp_path.iterdir()] == ['grid.png']


def test_names_stand_beside_their_rows_and_leave_the_grid_as_it_is():
  picture = grids.grid([np.zeros((2, 96, 96, 3)), np.ones((2, 96, 96, 3)), np.zeros((1, 96, 96, 3))])
  named = grids.with_names(picture, ['first row', '', 'third'])
  margin = named.shape[1] - picture.shape[1]
  np.testing.assert_array_equal(named[:, margin:], picture)
  written = (named[:, :margin] < 255).any((1, 2))
  assert written[:96].any() and not written[96:196].any() and written[196:].any()
