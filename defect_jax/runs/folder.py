"""A run's folder: the only place that names a path in it, writes there atomically and holds its lock.

  workdir = Workdir('runs/vae_split')          # names and reading; touches nothing
  workdir.check(config, fixed)                 # refuses what a start would refuse; writes nothing
  workdir.open()                               # takes the lock, writes config.json, begins status.json
  workdir.finish(summary)
"""

import errno
import fcntl
import json
import os
import shutil
from pathlib import Path

from absl import logging

from defect_jax import __version__
from defect_jax.config import LOGGING, UserError, changes, config_hash, from_json, resumable, to_json
from defect_jax.runs.atomic import TEMPORARY, DiskFull, disk_full_named, plain, write_atomic
from defect_jax.runs.status import Status


class Stopped(Exception):
  """A request or a signal ended the run after it saved; the message says how to go on."""


class Diverged(Exception):
  """A loss or gradient became nan or infinite; the message names the stream and the last good checkpoint."""


class Workdir:
  """Names, checks and writes the files of one run.

  Attributes:
    root: the folder, a Path. status: Status while open, else None.
    stop_requested: set by main's signal handlers; the loop polls it, saves and raises Stopped.
  """

  def __init__(self, root, outer=None):
    """`outer`: the workdir of the run that this one is a part of; what stops that one stops this."""
    self.root = Path(root)
    self.status = self._config = self._lock = self._warned_of = None
    self._outer, self._stopping, self._fixed = outer, False, ()

  @property
  def stop_requested(self):
    return self._stopping or bool(self._outer and self._outer.stop_requested)

  @stop_requested.setter
  def stop_requested(self, value):
    self._stopping = value

  config_json = property(lambda self: self.root / 'config.json')
  metrics_jsonl = property(lambda self: self.root / 'metrics.jsonl')
  status_json = property(lambda self: self.root / 'status.json')
  requests_json = property(lambda self: self.root / 'requests.json')
  summary_json = property(lambda self: self.root / 'summary.json')
  report_html = property(lambda self: self.root / 'report.html')
  lock_file = property(lambda self: self.root / 'lock')
  checkpoints = property(lambda self: self.root / 'checkpoints')
  samples = property(lambda self: self.root / 'samples')
  image_set = property(lambda self: self.root / 'set')
  vae = property(lambda self: self.root / 'vae')  # workdir of the VAE that a run of another task trains for itself
  pipeline = property(lambda self: self.root / 'pipeline')  # an inpainting pipeline as diffusers saves it
  lora = property(lambda self: self.root / 'lora')  # LoRA weights that were trained beside given ones
  detector_json = property(lambda self: self.root / 'detector.json')
  classifier_json = property(lambda self: self.root / 'classifier.json')
  predictions_csv = property(lambda self: self.root / 'predictions.csv')
  predictions_part = property(lambda self: self.root / 'predictions.part.csv')  # rows so far
  heatmaps = property(lambda self: self.root / 'heatmaps')

  def checkpoint(self, step):
    return self.checkpoints / str(step)

  def sample(self, step, what):
    """The PNG of a sample grid; `what`: recon, prior, traversal."""
    return self.samples / f'{step}_{what}.png'

  def read_config(self):
    """The config the run has, or None in a new workdir; UserError where config.json is damaged."""
    try:
      return from_json(self.config_json.read_text())
    except FileNotFoundError:
      return None
    except (OSError, ValueError) as error:
      raise UserError(f'{self.config_json}: not readable as a config ({error}); choose another --workdir') from error

  def read_metrics(self):
    """The rows of metrics.jsonl in order; what a killed run half wrote is left out."""
    try:
      lines = self.metrics_jsonl.read_bytes().splitlines()
    except FileNotFoundError:
      return []
    return [row for row in map(_row, lines) if row is not None]

  def seconds_spent(self):
    """Time spent on the run until the newest row of metrics.jsonl, by all sessions together."""
    return max((row['seconds'] for row in self.read_metrics() if 'seconds' in row), default=0.0)

  def read_request(self, last=0):
    """The newest request where its id is above `last`, the id applied last, else None.

    Returns {'id': int, 'pause': bool, 'stop': bool, 'targets': {} or some of kld, mse}. A malformed file is ignored,
    with one warning for each of its contents.
    """
    text = b''
    try:
      text = self.requests_json.read_bytes()
      request = _request(json.loads(text))
    except FileNotFoundError:
      return None
    except (OSError, ValueError, RecursionError) as error:
      if self._warned_of != text:
        logging.warning('%s is ignored: %s', self.requests_json, error)
      self._warned_of = text
      return None
    return request if request['id'] > last else None

  def check(self, config, fixed=()):
    """Refuses what cannot be started here, and remembers the config for `open`. Writes nothing.

    Args:
      config: the resolved config. fixed: keys of `steps` that may not change when the run goes on.

    Raises UserError: a folder that is no workdir, not writable, of another config, or held by another run.
    """
    self._config, self._fixed = config, fixed
    home = next(p for p in (self.root, *self.root.absolute().parents) if os.path.exists(p))
    if not home.is_dir():
      raise self._unwritable(f'{home} is not a folder')
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
      raise self._unwritable(f'no permission in {home}')
    self._refuse_content()
    if self.lock_file.exists():
      os.close(self._locked())

  def finished(self):
    """summary.json of the config given to `check`, or None where the run has not come to its end."""
    saved = self.read_config()
    return None if saved is None or changes(saved, self._config, LOGGING) else self.read_summary()

  def read_summary(self):
    """What summary.json holds, or None where it is not there or not whole."""
    try:
      return json.loads(self.summary_json.read_text())
    except (OSError, ValueError):
      return None

  def open(self):
    """Takes the lock, writes config.json and begins status.json; call it once all else is checked.

    Raises UserError as `check`, since another run may have come between, and DiskFull.
    """
    new = False
    try:
      with disk_full_named(self.root):
        new = self._make_folder()
        self._lock = self._locked(os.O_CREAT)
        self._refuse_content()
        self._write_config()
    except BaseException as error:
      if new and self._lock is not None:
        shutil.rmtree(self.root, ignore_errors=True)
      self._release()
      if isinstance(error, OSError) and not isinstance(error, DiskFull):
        raise self._unwritable(error) from error
      raise
    self.status = Status(self.status_json)

  def close(self, state, message=''):
    """Writes the last status and gives the lock back; nothing where the workdir is not open."""
    if self.status:
      self.status.end()
      self.status.update(state=state, message=message)
      self.status = None
    self._release()

  def append_metrics(self, row):
    """Adds {'step': int, name: number, ...} as a line of metrics.jsonl; raises DiskFull with the file as it was."""
    line = json.dumps({'step': row['step']} | plain(row), allow_nan=False) + '\n'
    with disk_full_named(self.metrics_jsonl), open(self.metrics_jsonl, 'ab', buffering=0) as file:
      size = file.tell()
      try:
        if file.write(line.encode()) < len(line):
          raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
      except OSError:
        file.truncate(size)
        raise

  def cut_back(self, step):
    """Drops the rows of metrics.jsonl after `step`, and half-written ones: a resumed run writes them again."""
    rows = [row for row in self.read_metrics() if row['step'] <= step]
    text = ''.join(json.dumps(row) + '\n' for row in rows)
    if self.metrics_jsonl.exists() and self.metrics_jsonl.read_text(errors='replace') != text:
      write_atomic(self.metrics_jsonl, text)

  def write_summary(self, summary):
    """Writes summary.json, the last file of a run: who finds it takes the run as finished."""
    write_atomic(self.summary_json, json.dumps(plain(summary), indent=2, allow_nan=False) + '\n')

  def finish(self, summary):
    """Writes what a task returned, with task, config's hash and version, and ends the run."""
    self.write_summary({'task': self._config.task, **summary, 'config_hash': config_hash(self._config),
                        'version': __version__})
    self.close('finished', str(self.summary_json))

  def _refuse_content(self):
    saved = self.read_config()
    if saved is not None:
      try:
        resumable(saved, self._config, self._fixed)
      except UserError as error:
        raise UserError(f'{self.root}: {error}') from error
    elif self.root.exists() and (foreign := sorted(p.name for p in self.root.iterdir() if not _is_ours(p))):
      raise UserError(f'{self.root}: holds {foreign[0]} but no config.json, so no run; choose another --workdir')

  def _make_folder(self):
    """Whether this call made the folder."""
    self.root.parent.mkdir(parents=True, exist_ok=True)
    try:
      self.root.mkdir()
    except FileExistsError:
      return False
    return True

  def _locked(self, flags=0):
    """A handle of the lock file that holds the lock. Closing any handle of that file lets go of it (POSIX)."""
    try:
      handle = os.open(self.lock_file, os.O_RDWR | flags, 0o644)
    except PermissionError as error:
      raise self._unwritable(error) from error
    try:
      fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      os.close(handle)
      if error.errno in (errno.EACCES, errno.EAGAIN):
        raise UserError(f'{self.root}: another run is at work here{self._holder()}; wait for it, stop it '
                        'or choose another --workdir') from error
      raise self._unwritable(error) from error
    return handle

  def _unwritable(self, reason):
    return UserError(f'{self.root}: cannot be written ({reason}); choose another --workdir')

  def _holder(self):
    try:
      status = json.loads(self.status_json.read_text())
      return f' (process {status["pid"]} on {status["host"]})'
    except (OSError, ValueError, LookupError, TypeError):
      return ''

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

  def _release(self):
    if self._lock is not None:
      os.close(self._lock)
      self._lock = None


def _is_ours(path):
  """Whether a start that was killed before it wrote config.json may have left this file."""
  return path.name == 'lock' or (path.name.startswith('.') and path.suffix == TEMPORARY)


def _row(line):
  try:
    row = json.loads(line)
  except ValueError:
    return None
  return row if isinstance(row, dict) and isinstance(row.get('step'), int) else None


def _request(value):
  """A request with every key, or ValueError saying what is wrong with it."""
  if not isinstance(value, dict) or (unknown := value.keys() - {'id', 'pause', 'stop', 'targets'}):
    raise ValueError(f'unknown keys {sorted(unknown)}' if isinstance(value, dict) else 'not an object')
  if type(value.get('id')) is not int or not 0 <= value['id'] < 2**31:
    raise ValueError(f'id must be a whole number from 0 to 2147483647, not {value.get("id")!r}')
  for key in ('pause', 'stop'):
    if not isinstance(value.get(key, False), bool):
      raise ValueError(f'{key} must be true or false, not {value[key]!r}')
  targets = value.get('targets', {})
  if not isinstance(targets, dict) or targets.keys() - {'kld', 'mse'}:
    raise ValueError(f'targets must be an object of kld and mse, not {targets!r}')
  for key, target in targets.items():
    if not isinstance(target, int | float) or isinstance(target, bool) or not 0 < target <= 1e30:
      raise ValueError(f'targets.{key} must be a number above 0 and up to 1e30, not {target!r}')
  return {'id': value['id'], 'pause': value.get('pause', False), 'stop': value.get('stop', False), 'targets': targets}
