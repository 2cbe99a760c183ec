"""What made defects are measured by: places, squares around what is marked, fillings by hand."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from configs import inpaint_train
from defect_jax.config import UserError
from defect_jax.data import dataset
from defect_jax.diffusion import small_model
from defect_jax.tasks import inpaint_train as task
from defect_jax.tasks.inpaint_train import learners, material, measures, stages


def areas(labels, size=16):
  images = np.stack([np.full((size, size, 3), 10 * row, np.uint8) for row in range(len(labels))])
  masks = np.zeros((len(labels), size, size), bool)
  for row in range(len(labels)):
    masks[row, 4:8, row:row + 5] = True
  files = [f'{row}.png' for row in range(len(labels))]
  return dataset.InMemory(images, list(labels), files, files, masks=masks)


@pytest.fixture
def config():
  config = inpaint_train.get_config('tiny')
  config.data.classes = ('dent', 'crack', 'good')
  config.prompts = ('a {defect}', 'one {defect} here')
  return config


def test_texts_of_each_class_take_turns_and_the_last_is_empty(config):
  texts = material.Texts(config)
  assert texts.all == ['a dent', 'one dent here', 'a crack', 'one crack here', 'a good', 'one good here', '']
  assert texts.rows(['dent', 'dent', 'good', 'crack']).tolist() == [0, 1, 4, 3]
  config.prompts = ('a {thing}',)
  with pytest.raises(UserError, match='prompts: '):
    material.Texts(config)


def test_texts_of_two_classes_that_the_model_sees_alike_are_refused(config):
  config.data.classes, config.prompts = ('dent', 'hole', 'good'), ('a {defect}', 'what is seen here: a {defect}')
  texts = material.Texts(config)
  learners.configs_of(config, texts)
  config.model.text.length = 8
  with pytest.raises(UserError, match="'what is seen here: a hole' is the same to the model for dent as for hole"):
    learners.configs_of(config, texts)


def test_what_a_training_comes_from_is_known_again():
  def digest(train=0, dev=1, weights='c0ffee'):
    sets = (None if of is None else dataset.InMemory(np.full((2, 4, 4, 3), of, np.uint8), ['dent', 'good'],
                                                     masks=np.ones((2, 4, 4), bool)) for of in (train, dev))
    return task.Material(None, *sets, weights).digest().tobytes()

  assert digest() == digest()
  assert len({digest(), digest(train=1), digest(dev=2), digest(dev=None), digest(weights=''), digest(weights='b')}) == 6


def test_places_are_good_areas_with_the_marks_of_defects_in_turn(config):
  good, defects = areas(['good'] * 3), areas(['dent', 'crack', 'dent'])
  found = measures.places(good, defects, material.Texts(config), 6, 0)
  assert found.labels == ['dent', 'crack'] * 3
  for image, mark, donor in zip(found.images, found.marks, found.donors, strict=True):
    assert round(float(image[0, 0, 0]) * 255) in (0, 10, 20)
    row = round(float(donor[0, 0, 0]) * 255) // 10
    np.testing.assert_array_equal(mark, defects.masks[row])
  again = measures.places(good, defects, material.Texts(config), 6, 0)
  np.testing.assert_array_equal(found.donors, again.donors)
  alone = measures.places(good.only([]), defects, material.Texts(config), 2, 0)
  assert len(alone.labels) == 2 and len(alone.images) == 2


def test_a_place_is_most_like_the_defects_own_area_where_that_is_not_marked(config):
  good, defects = areas(['good'] * 4), areas(['dent', 'crack', 'dent'])
  good.pixels[3] = 15  # nearer to the second defect inside the mark, and nowhere else
  defects.pixels[1][defects.masks[1]] = 15
  found = measures.places(good, defects, material.Texts(config), 12, 0, among=60)
  np.testing.assert_array_equal(found.images[:, 0, 0], found.donors[:, 0, 0])
  assert len({float(donor[0, 0, 0]) for donor in found.donors}) == 3


def test_cut_and_paste_is_the_donor_where_marked_and_fades_outwards(config):
  found = measures.places(areas(['good']), areas(['dent', 'dent']), material.Texts(config), 4, 0)
  pasted = found.pasted()
  np.testing.assert_allclose(pasted[found.marks], found.donors[found.marks], atol=1e-6)
  far = np.zeros_like(found.marks)
  far[:, 12:] = True  # more than 2 px away
  np.testing.assert_array_equal(pasted[far], found.images[far])
  beside = pasted[0, 3, 6] if found.marks[0, 4, 6] else pasted[0, 3, 4]  # 1 of 2 px away: two thirds of the donor
  np.testing.assert_allclose(beside, 2 / 3 * found.donors[0, 0, 0], atol=1e-6)


def test_a_square_is_around_the_mark_as_wide_as_the_margin_says():
  rows, columns = np.mgrid[:64, :64]
  image = np.float32(np.stack([rows, columns, 0 * rows], -1)[None]) / 64
  mark = np.zeros((1, 64, 64), bool)
  mark[0, 20:30, 20:40] = True
  square = measures.squares(image, mark, 1.2, 24)[0] * 64  # 24 px, from row 13 and column 18 on
  np.testing.assert_allclose(square[:, 0, 0], np.arange(13, 37), atol=1e-4)
  np.testing.assert_allclose(square[0, :, 1], np.arange(18, 42), atol=1e-4)
  mark[0] = False
  mark[0, 0, 63] = True  # 16 px at least, inside the area
  corner = measures.squares(image, mark, 1.2, 16)[0] * 64
  np.testing.assert_allclose((corner[0, 0, :2], corner[-1, -1, :2]), ((0, 48), (15, 63)), atol=1e-4)


def test_before_training_the_autoencoder_is_untrained_too(config, monkeypatch, tmp_path):
  texts = material.Texts(config)
  configs, tokenizer = learners.configs_of(config, texts)
  begin = small_model.begin(configs, config.seed)
  trained = jax.tree.map(lambda leaf: leaf + 0.01, begin['vae'])
  monkeypatch.setattr(stages, 'fit_autoencoder', lambda *_: (trained, {}))
  learner, _ = learners.from_scratch(config, SimpleNamespace(root=tmp_path), texts, areas(['dent', 'good'], 32),
                                     configs, tokenizer)
  jax.tree.map(np.testing.assert_array_equal, learner.before.params, begin)
  jax.tree.map(np.testing.assert_array_equal, learner.model.params, begin | {'vae': trained})
  # Latents are scaled by what the trained autoencoder makes of photos, which nobody knows before.
  assert learner.before.configs['vae']['scaling_factor'] == 1
  assert learner.model.configs['vae']['scaling_factor'] != 1
