"""Made sets in the layout of the real ones beside the repository, for machines that have none."""

import csv

import numpy as np
from PIL import Image

# Set: (height, width), and how many photos of each class; two photos of each group, as of one workpiece.
_SETS = {
    'magnetic_tile/magnetic_tile': ((373, 248), {'good': 40, 'blowhole': 40, 'crack': 20}),
    'bsdata/ball_screw': ((160, 150), {'good': 40, 'pitting': 130}),
}


def make(root):
  """Makes the sets, with masks and an index each, and returns their folder."""
  for name, (shape, counts) in _SETS.items():
    rng, folder, rows = np.random.default_rng(0), root / name, []
    for label, count in counts.items():
      for number in range(count):
        file = f'{"train" if label == "good" else "test"}/{label}/{number:03d}.png'
        photo = rng.integers(90, 130, shape, np.uint8)
        if label != 'good':
          mask = _mask(rng, shape, label)
          photo[mask] = rng.integers(0, 40, mask.sum())
          _write(folder / f'ground_truth/{label}/{number:03d}_mask.png', np.uint8(mask) * 255)
        _write(folder / file, photo)
        rows.append((f'{folder.name}/{file}', label, f'{label} {number // 2}'))
    with open(folder.parent / 'index.csv', 'w', newline='') as index:
      csv.writer(index).writerows([('path', 'cls', 'group'), *rows])
  return root


def _mask(rng, shape, label):
  """A defect somewhere: small and compact, or long and thin."""
  height, width = (40, 3) if label == 'crack' else rng.integers(5, 13, 2)
  top, left = rng.integers(0, (shape[0] - height, shape[1] - width))
  mask = np.zeros(shape, bool)
  mask[top:top + height, left:left + width] = True
  return mask


def _write(path, array):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(array).save(path)
