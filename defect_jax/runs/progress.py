"""What a person sees of a job at work."""

import time

from defect_jax.runs.folder import Stopped, Workdir

_INTERVAL = 2.0  # seconds between lines
_LEAST = 0.5  # seconds that a rate is of: photos of one batch come all at once


class ProgressBar:
  """Keeps status.json up to date and prints a line now and then, with the rate and the time left."""

  def __init__(self, workdir: Workdir, noun: str, done: int = 0):
    """`noun`: what is counted, in the singular. `done`: how many there are, those of earlier sessions included."""
    self.done, self._workdir, self._noun = done, workdir, noun
    self._began, self._spent, self._next = time.monotonic(), workdir.seconds_spent(), 0.
    self._first: tuple[int, float] | None = None  # the first call's count and time: what came before is another rate's

  def count(self, total: int) -> None:
    """One more is done; records it if a line is due. Raises Stopped if the run is to stop and something is left."""
    self.done += 1
    if self._workdir.stop_requested and self.done < total:
      raise Stopped(f'stopped at {self._noun} {self.done} of {total}; the same command goes on')
    if self._first is None or self._due(total):
      self.record(self.done, total)

  def record(self, done: int, total: int) -> None:
    """Writes a row of metrics.jsonl, {'step', 'seconds'}, and shows it."""
    self._workdir.append_metrics({'step': done, 'seconds': self._spent + time.monotonic() - self._began})
    self.show(done, total)

  def show(self, done: int, total: int, text: str = '', rate: float | None = None) -> None:
    """Shows how far the job is, with `text` at the end; `rate` per second is measured if it is not given."""
    self.done, now = done, time.monotonic()
    self._first = self._first or (done, now)
    if rate is None:
      seconds = now - self._first[1]
      rate = (done - self._first[0]) / seconds if seconds >= _LEAST else 0.
    if self._workdir.forecast and 0 < rate * _LEAST <= done:
      self._workdir.forecast.of_training(total / rate)
    line = f'{self._noun} {done}/{total}  {_speed(rate, self._noun, total - done)}{text}'.rstrip()
    self._workdir.status.update(state='running', step=done, steps_total=total, message=line)
    if self._due(total):
      print(line, flush=True)
      self._next = now + _INTERVAL

  def _due(self, total: int) -> bool:
    return self.done == total or time.monotonic() >= self._next


def speed(rate: float, noun: str) -> str:
  """Such as '12.3 photos/s', and below one per second '2.5 s/photo'."""
  return f'{rate:.1f} {noun}s/s' if rate >= 1 else f'{1 / rate:.1f} s/{noun}'


def _speed(rate: float, noun: str, left: int) -> str:
  if not rate > 0:  # nan before it is known
    return ''
  seconds = int(left / rate)
  return f'{speed(rate, noun)}  {seconds // 60}:{seconds % 60:02d} left  '
