"""Early stopping: what it keeps, when it ends a training, and that a resumed one goes on alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from defect_jax.training.callbacks import EarlyStopping
from defect_jax.training.trainer import TrainState

LOSSES = (3., 1., 2., 1., 0.5)


def stopping(patience):
  """Its loss is the parameter itself."""
  return EarlyStopping(lambda params: (float(params['w']), {'eval/loss': float(params['w'])}), {'w': np.zeros(())},
                       patience)


def evaluate(callback, losses, first=1):
  return [(callback.evaluate(TrainState(step, {'w': np.array(loss)}, {}, (), {}), step), callback.done())
          for step, loss in enumerate(losses, first)]


def test_the_first_of_the_lowest_losses_is_kept_and_patience_counts_from_it():
  callback = stopping(2)
  rows = evaluate(callback, LOSSES[:4])
  assert rows == [({'eval/loss': loss}, done) for loss, done in zip(LOSSES, (False, False, False, True), strict=False)]
  assert (callback.params['w'], callback.loss, callback.step) == (1., 1., 2)
  evaluate(callback, LOSSES[4:], 5)
  assert (callback.params['w'], callback.loss, callback.step, callback.done()) == (0.5, 0.5, 5, False)


def test_the_running_mean_of_the_parameters_is_what_is_kept():
  callback = stopping(1)
  callback.evaluate(TrainState(1, {'w': np.array(7.)}, {'w': np.array(2.)}, (), {}), 1)
  assert callback.params['w'] == callback.loss == 2


def test_a_patience_of_0_never_ends():
  assert not any(done for _, done in evaluate(stopping(0), [1.] * 50))


@pytest.mark.parametrize('cut', range(len(LOSSES) + 1))
def test_restored_at_any_evaluation_it_goes_on_as_if_never_stopped(cut):
  whole, before, after = (stopping(2) for _ in range(3))
  rows = evaluate(whole, LOSSES)
  assert evaluate(before, LOSSES[:cut]) == rows[:cut]
  after.restore(before.state_dict())
  assert evaluate(after, LOSSES[cut:], cut + 1) == rows[cut:]
  assert after.state_dict() == whole.state_dict()


def test_what_is_kept_is_of_no_device():
  callback = stopping(2)
  callback.evaluate(TrainState(1, {'w': jnp.ones(())}, {}, (), {}), 1)
  assert not any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(callback.state_dict()))
