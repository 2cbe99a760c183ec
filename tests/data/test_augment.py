import jax
import jax.numpy as jnp
import numpy as np
import pytest

from defect_jax.data import augment as augmentation

IMAGES = jnp.asarray(np.random.default_rng(0).random((32, 12, 12, 1), np.float32))
KEYS = jax.random.split(jax.random.key(1), 32)
EVERYTHING = {'flip_horizontal': True, 'flip_vertical': True, 'shift': 3, 'brightness': 0.1}


def augment(images, keys, **options):
  return np.asarray(jax.jit(lambda i, k: augmentation.augment(i, k, **options))(images, keys))


def test_off_is_identity():
  np.testing.assert_array_equal(augment(IMAGES, KEYS), IMAGES)


@pytest.mark.parametrize(('option', 'axis'), [('flip_horizontal', 1), ('flip_vertical', 0)])
def test_flips_half_of_the_images(option, axis):
  result, flipped = augment(IMAGES, KEYS, **{option: True}), 0
  for before, after in zip(np.asarray(IMAGES), result, strict=True):
    mirrored = np.array_equal(after, np.flip(before, axis))
    assert mirrored or np.array_equal(after, before)
    flipped += mirrored
  assert 6 < flipped < 26  # 32 fair coins: outside with probability 5e-4, and the keys are fixed


def test_shifts_are_crops_of_the_reflected_image():
  result, seen = augment(IMAGES, KEYS, shift=2), set()
  for before, after in zip(np.asarray(IMAGES), result, strict=True):
    padded = np.pad(before, ((2, 2), (2, 2), (0, 0)), mode='reflect')
    found = [(y, x) for y in range(5) for x in range(5) if np.array_equal(padded[y:y + 12, x:x + 12], after)]
    assert len(found) == 1
    seen.add(found[0])
  assert {y for y, _ in seen} == {x for _, x in seen} == set(range(5))  # both extremes, both axes, apart


def test_brightness_adds_one_number_an_image_and_clips():
  middle = IMAGES * 0.5 + 0.25
  change = augment(middle, KEYS, brightness=0.2) - middle
  np.testing.assert_allclose(change, np.broadcast_to(change[:, :1, :1], change.shape), atol=1e-6)
  amounts = change[:, 0, 0, 0]
  assert np.abs(amounts).max() <= 0.2 and amounts.min() < -0.1 and amounts.max() > 0.1
  clipped = augment(IMAGES, KEYS, brightness=0.9)
  assert clipped.min() == 0 and clipped.max() == 1


def test_an_image_depends_on_its_own_key_only():
  together = augment(IMAGES, KEYS, **EVERYTHING)
  order = np.random.default_rng(1).permutation(32)
  np.testing.assert_array_equal(augment(IMAGES[order], KEYS[order], **EVERYTHING), together[order])
  np.testing.assert_array_equal(augment(IMAGES[5:6], KEYS[5:6], **EVERYTHING), together[5:6])
  on_devices = jax.pmap(lambda i, k: augmentation.augment(i, k, **EVERYTHING))
  devices = max(d for d in (1, 2, 4, 8) if d <= jax.local_device_count())
  parts = on_devices(IMAGES.reshape(devices, -1, 12, 12, 1), KEYS.reshape(devices, -1))
  np.testing.assert_array_equal(np.asarray(parts).reshape(together.shape), together)


def test_a_noise_patch_changes_a_part_of_each_image_by_its_own_key():
  def noise_patch(images, keys, strength=0.4):
    return np.asarray(jax.jit(lambda i, k: augmentation.noise_patch(i, k, strength=strength, grain=4))(images, keys))
  np.testing.assert_array_equal(noise_patch(IMAGES, KEYS, 0.0), IMAGES)
  made = noise_patch(IMAGES, KEYS)
  same = np.mean(made == np.asarray(IMAGES), (1, 2, 3))
  assert 0.3 < same.mean() < 0.7  # the sign of the second noise decides
  assert (same > 0).mean() > 0.9 and (same < 1).all() and made.min() >= 0 and made.max() <= 1
  np.testing.assert_allclose(noise_patch(IMAGES[5:7], KEYS[5:7]), made[5:7], atol=1e-6)


def test_turns_are_by_right_angles_and_all_four_come():
  image = np.random.default_rng(0).uniform(size=(5, 5, 1)).astype(np.float32)
  turned = np.asarray(augmentation.augment(np.repeat(image[None], 40, 0), jax.random.split(jax.random.key(0), 40),
                                           turn=True))
  wanted = [np.rot90(image, times) for times in range(4)]
  assert {next(k for k in range(4) if np.array_equal(one, wanted[k])) for one in turned} == {0, 1, 2, 3}


def test_contrast_keeps_the_mean_and_stays_within_its_bounds():
  image = np.float32([[0.4, 0.6], [0.5, 0.5]])[None, ..., None]
  varied = np.asarray(augmentation.augment(np.repeat(image, 100, 0), jax.random.split(jax.random.key(0), 100),
                                           contrast=0.2))
  np.testing.assert_allclose(varied.mean((1, 2, 3)), 0.5, atol=1e-6)
  factors = (varied[:, 0, 1, 0] - 0.5) / 0.1
  assert 0.8 <= factors.min() < 0.85 and 1.15 < factors.max() <= 1.2


def test_a_flip_says_nothing_of_the_rotation():
  image = np.zeros((16, 16, 1), np.float32)
  image[1, 8] = 1  # above the middle: it goes to the left or to the right
  keys = jax.random.split(jax.random.key(0), 64)
  flipped = augment(np.stack([image] * 64), keys, flip_vertical=True)[:, 14, 8, 0] > 0
  turned = augment(np.stack([image] * 64), keys, rotate=40)
  left = turned[:, :, :8].sum((1, 2, 3)) > turned[:, :, 9:].sum((1, 2, 3))
  assert {(bool(a), bool(b)) for a, b in zip(flipped, left, strict=True)} == {(a, b) for a in (0, 1) for b in (0, 1)}


def test_a_rotation_leaves_the_centre_where_it_is():
  image = np.zeros((9, 9, 1), np.float32)
  image[4, 4] = 1
  turned = np.asarray(augmentation.augment(np.repeat(image[None], 10, 0), jax.random.split(jax.random.key(0), 10),
                                           rotate=30.))
  np.testing.assert_allclose(turned[:, 4, 4, 0], 1, atol=1e-5)
