"""Photos a second in mode predict, decoding, heat maps and CSV included, against taking them one by one.

  python -m experiments.bench_anomaly

Solar cells: 600 photos of 64 px. Large photos: 4 of 2590 x 1942 px, mosaics of solar cells, in tiles of 64 px at full
resolution. Ours is the job's own code; the peer opens a photo by Pillow, passes its tiles through the network one after
the other, writes the same heat map by Pillow and goes to the next. The VAE has the default's size; what it has learnt
does not change the time, so it trains for a few steps. Both are compiled beforehand and take turns. Peak memory is that
of a process of its own.
"""

import csv
import dataclasses
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from absl import flags
from PIL import Image

from configs import anomaly as config_of
from defect_jax.data import samples
from defect_jax.data.sources import elpv
from defect_jax.report import heatmaps
from defect_jax.runs.folder import Workdir
from defect_jax.tasks import anomaly, predict
from defect_jax.tasks.keys import anomaly as anomaly_keys
from defect_jax.trained import detector as trained
from experiments import bench, command

FLAGS = command.define(quick=True)
flags.DEFINE_integer('rounds', 5, 'Rounds of each side.', lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer('cells', 600, 'Solar cells a round.', lower_bound=1, flag_values=FLAGS)
flags.DEFINE_string('folder', None, 'Where photos and runs go; by default the folder for temporary files.',
                    flag_values=FLAGS)

_WIDTH, _HEIGHT, _LARGE = 2590, 1942, 4
_STEPS = 50
_GOAL_CELLS, _GOAL_SECONDS = 300, 2.0


def main(flags: flags.FlagValues) -> None:
  bench.print_load()
  with tempfile.TemporaryDirectory(dir=flags.folder) as folder:
    folder = Path(folder)
    _make_photos(folder, flags.cells)
    rounds = 1 if flags.quick else flags.rounds
    cells = _measure(folder, 'cells', False, rounds)
    large = _measure(folder, 'large', True, rounds)
    memory = {name: _peak_memory(folder, name) for name in ('cells', 'large')}
  rate = flags.cells / float(np.median(cells['ours']))
  peer = flags.cells / float(np.median(cells['peer']))
  each = float(np.median(large['ours'])) / _LARGE
  print(f'cells of 64 px: {rate:.0f} photos/s (goal {_GOAL_CELLS}), one by one {peer:.0f}; peak memory '
        f'{memory["cells"]:.0f} MB')
  print(f'{_WIDTH} x {_HEIGHT}: {each:.2f} s a photo (goal {_GOAL_SECONDS:g}), one by one '
        f'{float(np.median(large["peer"])) / _LARGE:.2f} s; peak memory {memory["large"]:.0f} MB')
  bench.print_result('bench_anomaly', 1 / rate, 1 / peer, ('jaxlib', 'pillow', 'imagecodecs'), photos_per_second=rate,
                     large_seconds=each, large_peer_seconds=float(np.median(large['peer'])) / _LARGE,
                     peak_memory_mb=memory)


def _make_photos(folder, cells):
  records = [record for record in elpv.list(cell_type='mono') if record.part != 'final']
  images = [Image.open(record.photo).convert('L') for record in records[:600]]
  for name in ('cells', 'large'):
    (folder / name).mkdir()
  for number in range(cells):
    images[number % len(images)].resize((64, 64), Image.Resampling.BOX).save(folder / f'cells/{number:04d}.png')
  for number in range(_LARGE):
    mosaic = Image.new('L', (_WIDTH, _HEIGHT))
    for place, at in enumerate((left, top) for top in range(0, _HEIGHT, 300) for left in range(0, _WIDTH, 300)):
      mosaic.paste(images[(number + place) % len(images)], at)
    mosaic.save(folder / f'large/{number}.png')


def _measure(folder, name, tiled, rounds):
  """Seconds of every round, {'ours', 'peer'}."""
  config = config_of.get_config()
  anomaly_keys.settle(config)
  config.mode, config.photos, config.tiles.on = 'predict', str(folder / name), tiled
  config.data.few_shot = 60
  config.train.steps.total = config.train.steps.eval = config.train.steps.checkpoint = _STEPS
  workdir = Workdir(folder / f'run_{name}')
  workdir.check(config)
  workdir.finish(anomaly.run(config, workdir))
  config.vae = str(workdir.root)
  predictor = trained.open_detector(workdir.root)
  numbers = iter(range(10**6))

  def ours():
    again = Workdir(folder / f'again_{name}_{next(numbers)}')
    again.check(config)
    again.open()
    predict.predict(again, predictor, predict.list_photos(config.photos, again), True)
    again.close('finished')

  one, threshold = _one_by_one(predictor), predictor.threshold.value

  def peer():
    out = folder / f'peer_{name}_{next(numbers)}'
    out.mkdir()
    with open(out / 'predictions.csv', 'w', newline='') as file:
      rows = csv.writer(file)
      for path in sorted((folder / name).iterdir()):
        image = np.float32(Image.open(path).convert('L'))[..., None] / 255
        anomaly_map, score = one(image)
        Image.fromarray(heatmaps.overlay(image, anomaly_map, predictor.scale)).save(out / f'{path.stem}.png')
        rows.writerow([path.name, score, threshold, score > threshold])

  seconds = bench.alternate({'ours': ours, 'peer': peer}, rounds, 1)
  bench.print_times({f'{name}, {who}': values for who, values in seconds.items()}, len(list((folder / name).iterdir())))
  return seconds


def _one_by_one(predictor):
  """Function of a photo `[h, w, 1]` to (map `[h, w]`, score): its tiles go through the network one after the other."""
  scorer = dataclasses.replace(predictor.setup, batch=1).scorer([predictor.detector], [predictor.setup.score])

  def one(image):
    photo = next(scorer([samples.Sample(None, image, None)]))
    return photo.maps[predictor.setup.score.map], photo.scores[predictor.setup.score.name]

  return one


def _peak_memory(folder, name):
  """MB of a prediction as a process of its own."""
  workdir = folder / f'memory_{name}'
  subprocess.run([sys.executable, '-m', 'defect_jax.main', '--config=configs/anomaly.py', '--config.mode=predict',
                  f'--config.vae={folder / f"run_{name}"}', f'--config.photos={folder / name}',
                  f'--workdir={workdir}'], check=True, stdout=subprocess.DEVNULL)
  return json.loads((workdir / 'summary.json').read_text())['peak_memory_mb']


if __name__ == '__main__':
  command.run(main, FLAGS)
