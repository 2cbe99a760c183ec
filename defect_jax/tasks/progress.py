"""How far a run is: rows of metrics.jsonl, status.json and a line now and then."""

import time

_INTERVAL = 2.0  # seconds between lines


class Progress:
  """`on_progress` of production.produce; `compile_seconds` are left out of the rate."""

  def __init__(self, workdir, began, chunk):
    """began: by time.monotonic. chunk: images between two calls."""
    self._workdir, self._began, self._chunk, self._next, self.compile_seconds = workdir, began, chunk, 0., 0.
    self._before = None
    workdir.cut_back(-1)

  def __call__(self, done, total):
    seconds = time.monotonic() - self._began
    self._workdir.append_metrics({'step': done, 'seconds': seconds})
    if self._before is None:  # what an earlier session made was not made at this rate
      self._before = max(done - self._chunk, 0)
    rate = (done - self._before) / max(seconds - self.compile_seconds, 1e-9)
    left = f'{(total - done) / rate:.0f} s left' if rate > 0 else 'starting'
    line = f'image {done}/{total}  {rate:.{0 if rate >= 10 else 2}f} images/s  {left}'
    self._workdir.status.update(state='running', step=done, steps_total=total, message=line)
    if time.monotonic() >= self._next or done == total:
      print(line, flush=True)
      self._next = time.monotonic() + _INTERVAL


class Training:
  """Called with each logged row: prints a line now and then, keeps status.json up to date, hands the row on."""

  def __init__(self, workdir, total, hand_on):
    self._status, self._total, self._hand_on = workdir.status, total, hand_on
    self._next = 0.

  def __call__(self, row, rate):
    """Takes a row of metrics and the rate in steps a second."""
    self._hand_on(row)
    line = self.line(row, rate)
    self._status.update(state='running', step=row['step'], steps_total=self._total, message=line)
    if time.monotonic() >= self._next or row['step'] == self._total:
      print(line, flush=True)
      self._next = time.monotonic() + _INTERVAL

  def line(self, row, rate):
    """The progress line of a row."""
    speed = ''
    if rate > 0:  # nan before it is known
      left = int((self._total - row['step']) / rate)
      speed = f'{rate:.1f} steps/s  {left // 60}:{left % 60:02d} left  '
    return f'step {row["step"]}/{self._total}  {speed}{self.losses(row)}'

  def losses(self, row):
    """What the line says of the losses."""
    return f'loss {row["train/loss"]:.4f}'
