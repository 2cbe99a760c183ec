"""Which photos are changed, and which real masks they get."""

import numpy as np
from PIL import Image

from defect_jax.data import parts
from defect_jax.data.sources import folder
from defect_jax.diffusion import sources


def test_a_defect_gets_masks_of_its_own_class_of_its_part(tmp_path):
  sizes = {}
  for label, size in (('crack', 3), ('dent', 5)):
    for number in range(12):
      photo = tmp_path / f'test/{label}/{number:02d}.png'
      mask = tmp_path / f'ground_truth/{label}/{number:02d}_mask.png'
      for path in (photo, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
      Image.fromarray(np.zeros((30, 30), np.uint8)).save(photo)
      marked = np.zeros((30, 30), np.uint8)
      pool = parts.part_of(f'test/{label}/{number:02d}.png') == 'pool'
      marked[4:4 + size, 6:7 if pool else 20] = 255
      Image.fromarray(marked).save(mask)
      sizes.setdefault(label, 0)
      sizes[label] += pool
  records = folder.list(tmp_path)
  found = sources.real_masks(records, 'pool', ('crack', 'dent', 'stain'))
  assert {real.mask.shape for real in found['crack']} == {(3, 1)} and len(found['crack']) == sizes['crack'] > 0
  assert {real.mask.shape for real in found['dent']} == {(5, 1)} and len(found['dent']) == sizes['dent'] > 0
  assert {real[1:] for real in found['crack']} == {((4, 6), (30, 30))}
  assert len(found['stain']) == sum(sizes.values())
