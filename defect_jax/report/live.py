"""The page of a run at work: its state, how far it is, its losses so far and its newest images.

A thread draws it from the files of the run alone, so no task knows of it, and so rarely that it takes 1 % of the time
at most. It never writes over the page that the task writes at its end, see page.write.
"""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from defect_jax.report import page, plots
from defect_jax.runs import artefacts, metrics
from defect_jax.runs.folder import Workdir

_LEAST = 5.0  # seconds between two drawings
_SHARE = 0.01  # of the time that drawing takes, at most
_POLL = 0.2  # seconds
_LOSSES = {'KLD': 'kld', 'MSE': 'mse', 'Loss': 'loss', 'Accuracy': 'accuracy'}
_STATES = {'starting': 'It is starting', 'running': 'It is running', 'paused': 'It waits for a request to go on',
           'stopping': 'It is saving, to stop', 'stopped': 'It was stopped', 'failed': 'It failed',
           'finished': 'It is finished'}


class Live:
  """Keeps a run's page up to date from when its workdir is open until `end`."""

  def __init__(self, workdir: Workdir):
    self._workdir, self._ended = workdir, threading.Event()
    self._thread = threading.Thread(target=self._run, daemon=True, name='page')
    self._thread.start()

  def end(self) -> None:
    """Draws the page as the run ended, if it came to its own page that stays; nothing for a run that was refused."""
    self._ended.set()
    self._thread.join()
    if self._workdir.was_open:
      self._draw(None)

  def _run(self):
    interval = _LEAST
    while not self._ended.wait(_POLL):
      if self._workdir.was_open:
        began = time.monotonic()
        self._draw(round(interval))
        interval = max(_LEAST, (time.monotonic() - began) / _SHARE)
        self._ended.wait(interval)

  def _draw(self, interval: int | None) -> None:
    if page.is_final(self._workdir.report_html):
      return
    # A page that cannot be drawn must not end a run; what matters is written elsewhere.
    with contextlib.suppress(OSError, ValueError, KeyError):
      write(self._workdir, interval)


def write(workdir: Workdir, interval: int | None) -> None:
  """Writes the page as the run is now; interval: seconds after which it loads itself anew, None: it stays."""
  at_work = _newest(workdir.root)
  status = _status(workdir.root)
  inner = _status(at_work)
  sentences = [f'{_STATES.get(status.get("state", ""), "It is starting")}.', *dict.fromkeys(filter(None, (
      status.get('message', ''), f'{at_work.relative_to(workdir.root)}: {inner.get("message", "")}'
      if at_work != workdir.root else '')))]
  if interval:
    sentences.append(f'This page loads itself anew every {interval} seconds; at the end it says whether the result can '
                     'be used.')
  else:
    sentences.append(f'The same command goes on: {workdir.command.changed({}, workdir.root)}'
                     if status.get('state') == 'stopped' else '')
  rows = metrics.read(at_work / artefacts.METRICS.name)
  page.write(workdir.report_html, f'{workdir.root.name}: at work' if interval else workdir.root.name, [
      page.Section('Losses', [page.Figures([*_losses(rows, status, inner)])]),
      page.Section('Newest images', [page.Pictures([*_images(at_work)], 'newest images {}')]),
      page.Section('What was taken for what', [
          page.Lines([line for line in workdir.first_lines if line != workdir.page_line])])],
      workdir.config_text if workdir.config_json.exists() else '', verdict=filter(None, sentences),
      reload=interval or 0, final=False)


def _newest(root: Path) -> Path:
  """The run, or the run inside it that was heard of last, such as a fold."""
  def updated(folder: Path) -> float:
    return _status(folder).get('updated', 0)
  inner = [path.parent for pattern in ('*/', '*/*/', '*/*/*/')
           for path in root.glob(f'{pattern}{artefacts.STATUS.name}')]
  running = [folder for folder in inner if _status(folder).get('state') == 'running']
  return max(running, key=updated, default=root)


def _status(folder: Path) -> dict[str, Any]:
  try:
    return json.loads((folder / artefacts.STATUS.name).read_text())
  except (OSError, ValueError):
    return {}


def _losses(rows: page.Metrics, *statuses: dict[str, Any]) -> Iterator[page.Figure]:
  total = max((status.get('steps_total') or 0 for status in statuses), default=0)
  for title, name in _LOSSES.items():
    series = page.columns(rows, {'training': f'train/{name}', 'held out': f'eval/{name}', 'target': f'target/{name}'})
    if len(series.get('training', ((), ()))[0]) > 1:
      steps = max(total, int(series['training'][0][-1]))
      yield page.figure(title, plots.lines(series, label=title, steps_total=steps, log=name == 'mse'))


def _images(root: Path) -> Iterator[tuple[str, str]]:
  """The newest grid of each kind."""
  newest: dict[str, tuple[int, Path]] = {}
  for path in (root / artefacts.SAMPLES.name).glob('*_*.png'):
    step, _, what = path.stem.partition('_')
    if step.isdigit() and int(step) >= newest.get(what, (-1, path))[0]:
      newest[what] = int(step), path
  names = {'recon': 'photos, their reconstructions and what these lack or add', 'prior': 'new images'}
  yield from ((_picture(path), f'Step {step}: {names.get(what, what)}') for what, (step, path) in
              sorted(newest.items(), reverse=True))


def _picture(path: Path) -> str:
  with Image.open(path) as image:
    return page.picture(np.asarray(image if image.mode == 'L' else image.convert('RGB')))
