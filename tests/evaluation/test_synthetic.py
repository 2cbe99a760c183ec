"""Made defects: just the masked pixels change, on real-looking and on plain images, by the generator alone."""

import numpy as np
import pytest

from defect_jax.evaluation import synthetic


@pytest.mark.parametrize('image', [np.full((40, 30, 1), 0.5, np.float32), np.ones((16, 60, 3), np.float32),
                                   np.random.default_rng(0).random((64, 64, 1), np.float32)])
def test_the_mask_holds_just_what_changed(image):
  kinds = set()
  for seed in range(30):
    made, mask, kind = synthetic.paste(image, np.random.default_rng(seed))
    kinds.add(kind)
    changed = np.abs(made - image).max(-1)
    assert made.dtype == np.float32 and made.min() >= 0 and made.max() <= 1
    assert 4 <= mask.sum() < 0.2 * mask.size
    assert (changed[mask] >= 1 / 255).all() and (changed[~mask] < 1 / 255).all()
    again = synthetic.paste(image, np.random.default_rng(seed))
    assert again[2] == kind and (again[0] == made).all()
  assert kinds == ({'blotch'} if np.ptp(image) == 0 else {'blotch', 'cutpaste'})
