"""What a person sees of a training while it runs."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from defect_jax.runs.folder import Workdir

_INTERVAL = 2.0  # seconds between lines


class TrainingProgress:
  """Called with each logged row: prints a line now and then, keeps status.json up to date, hands the row on."""

  def __init__(self, workdir: Workdir, total: int, hand_on: Callable[[Mapping[str, Any]], None]):
    self._status, self._total, self._hand_on = workdir.status, total, hand_on
    self._next = 0.

  def __call__(self, row: Mapping[str, Any], rate: float) -> None:
    """rate: steps per second, nan before it is known."""
    self._hand_on(row)
    line = self._line(row, rate)
    self._status.update(state='running', step=row['step'], steps_total=self._total, message=line)
    if time.monotonic() >= self._next or row['step'] == self._total:
      print(line, flush=True)
      self._next = time.monotonic() + _INTERVAL

  def _line(self, row, rate):
    speed = ''
    if rate > 0:
      left = int((self._total - row['step']) / rate)
      speed = f'{rate:.1f} steps/s  {left // 60}:{left % 60:02d} left  '
    return f'step {row["step"]}/{self._total}  {speed}{losses(row)}'


def losses(row: Mapping[str, Any]) -> str:
  """Every loss that has a target, with it; `loss` where none has."""
  with_target = [name.removeprefix('target/') for name in row if name.startswith('target/')]
  if not with_target:
    return f'loss {row["train/loss"]:.4f}'
  return '  '.join(_loss(name.upper(), row[f'train/{name}'], row[f'target/{name}']) for name in sorted(with_target))


def _loss(name, value, target):
  if target >= 1:
    return f'{name} {value:.2f} (target {target:.4g})'
  return f'{name} {value:.3e} (target {target:.3e})'
