"""What a person sees of a job while photos are scored."""

import time

from defect_jax.runs.folder import Stopped

_INTERVAL = 2.0  # seconds between lines


class Progress:
  """Called once a photo: status.json, a row of metrics.jsonl and a line now and then; Stopped where that is asked."""

  def __init__(self, workdir, total, done=0):
    """Takes the photos in all, and how many of them were done by earlier sessions."""
    self._workdir, self._total, self.done = workdir, total, done
    self._first, self._began, self._next = done, time.monotonic(), 0.
    self._spent = workdir.seconds_spent()

  def __call__(self):
    self.done += 1
    if self._workdir.stop_requested and self.done < self._total:
      raise Stopped(f'stopped at photo {self.done} of {self._total}; the same command goes on')
    if time.monotonic() >= self._next or self.done == self._total:
      self._tell()
      self._next = time.monotonic() + _INTERVAL

  def _tell(self):
    seconds = time.monotonic() - self._began
    self._workdir.append_metrics({'step': self.done, 'seconds': self._spent + seconds})
    line = f'photo {self.done}/{self._total}  {(self.done - self._first) / max(seconds, 1e-9):.0f} photos/s'
    self._workdir.status.update(state='running', step=self.done, steps_total=self._total, message=line)
    print(line, flush=True)
