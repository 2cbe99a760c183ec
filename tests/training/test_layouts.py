"""Checkpoints of versions before: read in today's layout, and gone on from."""

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from defect_jax.errors import UserError
from defect_jax.losses import Loss
from defect_jax.models.normalization import Normalizer
from defect_jax.runs.folder import Workdir
from defect_jax.training import checkpoint, fit, layouts, routing
from defect_jax.training.trainer import Trainer

PARAMS = {'network': {'stem': {'kernel': jnp.arange(6.).reshape(2, 3)}}, 'head': {'bias': jnp.ones(3)}}
OPTIMIZER = optax.adamw(0.1, mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params))
DATA = '00' * 31 + '07'


class Constant:
  """A model whose output is the sum of its parameters."""

  def inputs(self, batch, keys, slots):
    return batch

  def outputs(self, params, state, batch):
    return {'sum': sum(jnp.sum(leaf) for leaf in jax.tree.leaves(params)) + 0 * batch['x']}


def saved_before(steps):
  """A checkpoint as versions before laid it out, after some steps of AdamW on gradients of 1."""
  params, state = PARAMS, OPTIMIZER.init(PARAMS)
  for _ in range(steps):
    updates, state = OPTIMIZER.update(jax.tree.map(jnp.ones_like, params), state, params)
    params = optax.apply_updates(params, updates)
  kept = {'step': np.int32(steps), 'params': params, 'average': params, 'opt_state': state, 'frozen': {}}
  return params, {'state': {'descent': flax.serialization.to_state_dict(jax.device_get(kept)), 'watch': {},
                            'seen': np.frombuffer(bytes.fromhex(DATA), np.uint8)},
                  'history': {'train/loss': np.arange(steps, dtype=np.float32)}, 'request': np.int32(4)}


def test_an_optimizer_without_streams_goes_on_as_one_of_streams(tmp_path):
  params, saved = saved_before(3)
  workdir = Workdir(tmp_path / 'run')
  checkpoint.save(workdir, 3, saved)
  trainer = Trainer(Constant(), {'loss': Loss(('sum',), lambda outputs: outputs['sum'])},
                    routing.whole('loss', PARAMS, OPTIMIZER), jax.random.key(0), decay=0.5, warm=True)
  fresh = trainer.init(PARAMS)
  _, tree = checkpoint.restore(workdir, lambda step: {
      'state': fresh.state_dict(), 'callbacks': {}, 'data': np.zeros(32, np.uint8),
      'history': {'train/loss': np.zeros(step, np.float32)}, 'request': np.int32(0)})
  assert int(tree['request']) == 4 and tree['history']['train/loss'].tolist() == [0, 1, 2]
  state = fresh.restore(tree['state'])
  ones = {name: {path: jnp.ones_like(leaf) for path, leaf in chosen.items()}
          for name, chosen in routing.select(trainer.streams, PARAMS).items()}
  after, _ = trainer.update(state, {'loss': jnp.float32(0)}, ones)
  expected, _ = saved_before(4)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), after.params, expected)
  assert int(after.step) == 4 and jax.tree.structure(after.params) == jax.tree.structure(expected)
  jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b), state.params, params)


def test_constants_of_a_vae_under_their_old_names():
  old = {'state': {'step': 1, 'params': {}, 'standard': {'center': 'mean image', 'scale': 'deviation'}},
         'history': {}, 'request': 0}
  new = layouts.current(old)
  assert new['state'] == {'step': 1, 'params': {}, 'normalizer': {'mean': 'mean image', 'std': 'deviation'}}
  np.testing.assert_array_equal(new['data'], layouts.UNKNOWN)
  assert layouts.current(new) == new


def test_a_loss_that_was_not_in_the_history_is_nan_there(tmp_path):
  workdir = Workdir(tmp_path / 'run')
  checkpoint.save(workdir, 2, {'state': {'x': np.zeros(1)}, 'history': {'train/kld': np.float32([1, 2])}})
  _, tree = checkpoint.restore(workdir, lambda step: {'state': {'x': np.zeros(1)}, 'history': {
      name: np.full(step, np.nan, np.float32) for name in ('train/kld', 'train/lpips')}})
  assert tree['history']['train/kld'].tolist() == [1, 2] and np.isnan(tree['history']['train/lpips']).all()


@pytest.mark.parametrize(('mean', 'kept', 'same'), [
  (0.5, None, True), (0.6, None, False), (0.6, DATA, True),
  # Another processor scales photos to other last bits, so the digest alone refuses nothing.
  (0.500002, DATA[:-1] + '8', True), (0.50001, DATA[:-1] + '8', False)])
def test_the_same_photos_by_their_digest_or_else_by_their_mean_image(mean, kept, same):
  state = Trainer(Constant(), {}, routing.whole('loss', PARAMS, OPTIMIZER), jax.random.key(0)).init(
      PARAMS, normalizer=Normalizer(jnp.full((2, 2, 1), mean), jnp.float32(1)))

  def check():
    fit._check_same(kept, DATA, {'mean': np.full((2, 2, 1), 0.5, np.float32)}, state)
  if same:
    check()
  else:
    with pytest.raises(UserError, match='the photos are others than those that the run began with'):
      check()
