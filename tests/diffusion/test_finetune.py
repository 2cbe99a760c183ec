"""The losses of an inpainting pipeline by hand, on a model that is simple enough."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from defect_jax.diffusion import finetune, masks, schedulers, small_model


class Stub:
  """Predicts `output` everywhere, and remembers what it was shown."""
  scheduler = small_model.VELOCITY

  def __init__(self, output):
    self.output = output

  def predict(self, params, latents, timestep, encoded, context, remat):
    del remat
    self.seen = {'latents': latents, 'timestep': timestep, 'encoded': encoded, 'context': context}
    return jnp.full(latents.shape, self.output)

  def embed(self, params, ids):
    return params * jnp.float32(ids)


def batch(count=8, side=4):
  rng = np.random.default_rng(0)
  mask = np.zeros((count, side, side), np.float32)
  mask[:, :2] = 1
  return {'original': np.float32(rng.normal(size=(count, side, side, 2))), 'text': np.arange(count, dtype=np.int32) % 2,
          'masked': np.zeros((count, side, side, 2), np.float32), 'mask': mask}


def value(stub, outside=0.25, drop=0., examples=None):
  """(error `[b]`, {part: weights `[b]`}) of examples."""
  examples = examples or batch()
  keys, slots = jax.random.split(jax.random.key(3), 8)[:len(examples['text'])], np.arange(len(examples['text']))
  model = finetune.Denoising(stub, outside, drop)
  inputs = model.inputs(examples, keys, slots)
  error = model.error({'text_encoder': 10.}, {'ids': np.int32([[1], [2], [7]])}, inputs)
  return error, {part: finetune.DENOISING_LOSSES[f'loss_t{part}'].weight(inputs | {'error': error})
                 for part in range(finetune.RANGES)}


def test_each_slot_draws_from_its_own_quarter_of_the_schedule():
  stub = Stub(0.)
  _, weights = value(stub)
  assert (np.asarray(stub.seen['timestep']) // 250).tolist() == [0, 1, 2, 3] * 2
  assert [np.flatnonzero(weights[part]).tolist() for part in range(4)] == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_the_loss_is_of_the_velocity_and_mostly_of_what_is_marked():
  stub, examples = Stub(0.5), batch()
  values, _ = value(stub, examples=examples)
  signal2 = schedulers.signal2(small_model.VELOCITY)[np.asarray(stub.seen['timestep'])][:, None, None, None]
  noise = (np.asarray(stub.seen['latents']) - np.sqrt(signal2) * examples['original']) / np.sqrt(1 - signal2)
  velocity = np.sqrt(signal2) * noise - np.sqrt(1 - signal2) * examples['original']
  squares = ((0.5 - velocity)**2).mean(-1)
  wanted = (squares[:, :2].sum((1, 2)) + 0.25 * squares[:, 2:].sum((1, 2))) / (8 + 0.25 * 8)
  np.testing.assert_allclose(values, wanted, rtol=2e-3)


@pytest.mark.parametrize(('drop', 'contexts'), [(0., [10, 20] * 4), (1., [70] * 8)])
def test_texts_are_those_of_the_examples_or_left_out(drop, contexts):
  stub = Stub(0.)
  value(stub, drop=drop)
  assert np.asarray(stub.seen['context'])[:, 0].tolist() == contexts


def test_noise_belongs_to_a_slot_whatever_the_batch():
  examples = batch()
  whole, _ = value(Stub(0.), examples=examples)
  alone, _ = value(Stub(0.), examples={name: array[:4] for name, array in examples.items()})
  np.testing.assert_allclose(alone, whole[:4], rtol=1e-6)


def test_what_is_made_anew_in_training_covers_the_defect_or_is_a_blob():
  rng, mask = np.random.default_rng(0), np.zeros((32, 32), bool)
  assert masks.covering(rng, mask, (1, 2), (0.3, 0.3)).any()
  mask[10, 10] = True
  assert np.array_equal(masks.covering(rng, mask, (0, 0), (0.3, 0.3)), mask)
  wide = masks.covering(rng, mask, (2, 2), (0.3, 0.3))
  assert wide[8:13, 8:13].all() and wide.sum() == 25


def test_a_coarse_mask_is_the_ellipse_through_the_corners_of_the_defects_box():
  mask = np.zeros((8, 8), bool)
  mask[2, 2], mask[5, 5] = True, True  # a box of 4 x 4, so a circle of radius 2 sqrt(2) about (4, 4)
  around = masks.covering(np.random.default_rng(0), mask, (0, 0), (0.3, 0.3), coarse=1.)
  assert around.sum(1).tolist() == [0, 2, 4, 6, 6, 4, 2, 0]
  assert np.array_equal(around, around.T) and around[1, 3:5].all()


def test_where_the_ellipse_would_leave_nothing_to_go_by_the_defect_is_covered_closely():
  mask = np.eye(8, dtype=bool)
  assert np.array_equal(masks.covering(np.random.default_rng(0), mask, (0, 0), (0.3, 0.3), coarse=1.), mask)


def test_of_blobs_the_one_on_the_most_salient_part_is_taken():
  salience = np.zeros((32, 32), np.float32)
  salience[24:28, 4:8] = 1
  blob = masks.covering(np.random.default_rng(0), np.zeros((32, 32), bool), (1, 2), (0.2, 0.3), salience, tries=200)
  assert blob[24:28, 4:8].all()


def test_all_of_a_salient_defect_is_made_anew_and_no_other():
  salience = np.zeros((64, 64), np.float32)
  salience[30:33, 8:50] = 1  # longer than any blob
  salience[50:54, 50:54] = 0.5  # another one, apart
  for seed in range(5):
    rng, none = np.random.default_rng(seed), np.zeros((64, 64), bool)
    whole = masks.covering(rng, none, (2, 2), (0.1, 0.15), salience, tries=200)
    assert whole[28:35, 6:52].all() and not whole[50:54, 50:54].any()


def test_where_all_is_salient_the_blob_stays():
  salience, none = np.ones((32, 32), np.float32), np.zeros((32, 32), bool)
  whole = masks.covering(np.random.default_rng(0), none, (1, 2), (0.2, 0.3), salience, tries=4)
  assert 0 < whole.sum() < 0.2 * whole.size
