"""How long a folder of photos takes to look at, against plain decoding of the same files by Pillow in two processes.

  python -m experiments.bench_inspect
  python -m experiments.bench_inspect --photos=300 --rounds=1        in half a minute

5,000 photos of one megapixel each as JPEG, grey PNG and colour PNG, with the noise of a camera, since without it PNGs
would be trivial: enlarged from the real photos that the tests use where there are any, else made. Ours is the whole
command, start and page included, on two cores. Needs up to 10 GB of disk in the temporary folder.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from absl import flags
from PIL import Image

from experiments import bench, command

_ROOT = Path(__file__).resolve().parents[1]
_SIDE = 1000  # px
_DIFFERENT = 500  # pictures; the other files differ from these in what follows a picture's end
_MARGIN = 400  # px that a picture's place in an enlarged photo varies by
_KINDS = {'JPEG': ('.jpg', {'quality': 90}), 'grey PNG': ('.png', {}), 'colour PNG': ('.png', {})}
_PEER = """
import sys
from concurrent import futures
from pathlib import Path
from PIL import Image

def decode(path):
  with Image.open(path) as image:
    image.load()

if __name__ == '__main__':
  with futures.ProcessPoolExecutor(2) as pool:
    list(pool.map(decode, sorted(Path(sys.argv[1]).glob('*/*')), chunksize=16))
"""
FLAGS = command.define(quick=True)
flags.DEFINE_integer('photos', 5000, 'Of each kind.', lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer('rounds', 3, 'How many times both take turns.', lower_bound=1, flag_values=FLAGS)


def main(flags: flags.FlagValues) -> None:
  if flags.quick:
    flags.photos, flags.rounds = 20, 1
  bench.print_load()
  totals = {'ours': 0., 'peer': 0.}
  more = {}
  print(f'{flags.photos} photos of {_SIDE} x {_SIDE} px     inspect      Pillow in 2 processes')
  for kind in _KINDS:
    with tempfile.TemporaryDirectory() as folder:
      make(Path(folder) / 'photos', kind, flags.photos)
      seconds = measure(Path(folder), flags.rounds)
    print(f'{kind:28s}{seconds["ours"]:10.1f} s {seconds["peer"]:14.1f} s', flush=True)
    more[kind.lower().replace(' ', '_')] = seconds
    totals = {name: totals[name] + seconds[name] for name in totals}
  bench.print_result('bench_inspect', *totals.values(), ('imagecodecs', 'pillow', 'tifffile'), photos=flags.photos,
                     **more)


def make(root: Path, kind: str, count: int) -> None:
  """Writes photos of a kind into root/ok and root/ng."""
  suffix, how = _KINDS[kind]
  rng, sources = np.random.default_rng(0), _sources()
  pictures = []
  for number in range(min(count, _DIFFERENT)):
    top, left = rng.integers(0, _MARGIN, 2)
    part = sources[number % len(sources)][top:top + _SIDE, left:left + _SIDE]
    levels = np.clip(part + rng.integers(-3, 4, part.shape, np.int16), 0, 255).astype(np.uint8)
    path = root.with_suffix(suffix)
    root.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels[..., 0] if kind == 'grey PNG' else levels).save(path, **how)
    pictures.append(path.read_bytes())
  for label in ('ok', 'ng'):
    (root / label).mkdir(parents=True)
  for number in range(count):
    file = root / ('ng' if number % 10 == 0 else 'ok') / f'{number:05d}{suffix}'
    file.write_bytes(pictures[number % len(pictures)] + number.to_bytes(4, 'big'))


def _sources():
  """Real photos, or made ones, int16 [side, side, 3], with a margin."""
  side = _SIDE + _MARGIN
  folder = Path(os.environ.get('DEFECT_JAX_DATA') or _ROOT.parent / 'shared/data')
  paths = sorted(folder.glob('*/*/train/good/*'))[::40][:25]
  if not paths:
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    return [np.stack([128 + 60 * np.sin(x / 30 + n) * np.cos(y / 50)] * 3, -1).astype(np.int16) for n in range(25)]
  photos = (Image.open(path).convert('RGB') for path in paths)
  return [np.asarray(photo.resize((side, side), Image.Resampling.BICUBIC), np.int16) for photo in photos]


def measure(folder: Path, rounds: int) -> Mapping[str, float]:
  """Medians of the seconds that both take, in turn."""
  ours = [sys.executable, '-m', 'defect_jax.main', '--config=configs/inspect.py', f'--workdir={folder / "run"}',
          f'--config.photos={folder / "photos"}']
  peer = [sys.executable, '-c', _PEER, str(folder / 'photos')]
  seconds = {'ours': [], 'peer': []}
  for _ in range(rounds):
    for name, words in (('peer', peer), ('ours', ours)):
      shutil.rmtree(folder / 'run', ignore_errors=True)
      began = time.perf_counter()
      subprocess.run(words, cwd=_ROOT, check=True, stdout=subprocess.DEVNULL, preexec_fn=_on_two_cores)
      seconds[name].append(time.perf_counter() - began)
  return {name: statistics.median(values) for name, values in seconds.items()}


def _on_two_cores():
  os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])


if __name__ == '__main__':
  command.run(main, FLAGS)
