"""What a person sees of a training while it runs."""

import time

_INTERVAL = 2.0  # seconds between lines


class Progress:
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
    return (f'step {row["step"]}/{self._total}  {speed}KLD {row["train/kld"]:.2f} (target {row["target/kld"]:.4g})  '
            f'MSE {row["train/mse"]:.3e} (target {row["target/mse"]:.3e})')
