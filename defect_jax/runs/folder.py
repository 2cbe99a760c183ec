"""A run's folder: the only place that names a path in it, writes there atomically and holds its lock.

  workdir = Workdir('runs/vae_split')          # names and reading; touches nothing
  workdir.check(config, fixed)                 # refuses what a start would refuse; writes nothing
  with workdir.running():                      # closes it by how the block ends
    workdir.open()                             # takes the lock, writes config.json, begins status.json
    workdir.finish(summary)
"""

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from defect_jax import __version__
from defect_jax.config import LOGGING, changes, config_hash, from_json, resumable, table_of, to_json
from defect_jax.errors import UserError
from defect_jax.runs import artefacts, metrics
from defect_jax.runs.artefacts import Artefact
from defect_jax.runs.atomic import TEMPORARY, DiskFull, disk_full_named, plain, write_atomic
from defect_jax.runs.command import Command
from defect_jax.runs.forecast import Forecast
from defect_jax.runs.lock import Held, Lock
from defect_jax.runs.requests import Requests
from defect_jax.runs.status import Status
from defect_jax.schema import complete


class Stopped(Exception):
  """A request or a signal ended the run after it saved; the message says how to go on."""


class Diverged(Exception):
  """A loss or gradient became nan or infinite; the message names the stream and the last good checkpoint."""


class Workdir:
  """Names, checks and writes the files of one run, in the folder `root`."""

  def __init__(self, root: str | Path, outer: 'Workdir | None' = None, forecast: Forecast | None = None):
    """`outer`: the workdir of the run that this one is a part of; what stops that one stops this. `forecast`: is given
    the time that the training in here will take."""
    self.root, self.forecast = Path(root), forecast
    self.first_lines: Sequence[str] = ()  # printed once the run has begun, so that a refusal stays one line
    self.command: Command = outer.command if outer else Command()  # that began the run
    self._status: Status | None = None
    self._lock, self.read_request = Lock(self.path(artefacts.LOCK)), Requests(self.path(artefacts.REQUESTS)).read
    self._config, self._fixed, self._anew = ConfigDict(), tuple[str, ...](), False
    self._outer, self._stopping = outer, False
    self.was_open = False

  @property
  def status(self) -> Status:
    """What other programs see of the run, once it is open."""
    assert self._status, 'not open'
    return self._status

  def path(self, artefact: Artefact) -> Path:
    """Where a file or folder of the run is."""
    return self.root / artefact.name

  @property
  def page_line(self) -> str:
    """Where the page is: the first and the last line of a job."""
    return f'page: {self.report_html}'

  @property
  def stop_requested(self) -> bool:
    """Set by main's signal handlers; the loop polls it, saves and raises Stopped."""
    return self._stopping or bool(self._outer and self._outer.stop_requested)

  @stop_requested.setter
  def stop_requested(self, value: bool) -> None:
    self._stopping = value

  config_json = property(lambda self: self.path(artefacts.CONFIG))
  config_text = property(lambda self: self.config_json.read_text())
  metrics_jsonl = property(lambda self: self.path(artefacts.METRICS))
  status_json = property(lambda self: self.path(artefacts.STATUS))
  requests_json = property(lambda self: self.path(artefacts.REQUESTS))
  summary_json = property(lambda self: self.path(artefacts.SUMMARY))
  report_html = property(lambda self: self.path(artefacts.REPORT))
  checkpoints = property(lambda self: self.path(artefacts.CHECKPOINTS))
  samples = property(lambda self: self.path(artefacts.SAMPLES))

  def checkpoint(self, step: int) -> Path:
    return self.checkpoints / str(step)

  def sample(self, step: int, what: str) -> Path:
    """The PNG of a sample grid; `what`: recon, prior, traversal."""
    return self.samples / f'{step}_{what}.png'

  def read_config(self) -> ConfigDict | None:
    """The config of the run, its keys those of this version; None in a new workdir. UserError if it is damaged."""
    saved = self._saved()
    return complete(saved, table, begun=True) if saved is not None and (table := table_of(saved)) else saved

  def _saved(self) -> ConfigDict | None:
    try:
      return from_json(self.config_json.read_text())
    except (FileNotFoundError, NotADirectoryError):  # the latter is refused by `check`
      return None
    except (OSError, ValueError) as error:
      raise UserError(f'{self.config_json}: not readable as a config ({error}); choose another --workdir') from error

  def read_metrics(self) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl in order."""
    return metrics.read(self.metrics_jsonl)

  def append_metrics(self, row: Mapping[str, Any]) -> None:
    """Adds {'step': int, name: number, ...} as a line of metrics.jsonl; raises DiskFull with the file as it was."""
    metrics.append(self.metrics_jsonl, row)

  def cut_back(self, step: int) -> None:
    """Drops the rows of metrics.jsonl after `step`."""
    metrics.cut_back(self.metrics_jsonl, step)

  def seconds_spent(self) -> float:
    """Time spent on the run until the newest row of metrics.jsonl, by all sessions together."""
    return max((row['seconds'] for row in self.read_metrics() if 'seconds' in row), default=0.0)

  def check(self, config: ConfigDict, fixed: Iterable[str] = (), anew: bool = False) -> None:
    """Refuses what cannot be started here, and remembers the config for `open`. Writes nothing.

    `fixed`: keys of `steps` that may not change when the run goes on. `anew`: whether a run of the same task, of this
    or another config, is replaced. Raises UserError for a folder that is no workdir, not writable, of another config,
    or held by another run.
    """
    self._config, self._fixed, self._anew = config, tuple(fixed), anew
    home = next(p for p in (self.root, *self.root.absolute().parents) if os.path.exists(p))
    if not home.is_dir() or not os.access(home, os.R_OK | os.W_OK | os.X_OK):
      raise self._unwritable(f'no permission in {home}' if home.is_dir() else f'{home} is not a folder')
    self._refuse_content()
    self._locked(self._lock.check)

  def finished(self) -> dict[str, Any] | None:
    """summary.json of the config given to `check`, or None if the run has not come to its end."""
    saved = self._saved()
    return None if self._anew or saved is None or changes(saved, self._config, LOGGING) else self.read_summary()

  def read_summary(self) -> dict[str, Any] | None:
    """What summary.json holds, or None if it is not there or not whole."""
    try:
      return json.loads(self.summary_json.read_text())
    except (OSError, ValueError):
      return None

  def open(self) -> None:
    """Takes the lock, writes config.json and begins status.json; raises UserError as `check`, and DiskFull."""
    new = False
    try:
      with disk_full_named(self.root):
        self.root.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
          self.root.mkdir()
          new = True
        self._locked(self._lock.acquire)
        self._refuse_content()
        self._write_config()
    except BaseException as error:
      if new and self._lock.acquired:
        shutil.rmtree(self.root, ignore_errors=True)
      self._lock.release()
      if isinstance(error, OSError) and not isinstance(error, DiskFull):
        raise self._unwritable(error) from error
      raise
    self.was_open = True
    for line in self.first_lines:
      print(line, flush=True)
    self._status = Status(self.status_json)

  @contextlib.contextmanager
  def running(self) -> Iterator[None]:
    """Closes the workdir at the end of the block: finished, or by what it raises stopped or failed."""
    try:
      yield
    except Stopped as error:
      self.close('stopped', one_line(error))
      raise
    except BaseException as error:
      self.close('failed', one_line(error))
      raise
    self.close('finished')

  def close(self, state: str, message: str = '') -> None:
    """Writes the last status and gives the lock back; nothing if the workdir is not open."""
    if self._status:
      self._status.end()
      self._status.update(state=state, message=message)
      self._status = None
    self._lock.release()

  def write_summary(self, summary: Mapping[str, Any]) -> None:
    """Writes summary.json, the last file of a run, which says that it is finished."""
    write_atomic(self.summary_json, json.dumps(plain(summary), indent=2, allow_nan=False) + '\n')

  def finish(self, summary: Mapping[str, Any]) -> None:
    """Writes what a task returned, with task, version and, if it is not there, the config's hash; ends the run."""
    own = summary.get('config_hash') or config_hash(self._config)
    self.write_summary({'task': self._config.task, **summary, 'config_hash': own, 'version': __version__})
    self.close('finished', str(self.summary_json))

  def _refuse_content(self):
    saved = self._saved()
    if saved is not None:
      if self._anew and saved.get('task') == self._config.task:
        return
      try:
        resumable(saved, self._config, self._fixed)
      except UserError as error:
        raise UserError(f'{self.root}: {error}') from error
    elif self.root.exists():
      # A start that was killed before it wrote config.json may have left the lock and temporary files.
      ours = re.compile(rf'lock|\..*{re.escape(TEMPORARY)}')
      if foreign := sorted(path.name for path in self.root.iterdir() if not ours.fullmatch(path.name)):
        raise UserError(f'{self.root}: holds {foreign[0]} but no config.json, so no run; choose another --workdir')

  def _locked(self, take: Callable[[], None]) -> None:
    """Takes or tries the lock; raises UserError if another run holds it."""
    try:
      with disk_full_named(self.root):
        take()
    except Held as error:
      holder = ''
      with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        status = json.loads(self.status_json.read_text())
        holder = f' (process {status["pid"]} on {status["host"]})'
      raise UserError(f'{self.root}: another run is at work here{holder}; wait for it, stop it or choose another '
                      '--workdir') from error
    except DiskFull:
      raise
    except OSError as error:
      raise self._unwritable(error) from error

  def _unwritable(self, reason):
    return UserError(f'{self.root}: cannot be written ({reason}); choose another --workdir')

  def _write_config(self):
    for leftover in [p for folder in (self.root, self.samples) for p in folder.glob(f'.*{TEMPORARY}')]:
      leftover.unlink()
    if self.finished() is None:
      # First, so that a run killed on the way to more steps is never taken as finished.
      self.summary_json.unlink(missing_ok=True)
    for folder in (self.checkpoints, self.samples):
      folder.mkdir(exist_ok=True)
    text = to_json(self._config)
    if not self.config_json.exists() or self.config_json.read_text() != text:
      write_atomic(self.config_json, text)


def one_line(error: BaseException) -> str:
  """How a run that ends by an error says so, in status.json and on stderr."""
  text = ' '.join(str(error).split())
  if isinstance(error, Stopped):
    return text
  return f'error: {text}' if isinstance(error, UserError | DiskFull | Diverged) else f'{type(error).__name__}: {text}'
