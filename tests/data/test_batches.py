import jax
import jax.numpy as jnp
import numpy as np
import pytest

from defect_jax.data import batches, dataset

KEY = jax.random.key(3)


@pytest.fixture(scope='module')
def cells(tmp_path_factory):
  return dataset.load(source='elpv', part='pool', defects=('defective',), few_shot=25, size=16, channels=1,
                      cache=tmp_path_factory.mktemp('cache'))


@pytest.mark.parametrize(('batch', 'count'), [(4, 25), (25, 25), (10, 25), (24, 25), (1, 7)])
def test_every_epoch_takes_each_photo_once(batch, count):
  taken = np.concatenate([batches.slots(KEY, step, batch, count)[0] for step in range(3 * count // batch + 1)])
  epochs = taken[:3 * count].reshape(3, count)
  np.testing.assert_array_equal(np.sort(epochs), [range(count)] * 3)
  assert (epochs[0] != epochs[1]).any() and (epochs[1] != epochs[2]).any()
  for epoch in range(3):
    expected = jax.random.permutation(jax.random.fold_in(KEY, epoch), count)
    np.testing.assert_array_equal(epochs[epoch], expected)


def test_padding_has_no_weight():
  for step in (0, 1, 10**7):
    indices, weights = batches.slots(KEY, step, 8, 5)
    assert indices.tolist() == [0, 1, 2, 3, 4, 0, 0, 0] and weights.tolist() == [1] * 5 + [0] * 3
  assert batches.slots(KEY, 3, 5, 5)[1].tolist() == [1] * 5


def test_long_runs_do_not_overflow():
  batch, count, step = 256, 1000, 10**7 + 3
  position = step * batch  # 2,560,000,768: beyond int32
  expected = [int(jax.random.permutation(jax.random.fold_in(KEY, p // count), count)[p % count])
              for p in (position, position + 255)]
  indices, _ = jax.jit(batches.slots, static_argnums=(2, 3))(KEY, step, batch, count)
  assert [int(indices[0]), int(indices[255])] == expected
  beyond_uint32 = 2**31 - 2
  indices, _ = batches.slots(KEY, beyond_uint32, batch, count)
  p = beyond_uint32 * batch
  assert int(indices[0]) == int(jax.random.permutation(jax.random.fold_in(KEY, p // count), count)[p % count])


def test_slots_are_the_same_on_every_device_and_under_jit():
  plain = batches.slots(KEY, 5, 10, 25)
  jitted = jax.jit(batches.slots, static_argnums=(2, 3))
  for device in jax.devices():
    for ours, theirs in zip(plain, jitted(jax.device_put(KEY, device), jnp.int32(5), 10, 25), strict=True):
      np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(('key', 'batch', 'dtype'), [
    (KEY, 10, np.float32), (KEY, 32, np.uint16), (jax.random.PRNGKey(3), 7, np.uint16)])
def test_streaming_equals_resident_bit_for_bit(cells, key, batch, dtype):
  images = jnp.asarray(cells.images(dtype))
  step_batch = jax.jit(lambda images, key, step: batches.gather(images, *batches.slots(key, step, batch, len(cells))))
  for start in (0, 6):
    streamed = batches.Streamed(cells, key, batch, start)
    for step, theirs in zip(range(start, start + 5), streamed, strict=False):
      ours = step_batch(images, key, step)
      assert ours.keys() == theirs.keys() == {'image', 'weight', 'index'}
      for name in ours:
        assert ours[name].dtype == theirs[name].dtype
        assert np.asarray(ours[name]).tobytes() == theirs[name].tobytes(), (name, step)
    streamed.close()


def test_a_batch_holds_the_photos_it_names(cells):
  images = cells.images()
  batch = batches.gather(jnp.asarray(images), *batches.slots(KEY, 2, 10, 25))
  for image, index in zip(batch['image'], batch['index'], strict=True):
    np.testing.assert_array_equal(image, images[index])


def test_uint16_conversion_is_the_same_on_host_and_device():
  values = np.arange(65536, dtype=np.uint16)
  on_device = jax.jit(lambda v: batches.gather(v, jnp.arange(65536), None)['image'])(values)
  assert np.asarray(on_device).tobytes() == dataset.as_float(values).tobytes()


def test_balanced_batches_hold_every_class_equally_often():
  members = jnp.array([[0, 1, 2, 3, 4], [5, 6, 0, 0, 0], [7, 0, 0, 0, 0]])
  counts = jnp.array([5, 2, 1])
  seen = []
  for step in range(200):
    indices, weights = batches.balanced(jax.random.key(0), step, 7, members, counts)
    assert np.all(weights == 1)
    by_class = np.histogram(indices, [0, 5, 7, 8])[0]
    assert sorted(by_class) == [2, 2, 3]
    seen.append(np.asarray(indices))
  often = np.bincount(np.concatenate(seen), minlength=8)
  # 1400 slots: 467 a class within one, each of them spread over its photos.
  assert np.abs(np.array([often[:5].sum(), often[5:7].sum(), often[7]]) - 1400 / 3).max() <= 1
  assert often[:5].min() > 60 and often[5:7].min() > 190


def test_a_balanced_slot_depends_on_key_step_and_slot_alone():
  members, counts = jnp.arange(8).reshape(2, 4), jnp.array([4, 4])
  few, many = (batches.balanced(jax.random.key(1), 3, batch, members, counts)[0] for batch in (4, 8))
  assert few.tolist() == many[:4].tolist()
  assert few.tolist() != batches.balanced(jax.random.key(2), 3, 4, members, counts)[0].tolist()


def test_members_are_listed_by_class():
  members, counts = batches.members_of(np.array([1, 0, 1, 1]))
  assert counts.tolist() == [1, 3] and members[1].tolist() == [0, 2, 3] and members[0, 0] == 1
