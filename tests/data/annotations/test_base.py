"""Mask files: what is marked in them, what they are refused for, and that another file has another digest."""

import numpy as np
import pytest
from PIL import Image

from defect_jax.data import annotations, photos


@pytest.fixture
def mask(tmp_path):
  levels = np.zeros((9, 12), np.uint8)
  levels[2:4, 5:9], levels[6, 0] = 255, 1
  Image.fromarray(levels).save(tmp_path / 'mask.png')
  return annotations.MaskFile(tmp_path / 'mask.png', 'a.png'), levels


def test_everything_above_0_is_marked(mask, tmp_path):
  file, levels = mask
  np.testing.assert_array_equal(file.read((9, 12)), levels > 0)
  colour = np.stack([np.zeros_like(levels), levels, np.zeros_like(levels)], -1)
  Image.fromarray(colour).save(tmp_path / 'mask.png')
  np.testing.assert_array_equal(file.read((9, 12)), levels > 0)


def test_a_mask_of_another_size_or_that_cannot_be_read_is_refused(mask):
  file, _ = mask
  with pytest.raises(photos.PhotoError, match=r'^a\.png: is 50 x 40 px, its mask 12 x 9 px'):
    file.read((40, 50))
  file.path.write_bytes(file.path.read_bytes()[:-9])
  with pytest.raises(photos.PhotoError, match=r'^mask of a\.png: is truncated'):
    file.read((9, 12))


def test_another_mask_has_another_digest(mask):
  file, levels = mask
  before = file.digest()
  assert file.digest() == before
  levels[0, 0] = 255
  Image.fromarray(levels).save(file.path)
  assert file.digest() != before
