"""What looks at a training from time to time, adds metrics, and may end it."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import numpy as np
from flax import serialization

from defect_jax.training.routing import Params
from defect_jax.training.trainer import TrainState

Row = dict[str, Any]


class Callback(Protocol):
  """What `fit` asks at every evaluation. Its state is a dict of arrays, always of the same shapes."""

  def evaluate(self, state: TrainState, step: int) -> Row:
    """Metrics of a state without a device axis."""

  def state_dict(self) -> dict[str, Any]:
    """What a checkpoint holds beside the state; names are unlike those of other callbacks."""
    return {}

  def restore(self, kept: Mapping[str, Any]) -> None:
    """Goes on from what `state_dict` gave."""
    return None

  def done(self) -> bool:
    """Whether to end before the last step."""
    return False


class Evaluation(Callback):
  """Evaluates, and nothing else."""

  def __init__(self, measure: Callable[[TrainState, int], Row]):
    self._measure = measure

  def evaluate(self, state: TrainState, step: int) -> Row:
    return self._measure(state, step)


class EarlyStopping(Callback):
  """Keeps the parameters of the lowest loss on held-out data; ends after `patience` evaluations without a lower one.

  `step` and `loss` are those of the best evaluation so far; a patience of 0 never ends a training.
  """

  def __init__(self, measure: Callable[[Params], tuple[float, Row]], params: Params, patience: int):
    """measure: parameters to (loss, metrics). params: like those to be kept."""
    self._measure, self._patience = measure, patience
    self.params, self.loss, self.step, self._since = params, float('inf'), 0, 0

  def evaluate(self, state: TrainState, step: int) -> Row:
    loss, row = self._measure(state.result)
    self._since += 1
    if loss < self.loss:
      self.params, self.loss, self.step, self._since = jax.device_get(state.result), loss, step, 0
    return row

  def state_dict(self) -> dict[str, Any]:
    return {'params': serialization.to_state_dict(self.params), 'loss': np.float64(self.loss),
            'step': np.int32(self.step), 'since': np.int32(self._since)}

  def restore(self, kept: Mapping[str, Any]) -> None:
    self.params = serialization.from_state_dict(self.params, kept['params'])
    self.loss, self.step, self._since = float(kept['loss']), int(kept['step']), int(kept['since'])

  def done(self) -> bool:
    return bool(self._patience and self._since >= self._patience)
