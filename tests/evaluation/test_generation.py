"""KID, novelty and diversity against slow definitions, exact values and what must hold on average."""

import jax
import numpy as np
import pytest

from defect_jax.evaluation import generation
from defect_jax.models import features

kid_features, lpips = map(jax.jit, (features.kid_features, features.lpips))


def normal(count, seed, size=1280, shift=0.):
  return np.random.default_rng(seed).normal(size=(count, size)) + shift


def kernel(x, y):
  return (sum(p * q for p, q in zip(x.tolist(), y.tolist(), strict=True)) / len(x) + 1)**3


def slow_kid(a, b, times_a=None, times_b=None):
  """The estimate pair by pair; images drawn several times are written out, pairs of one image with itself left out."""
  i, j = (np.repeat(np.arange(len(x)), 1 if times is None else times) for x, times in ((a, times_a), (b, times_b)))
  within = [np.mean([kernel(x[p], x[q]) for p in index for q in index if p != q]) for x, index in ((a, i), (b, j))]
  return sum(within) - 2 * np.mean([kernel(a[p], b[q]) for p in i for q in j])


def test_kid_against_a_double_loop(monkeypatch):
  a, b = normal(7, 0, shift=0.5), normal(5, 1)
  expected = slow_kid(a, b)
  assert generation.kid(a, b) == pytest.approx(expected, rel=1e-9)
  monkeypatch.setattr(generation, '_ROWS', 3)  # in three pieces
  assert generation.kid(a, b) == pytest.approx(expected, rel=1e-9)


def test_kid_by_hand():
  a, b = np.array([[1.], [2.]]), np.array([[0.], [1.]])  # kernels: within a 27, within b 1, between 1, 8, 1, 27
  assert generation.kid(a, b) == 27 + 1 - 2 * 37 / 4


def test_kid_is_0_on_average_for_halves_of_one_set():
  values, rng = normal(120, 0, size=8), np.random.default_rng(1)
  estimates = []
  for _ in range(200):
    order = rng.permutation(120)
    estimates.append(generation.kid(values[order[:60]], values[order[60:]]))
  error = np.std(estimates) / np.sqrt(len(estimates))
  assert abs(np.mean(estimates)) < 3 * error
  assert min(estimates) < 0 < max(estimates)
  # The biased estimate, with k(x, x), would be far off: by about this.
  assert error < 0.1 * np.mean((np.sum(values**2, 1) / 8 + 1)**3) / 60


def test_resamples_against_their_definition():
  a, b = normal(6, 0, size=4, shift=0.5), normal(5, 1, size=4)
  rng = np.random.default_rng(3)
  times_a, times_b = rng.multinomial(6, np.full(6, 1 / 6)), rng.multinomial(5, np.full(5, 1 / 5))
  assert max(times_a) > 1
  expected = slow_kid(a, b, times_a, times_b)
  assert generation.kid_interval(a, b, seed=3, bootstraps=1) == pytest.approx((expected, expected), rel=1e-9)


def test_resamples_scatter_about_the_estimate():
  a, b = normal(40, 0, size=16, shift=0.3), normal(30, 1, size=16)
  rng = np.random.default_rng(2)
  values = generation._mmd2(a, b, *(rng.multinomial(n, np.full(n, 1 / n), 4000) for n in (40, 30)))
  assert abs(values.mean() - generation.kid(a, b)) < 4 * values.std() / np.sqrt(4000)


def test_mean_and_interval_about_the_exact_value():
  # For one feature the kernel is 1 + 3 xy + 3 (xy)^2 + (xy)^3, so the MMD is one of the first three moments.
  def moment(low, k):
    return ((low + 1)**(k + 1) - low**(k + 1)) / (k + 1)

  truth = sum(factor * (moment(0.3, k) - moment(0., k))**2 for k, factor in ((1, 3), (2, 3), (3, 1)))
  rng = np.random.default_rng(0)
  estimates, covered = [], []
  for seed in range(100):
    a, b = rng.uniform(0.3, 1.3, (150, 1)), rng.uniform(0, 1, (120, 1))
    estimates.append(generation.kid(a, b))
    low, high = generation.kid_interval(a, b, seed)
    covered.append(low <= truth <= high)
  assert abs(np.mean(estimates) - truth) < 3 * np.std(estimates) / np.sqrt(100)
  assert np.mean(covered) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 100)


def test_interval_repeats_by_seed():
  a, b = normal(20, 0), normal(30, 1)
  assert generation.kid_interval(a, b, seed=5) == generation.kid_interval(a, b, seed=5)
  assert generation.kid_interval(a, b, seed=5) != generation.kid_interval(a, b, seed=6)


def test_interval_of_two_images():
  low, high = generation.kid_interval(normal(2, 0), normal(3, 1), seed=5)  # half of the resamples hold one image twice
  assert -np.inf < low <= high < np.inf


def test_nearest_by_brute_force():
  x, y = normal(9, 0, size=20), normal(7, 1, size=20)
  expected = [min(np.sum((p - q)**2) for q in y) for p in x]
  np.testing.assert_allclose(generation.nearest(x, y), expected, rtol=1e-12)
  assert np.all(generation.nearest(y, y) == 0)


def test_novelty_and_memorised_by_hand():
  real = np.arange(1, 22) / 10  # median 1.1, 5th percentile 0.2
  assert generation.novelty(np.array([0.1, 0.55, 3]), real) == pytest.approx(0.5)
  assert generation.novelty(np.ones(3), np.zeros(4)) is None
  assert generation.memorised_fraction(np.array([0., 0.19, 0.21, 5]), real) == 0.5
  assert generation.memorised_fraction(np.zeros(3), np.zeros(4)) == 0


def test_diversity_by_brute_force():
  x = normal(11, 0, size=30).astype(np.float32)
  pairs = [np.sum((np.float64(x[i]) - x[j])**2) for i in range(11) for j in range(11) if i != j]
  assert generation.diversity([x[:4], x[4:8], x[8:]]) == pytest.approx(np.mean(pairs), rel=1e-9)
  assert generation.diversity([np.repeat(x[:1], 5, 0)]) == pytest.approx(0, abs=1e-12)


def images(count, seed, side=32, smooth=True):
  """Grey noise `[count, side, side, 1]`, coarse where `smooth`."""
  rng = np.random.default_rng(seed)
  if not smooth:
    return rng.uniform(size=(count, side, side, 1)).astype(np.float32)
  coarse = rng.uniform(size=(count, side // 8, side // 8, 1)).astype(np.float32)
  return np.repeat(np.repeat(coarse, 8, 1), 8, 2)


@pytest.fixture
def small_chunks(monkeypatch):
  """Chunks of 16 images of 32 px and blocks of 4 references, so that both are cut and padded."""
  monkeypatch.setattr(generation, '_CHUNK_PIXELS', 16 * 32 * 32)
  monkeypatch.setattr(generation, '_BLOCK_PIXELS', 4 * 32 * 32)


@pytest.fixture
def few_suffice(monkeypatch):
  monkeypatch.setattr(generation, 'LEAST_REAL', 20)


def test_measure_by_its_definitions(small_chunks, few_suffice):
  made, train, dev = images(18, 0), images(9, 1), images(20, 2)
  result = generation.measure(made, train, dev, seed=0)
  vgg16, alexnet = features.load('vgg16'), features.load('alexnet')
  a, b = (np.float64(kid_features(vgg16, photos)) for photos in (made, dev))
  assert result['kid'] == pytest.approx(generation.kid(a, b), rel=1e-4)
  assert result['kid_ci'] == pytest.approx(generation.kid_interval(a, b, seed=0), rel=1e-3)
  assert result['kid_ci'][0] < result['kid'] < result['kid_ci'][1]

  everything = np.concatenate([made, train, dev])
  pairs = np.array([lpips(alexnet, np.repeat(photo[None], 47, 0), everything) for photo in everything])
  to_train = pairs[:, 18:27].min(1)
  assert result['novelty'] == pytest.approx(np.median(to_train[:18]) / np.median(to_train[27:]), rel=1e-4)
  threshold = np.quantile(to_train[27:], 0.05)
  assert result['memorised_fraction'] == np.mean(to_train[:18] < threshold)
  assert result['diversity'] == pytest.approx(np.sum(pairs[:18, :18]) / (18 * 17), rel=1e-4)


def test_real_photos_as_made_images(small_chunks):
  train, dev = images(9, 1), images(20, 2)
  copied = generation.measure(dev, train, dev, seed=0)
  assert copied['novelty'] == 1
  assert copied['memorised_fraction'] == 0.05  # 1 of 20: what memorised means for new photos
  memorised = generation.measure(train, train, dev, seed=0)
  assert memorised['memorised_fraction'] == 1
  assert memorised['novelty'] < 1e-6
  assert copied['kid'] is None  # 20 photos are too few
  assert copied['kid_ci'] is None


def test_kid_needs_100_photos(monkeypatch):
  monkeypatch.setattr(generation, '_kid_features', lambda params, photos: photos.reshape(len(photos), -1))
  found = [generation.measure(images(3, 0), images(0, 1), images(count, 2), seed=0)['kid'] for count in (99, 100)]
  assert found[0] is None
  assert found[1] is not None


@pytest.mark.parametrize(('made', 'train', 'dev', 'side', 'missing'), [
  (3, 2, 1, 32, {'kid', 'kid_ci', 'kid_of_training', 'novelty', 'memorised_fraction'}),
  (3, 0, 2, 32, {'kid', 'kid_ci', 'kid_of_training', 'novelty', 'memorised_fraction'}),
  (1, 2, 2, 32, {'kid', 'kid_ci', 'kid_of_training', 'diversity'}),
  (3, 2, 2, 24, {'kid', 'kid_ci', 'kid_of_training', 'novelty', 'memorised_fraction', 'diversity'}),
])
def test_what_the_images_do_not_suffice_for_is_none(small_chunks, made, train, dev, side, missing):
  result = generation.measure(images(made, 0, side), images(train, 1, side), images(dev, 2, side), seed=0)
  assert {name for name, value in result.items() if value is None} == missing


def test_kid_tells_other_images_from_the_same_kind(small_chunks, few_suffice):
  dev, same, other = images(32, 0), images(32, 1), images(32, 2, smooth=False)
  train = images(4, 3)
  near, far = (generation.measure(made, train, dev[:2], seed=0, kid_dev=dev) for made in (same, other))
  assert near['kid_of_training'] == far['kid_of_training']  # whatever was made
  assert generation.measure(same, other, dev, seed=0)['kid_of_training'] == pytest.approx(far['kid'], rel=1e-4)
  assert near['kid_ci'][0] < 0 < near['kid_ci'][1]
  assert far['kid_ci'][0] > 10 * near['kid_ci'][1]
