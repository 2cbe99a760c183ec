"""Photos in memory, and whether photos are those that a run began with."""

import dataclasses
import hashlib

import numpy as np
import pytest

from defect_jax.config import UserError
from defect_jax.data import dataset


@pytest.mark.parametrize('dtype', [np.float32, np.uint16, np.uint8])
def test_images_are_given_as_training_takes_them(dtype):
  levels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 1), np.uint8)
  pixels = {np.uint8: levels, np.uint16: levels * np.uint16(257), np.float32: np.float32(levels) / 255}[dtype]
  given = dataset.InMemory(pixels)
  assert len(given) == 3 and given.shape == pixels.shape and given.nbytes == 2 * 3 * 16 * 16
  np.testing.assert_array_equal(given[1], levels[1] * np.uint16(257))
  np.testing.assert_allclose(given.images(), levels / 255, rtol=0, atol=1e-7)
  assert given[1].dtype == np.uint16 and given.images().dtype == np.float32


@pytest.fixture
def three():
  pixels = np.arange(3, dtype=np.float32).reshape(3, 1, 1, 1) / 4
  return dataset.InMemory(pixels, np.array([0, 1, 2]), ['a', 'b', 'c'], ['x', 'x', 'y'], ['0', '1', '2'],
                          np.array([True, False, True]).reshape(3, 1, 1))


@pytest.mark.parametrize(('rows', 'chosen'), [
  ([2, 1], [2, 1]), (np.array([False, True, True]), [1, 2]), ([], []), (np.zeros(3, bool), [])])
def test_some_of_the_photos(three, rows, chosen):
  some = three.only(rows)
  assert len(some) == len(chosen) and some.labels.tolist() == chosen and some.files == ['abc'[row] for row in chosen]
  assert (some.pixels.ravel() * 4).tolist() == chosen and some.groups == ['xxy'[row] for row in chosen]
  assert some.masks.ravel().tolist() == [row != 1 for row in chosen] and some.sha256 == [str(row) for row in chosen]


def test_sets_are_joined_in_order(three):
  both = dataset.InMemory.joined([three, three.only([1])])
  assert both.files == ['a', 'b', 'c', 'b'] and both.labels.tolist() == [0, 1, 2, 1]
  assert (both.pixels.ravel() * 4).tolist() == [0, 1, 2, 1]


def test_the_digest_is_of_pixels_masks_and_labels(three):
  expected = hashlib.sha256(three.pixels.tobytes() + three.masks.tobytes() + three.labels.tobytes()).hexdigest()
  assert three.digest() == expected
  assert dataset.digest(three.only([0]), three.only([1])) != dataset.digest(three.only([1]), three.only([0]))


def test_photos_are_those_of_before_by_digest_or_else_by_the_mean_image(three):
  other = dataset.InMemory(three.pixels[::-1].copy(), three.labels)  # the same mean image
  mean = dataset.mean_image(three)
  dataset.check_same(three, three.digest(), None)
  for digest in (None, three.digest()):
    dataset.check_same(other, digest, mean)
  for photos, digest, center in ((other, three.digest(), mean + 1e-5), (three, None, mean + 1e-5)):
    with pytest.raises(UserError, match='the photos are others than those that the run began with'):
      dataset.check_same(photos, digest, center)


def test_what_the_user_should_know_is_said_once(three):
  skipped = dataset.Skipped('d.png', 'is empty (0 bytes)')
  noted = dataclasses.replace(three, skipped=(skipped,), notes=('few',))
  assert dataset.lines(noted, three, noted) == ['skipped d.png: is empty (0 bytes)', 'few']


def test_too_many_skipped_photos_are_refused():
  skipped = [dataset.Skipped('d.png', 'is empty'), dataset.Skipped('e.png', 'is truncated')]
  dataset.check_skipped(skipped, 20, 0.1)
  with pytest.raises(UserError, match=r'^d.png: is empty \(and 1 more of 19 chosen photos\); replace or remove it'):
    dataset.check_skipped(skipped, 19, 0.1)
