"""What pages cost: a list of 5,000 photos, and the share of a run that its page takes.

  python -m experiments.bench_pages                    about 3 minutes on 2 cores
  python -m experiments.bench_pages --quick            500 photos, the tiny job

The list is written as pages are, with the pictures that tell most in the page and the others beside it, and once with
all pictures in the page, taking turns. Opening is measured by a Chromium without a window where there is one: from its
start to the drawn list, less the same for an empty page; the ratio is of these. Of configs/vae_split.py the time is
taken that goes to drawing and writing pages, those of the run at work included, and to what is measured for the answers
alone.
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from defect_jax import main as command_line
from defect_jax.report import album, live, page, reasons
from defect_jax.report import vae as report
from defect_jax.runs.folder import Workdir
from experiments import bench, command

FLAGS = command.define(quick=True)
flags.DEFINE_integer('photos', 5000, 'In the list.', lower_bound=61, flag_values=FLAGS)
flags.DEFINE_integer('rounds', 5, 'How many times both pages are written.', lower_bound=1, flag_values=FLAGS)

_SIDE, _THRESHOLD = 64, 0.5


def write_list(path: Path, count: int, most: int) -> None:
  """A page with a list of so many photos, `most` of whose pictures are in it."""
  rng = np.random.default_rng(0)
  scores, levels = np.sort(rng.random(count))[::-1], rng.integers(0, 255, (_SIDE, _SIDE, 3), np.uint8)
  pictures = album.Album(path, album.telling(scores, _THRESHOLD, most=most))
  why = 'above the threshold; strongest at the centre, 7 x 9 of 64 x 64 px'
  rows = [reasons.called(f'line_{row % 7}/part_{row:05d}.png', float(score), score > _THRESHOLD, f'{score:.3f} {why}',
                         sha256=f'{row:064x}', picture=pictures.source(row, levels))
          for row, score in enumerate(scores)]
  page.write(path, 'A list', [page.Section('All photos', [page.Verdicts(rows)])])


def seconds_to_open(path: Path, browser: str) -> float:
  """Of a browser's start until the page's DOM is complete and drawn."""
  began = time.perf_counter()
  with tempfile.TemporaryDirectory() as profile:
    subprocess.run([browser, '--headless', '--no-sandbox', '--disable-gpu', f'--user-data-dir={profile}', '--dump-dom',
                    path.absolute().as_uri()], capture_output=True, check=True, timeout=120)
  return time.perf_counter() - began


class Spent:
  """Seconds that were spent in functions, while they are replaced by ones that keep count."""

  def __init__(self) -> None:
    self.seconds: dict[str, float] = {}

  def counting(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with its time added under a name."""
    def counted(*arguments, **keywords):
      began = time.perf_counter()
      try:
        return function(*arguments, **keywords)
      finally:
        self.seconds[name] = self.seconds.get(name, 0.) + time.perf_counter() - began
    return counted


def share_of_a_run(config: str, folder: Path) -> dict[str, float]:
  """{'run', 'pages', 'live', 'answers'}: seconds of a whole job; of these for pages, for that of the run at work among
  them, and for the answers."""
  spent, kept = Spent(), (report.write, live.write)
  report.write, live.write = spent.counting('pages', kept[0]), spent.counting('live', kept[1])
  began = time.perf_counter()
  try:
    if status := command_line.main([f'--config={config}', f'--workdir={folder}']):
      raise SystemExit(status)
  finally:
    report.write, live.write = kept
  answers = (Workdir(folder).read_summary() or {}).get('answers_seconds', 0.)
  return {'run': time.perf_counter() - began, 'pages': sum(spent.seconds.values()),
          'live': spent.seconds.get('live', 0.), 'answers': answers}


def main(flags: flags.FlagValues) -> None:
  if flags.quick:
    flags.photos, flags.rounds = min(flags.photos, 500), 1
  bench.print_load()
  with tempfile.TemporaryDirectory() as folder:
    ways = {'ours': album.MOST, 'all pictures in the page': flags.photos}
    paths = {name: Path(folder) / str(number) / 'report.html' for number, name in enumerate(ways)}
    for path in paths.values():
      path.parent.mkdir()
    seconds = bench.alternate({name: lambda name=name: write_list(paths[name], flags.photos, ways[name])
                               for name in ways}, flags.rounds, warm=0)
    bench.print_times(seconds)
    sizes = {name: path.stat().st_size / 2**20 for name, path in paths.items()}
    print(*(f'{name}: {size:.2f} MB' for name, size in sizes.items()), sep='\n')
    opened = {}
    if browser := next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None):
      page.write(Path(folder) / 'empty.html', 'Empty', [])
      paths['empty'] = Path(folder) / 'empty.html'
      taken = bench.alternate({name: lambda path=path: seconds_to_open(path, browser) for name, path in paths.items()},
                              max(3, flags.rounds), warm=1)
      opened = {name: float(np.median(values) - np.median(taken['empty'])) for name, values in taken.items()}
      print(*(f'{name}: opens in {value:.2f} s' for name, value in opened.items() if name != 'empty'), sep='\n')
    job = share_of_a_run(f'configs/vae_split.py{":tiny" * flags.quick}', Path(folder) / 'run')
  shares = {name: f'{job[name]:.2f} s ({job[name] / job["run"]:.1%})' for name in ('pages', 'live', 'answers')}
  print(f'a run of {job["run"]:.1f} s: pages {shares["pages"]}, of the run at work {shares["live"]}; measured for the '
        f'answers {shares["answers"]}')
  written = {name: float(np.median(seconds[name])) for name in ways}
  ours, peer = (opened.get(name) for name in ways)
  bench.print_result('bench_pages', ours, peer, ['jinja2'], photos=flags.photos, megabytes=sizes, written=written, **{
      f'{name}_seconds': value for name, value in job.items()})


if __name__ == '__main__':
  command.run(main, FLAGS)
