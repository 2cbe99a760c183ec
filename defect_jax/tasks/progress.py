"""How far a production of images is: rows of metrics.jsonl, status.json and a line now and then."""

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
