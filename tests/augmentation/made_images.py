"""Images that are quick to make, and ways to look at the folder they are written to."""

import numpy as np

HASH = 'c0ffee'
COUNT, CHUNK = 23, 4  # six chunks, the last of three images


def image(index):
  return np.random.default_rng(int(index)).uniform(size=(8, 9, 1)).astype(np.float32)


def make(indices):
  """Images that follow from their index, in lots that don't: what lies beyond the count is of another class."""
  assert indices.dtype == np.uint32 and len(indices) == CHUNK and indices[0] % CHUNK == 0
  assert (np.diff(indices) == 1).all()
  lineage = [{'class': 'crack' if i < COUNT else 'surplus', 'method': 'vae', 'seed': 3, 'source_part': 'pool',
              'strength': np.float32(0.5), 'crop': np.array([i, 0, 8, 9])} for i in indices]
  return np.stack([image(i) for i in indices]), lineage


def failing(chunks):
  """`make`, which breaks down after so many chunks."""
  left = [chunks]

  def call(indices):
    if left[0] == 0:
      raise RuntimeError('broke down')
    left[0] -= 1
    return make(indices)
  return call


def unused(indices):
  raise AssertionError(f'made {indices} again')


def tree(root):
  return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob('*') if p.is_file()}


def stamps(root):
  return {p: (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else None) for p in root.rglob('*')}
