"""Made defects are compared with real ones as squares around their masks."""

import numpy as np

from defect_jax.evaluation import inpainting


def test_a_square_is_around_the_mask_as_wide_as_the_margin_says():
  rows, columns = np.mgrid[:64, :64]
  image = np.float32(np.stack([rows, columns, 0 * rows], -1)[None]) / 64
  mask = np.zeros((1, 64, 64), bool)
  mask[0, 20:30, 20:40] = True
  square = inpainting.squares(image, mask, 1.2, 24)[0] * 64  # 24 px, from row 13 and column 18 on
  np.testing.assert_allclose(square[:, 0, 0], np.arange(13, 37), atol=1e-4)
  np.testing.assert_allclose(square[0, :, 1], np.arange(18, 42), atol=1e-4)
  mask[0] = False
  mask[0, 0, 63] = True  # 16 px at least, inside the area
  corner = inpainting.squares(image, mask, 1.2, 16)[0] * 64
  np.testing.assert_allclose((corner[0, 0, :2], corner[-1, -1, :2]), ((0, 48), (15, 63)), atol=1e-4)
