"""Metrics for TensorBoard, by clu.metric_writers in a thread of their own.

clu imports TensorFlow, which takes seconds: the thread does that while the run is already training.
"""

import queue
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import logging


class Events:
  """Writes rows {'step': int, name: number} to events.* files of a folder; texts are left out."""

  def __init__(self, folder: str | Path):
    self._folder = str(folder)
    self._rows: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
    self._thread = threading.Thread(target=self._write, name='events', daemon=True)
    self._thread.start()

  def add(self, row: Mapping[str, Any]) -> None:
    self._rows.put(row)

  def close(self) -> None:
    """Waits until all rows are written."""
    self._rows.put(None)
    self._thread.join()

  def _write(self):
    try:
      import tensorflow as tf
      from clu import metric_writers
      tf.config.set_visible_devices([], 'GPU')  # JAX owns the accelerators
      writer = metric_writers.SummaryWriter(self._folder)
      for row in iter(self._rows.get, None):
        scalars = {name: value for name, value in row.items() if name != 'step' and not isinstance(value, str)}
        writer.write_scalars(row['step'], scalars)
      writer.close()
    except Exception as error:  # the same rows stand in metrics.jsonl; a full disk is reported from there
      logging.warning('no more events for TensorBoard: %s', error)
