"""Places where defects are made, the texts that go with them, and a pipeline before its training."""

import jax
import numpy as np
import pytest

from configs import inpaint_train
from defect_jax import parallel
from defect_jax.data import dataset
from defect_jax.diffusion import finetuner, pipeline, small_model
from defect_jax.diffusion.places import Places
from defect_jax.diffusion.vocabulary import Texts
from defect_jax.errors import UserError


def areas(labels, size=16):
  images = np.stack([np.full((size, size, 3), 10 * row, np.uint8) for row in range(len(labels))])
  masks = np.zeros((len(labels), size, size), bool)
  for row in range(len(labels)):
    masks[row, 4:8, row:row + 5] = True
  files = [f'{row}.png' for row in range(len(labels))]
  return dataset.InMemory(images, list(labels), files, files, masks=masks)


@pytest.fixture
def texts():
  return Texts(('a {defect}', 'one {defect} here'), ('dent', 'crack', 'good'))


def scratch(texts, length=16):
  networks = inpaint_train.get_config('tiny').model.to_dict()
  networks['text']['length'] = length
  return finetuner.Scratch.of('run', texts, 32, **networks, dtype='float32', seed=0)


def test_texts_of_each_class_take_turns_and_the_last_is_empty(texts):
  assert texts.all == ['a dent', 'one dent here', 'a crack', 'one crack here', 'a good', 'one good here', '']
  assert texts.rows(['dent', 'dent', 'good', 'crack']).tolist() == [0, 1, 4, 3]
  with pytest.raises(UserError, match='prompts: '):
    Texts(('a {thing}',), ('dent',))


def test_texts_of_two_classes_that_the_model_sees_alike_are_refused():
  texts = Texts(('a {defect}', 'what is seen here: a {defect}'), ('dent', 'hole', 'good'))
  scratch(texts)
  with pytest.raises(UserError, match="'what is seen here: a hole' is the same to the model for dent as for hole"):
    scratch(texts, 8)


def test_places_are_good_areas_with_the_masks_of_defects_in_turn(texts):
  good, defects = areas(['good'] * 3), areas(['dent', 'crack', 'dent'])
  found = Places.of(good, defects, texts, 6, 0)
  assert found.labels == ['dent', 'crack'] * 3
  for image, mask, donor in zip(found.images, found.masks, found.donors, strict=True):
    assert round(float(image[0, 0, 0]) * 255) in (0, 10, 20)
    row = round(float(donor[0, 0, 0]) * 255) // 10
    np.testing.assert_array_equal(mask, defects.masks[row])
  again = Places.of(good, defects, texts, 6, 0)
  np.testing.assert_array_equal(found.donors, again.donors)
  alone = Places.of(good.only([]), defects, texts, 2, 0)
  assert len(alone.labels) == 2 and len(alone.images) == 2


def test_a_place_is_most_like_the_defects_own_area_where_that_is_not_marked(texts):
  good, defects = areas(['good'] * 4), areas(['dent', 'crack', 'dent'])
  good.pixels[3] = 15  # nearer to the second defect inside the mask, and nowhere else
  defects.pixels[1][defects.masks[1]] = 15
  found = Places.of(good, defects, texts, 12, 0, among=60)
  np.testing.assert_array_equal(found.images[:, 0, 0], found.donors[:, 0, 0])
  assert len({float(donor[0, 0, 0]) for donor in found.donors}) == 3


def test_cut_and_paste_is_the_donor_where_marked_and_fades_outwards(texts):
  found = Places.of(areas(['good']), areas(['dent', 'dent']), texts, 4, 0)
  pasted = found.pasted()
  np.testing.assert_allclose(pasted[found.masks], found.donors[found.masks], atol=1e-6)
  far = np.zeros_like(found.masks)
  far[:, 12:] = True  # more than 2 px away
  np.testing.assert_array_equal(pasted[far], found.images[far])
  beside = pasted[0, 3, 6] if found.masks[0, 4, 6] else pasted[0, 3, 4]  # 1 of 2 px away: two thirds of the donor
  np.testing.assert_allclose(beside, 2 / 3 * found.donors[0, 0, 0], atol=1e-6)


def test_before_training_the_autoencoder_is_untrained_too(texts):
  plan = scratch(texts)
  begin = small_model.begin(pipeline.shapes(plan.configs), 0)
  trained = jax.tree.map(lambda leaf: leaf + 0.01, begin['vae'])
  tuner = plan.finetuner(trained, texts, areas(['dent', 'good'], 32), 'float32')
  jax.tree.map(np.testing.assert_array_equal, parallel.to_host(tuner.before.params), begin)
  jax.tree.map(np.testing.assert_array_equal, parallel.to_host(tuner.model.params), begin | {'vae': trained})
  # Latents are scaled by what the trained autoencoder makes of photos, which nobody knows before.
  assert tuner.before.configs['vae']['scaling_factor'] == 1
  assert tuner.model.configs['vae']['scaling_factor'] != 1
