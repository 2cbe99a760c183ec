"""The few words of parallel, on the eight virtual devices of the tests."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from defect_jax import parallel


def test_the_tests_see_eight_devices():
  assert parallel.devices() == 8


@pytest.mark.parametrize(('batch', 'expected'), [(1, 8), (8, 8), (9, 16), (25, 32)])
def test_padded(batch, expected):
  assert parallel.padded(batch) == expected


def test_slots_and_shards_cut_a_batch_alike():
  slots = parallel.pmap(lambda _: parallel.own_slots(25))(jnp.zeros(8))
  np.testing.assert_array_equal(slots, np.arange(32).reshape(8, 4))
  np.testing.assert_array_equal(parallel.shard({'x': np.arange(32)})['x'], slots)


def test_sum_over_devices_reaches_all_of_them():
  total = parallel.pmap(lambda x: parallel.sum_over_devices({'a': x, 'b': (2 * x,)}))(jnp.arange(8.))
  np.testing.assert_array_equal(total['a'], np.full(8, 28.))
  np.testing.assert_array_equal(total['b'][0], np.full(8, 56.))


def test_replicated_and_back_is_the_same_bits():
  tree = {'a': np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32), 'step': np.int32(7)}
  copies = parallel.replicate(tree)
  assert {shard.device for shard in copies['a'].addressable_shards} == set(jax.local_devices())
  for device in range(8):
    np.testing.assert_array_equal(copies['a'][device], tree['a'])
  back = jax.device_get(parallel.first(copies))
  np.testing.assert_array_equal(back['a'], tree['a'])
  assert back['step'] == 7 and back['step'].dtype == np.int32


def test_chunks_are_of_one_size_and_padding_is_left_out():
  arrays = {'a': np.arange(5.), 'b': np.arange(10).reshape(5, 2)}
  shapes = []

  def function(chunk):
    shapes.append(jax.tree.map(np.shape, chunk))
    return chunk['a'] + 1, chunk['b'].sum(1) + jnp.sum(chunk['a'])

  firsts = [first for first, _ in parallel.chunks(function, arrays, 2)]
  assert [part.tolist() for part in firsts] == [[1, 2], [3, 4], [5]]
  a, b = parallel.in_chunks(function, arrays, 2)
  assert a.tolist() == [1, 2, 3, 4, 5] and isinstance(a, np.ndarray)
  assert b.tolist() == [1 + 1, 5 + 1, 9 + 5, 13 + 5, 17 + 4]  # the padding is zeros: it adds nothing to the sum
  assert shapes == 6 * [{'a': (2,), 'b': (2, 2)}]
