"""Folders of made photos, small and quick to learn."""

import numpy as np
from PIL import Image

from defect_jax.data import parts
from defect_jax.imagesets import writer
from defect_jax.imagesets.manifest import Made


def names(part, count, label='dent'):
  """The first `count` names below ng/<label>/ that belong to a part."""
  every = (f'ng/{label}/{number:03d}.png' for number in range(10000))
  return [name for name in every if parts.part_of(name) == part][:count]


def write(path, array):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(array).save(path)


def touch(root, *files):
  """Writes black photos of these names."""
  for file in files:
    write(root / file, np.zeros((8, 8), np.uint8))


def bumps(seed, size=32):
  """A photo: a dark spot somewhere on a soft slope."""
  rng = np.random.default_rng(seed)
  y, x = np.mgrid[:size, :size] / size
  top, left, depth = rng.uniform(0.2, 0.8, 3)
  image = 0.4 + 0.3 * x + 0.1 * rng.normal() * y - 0.5 * depth * np.exp(-((x - left)**2 + (y - top)**2) / 0.02)
  return np.uint8(np.clip(image, 0, 1) * 255)


def make_photos(root, pool=13, dev=3):
  """A folder with so many photos of class dent in each part; returns those of the pool."""
  for number, name in enumerate(names('pool', pool) + names('dev', dev)):
    write(root / name, bumps(number))
  return [root / name for name in names('pool', pool)]


def dented(seed):
  """A photo with a bright square."""
  photo = bumps(seed)
  top, left = np.random.default_rng(seed).integers(4, 22, 2)
  photo[top:top + 6, left:left + 6] = 255
  return photo


def make_dents(root):
  """A folder of 60 good photos and 40 dents, over all parts."""
  for number in range(60):
    write(root / f'ok/{number:03d}.png', bumps(number))
  for number in range(40):
    write(root / f'ng/dent/{number:03d}.png', dented(1000 + number))


def make_set(root, count=12, **changes):
  """A set of so many made dents, with `changes` of Made; returns its folder."""
  (root / 'images').mkdir(parents=True)
  lines = []
  for index in range(count):
    file = writer.write_image(root, index, dented(2000 + index))
    lines.append(Made(**{'file': file, 'label': 'dent', 'method': 'vae', 'index': index, 'seed': 0, 'source': None,
                         'source_sha256': None, 'source_part': 'pool', 'config_hash': 'c0ffee'} | changes).line())
  (root / 'manifest.jsonl').write_text(''.join(lines))
  return root


def regrouped(root, file, group):
  """An index.csv that leaves all photos in the groups that they have, but one."""
  with open(root / 'index.csv', 'w') as index:
    print('path,group', file=index)
    for path in sorted(root.rglob('*.png')):
      name = path.relative_to(root).as_posix()
      print(f'{name},{group if name == file else name}', file=index)


def group_of(part):
  """A name whose photos belong to a part."""
  return next(name for name in map(str, range(99)) if parts.part_of(name) == part)
