"""Small anomaly jobs in this process, on photos with masks in all parts."""

import contextlib
import signal

import numpy as np
from absl import flags
from made_photos import bumps, write

from defect_jax import main

SMALL = ('--config.train.model.widths=4,8', '--config.train.model.latent=4', '--config.train.model.linear=false',
         '--config.train.streams.E1.lr=0.002', '--config.train.streams.E2.lr=0.002',
         '--config.train.streams.D.lr=0.006',
         '--config.train.steps.total=30',
         '--config.train.steps.log=10', '--config.train.steps.eval=30', '--config.train.steps.checkpoint=30',
         '--config.baselines.bank=200', '--config.batch=16')


def dented(seed):
  """A photo with a bright square, and its mask."""
  photo, mask = bumps(seed), np.zeros((32, 32), np.uint8)
  top, left = np.random.default_rng(seed).integers(4, 22, 2)
  mask[top:top + 6, left:left + 6] = 255
  return np.where(mask > 0, 255, photo).astype(np.uint8), mask


def write_photos(root):
  """A folder in MVTec layout: 40 good photos and 24 dents with masks, over all parts."""
  for number in range(40):
    write(root / f'train/good/{number:03d}.png', bumps(number))
  for number in range(24):
    photo, mask = dented(1000 + number)
    write(root / f'test/dent/{number:03d}.png', photo)
    write(root / f'ground_truth/dent/{number:03d}_mask.png', mask)


def run(workdir, *arguments, path, config='configs/anomaly.py:tiny', small=SMALL, split=('--config.data.split=hash',)):
  """Exit status of the job."""
  flags.FLAGS.unparse_flags()
  flags.FLAGS['workdir'].value = None
  data = ('--config.data.source=folder', f'--config.data.path={path}', *split) if path else ()
  return main.main([f'--config={config}', f'--workdir={workdir}', *data, *small, *arguments])


@contextlib.contextmanager
def handlers_kept():
  """Signal handlers are afterwards what they were."""
  handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
  yield
  for number, handler in handlers.items():
    signal.signal(number, handler)
