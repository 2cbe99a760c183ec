"""Measures against values worked out by hand and against slow definitions written out again."""

import numpy as np
import pytest
from scipy import ndimage

from defect_jax.evaluation import latent


def test_active_units_counts_variances_from_0_01_on():
  means = np.zeros((4, 4))
  means[:, 0] = [1, -1, 1, -1]  # variance 1
  means[:, 1] = [0.1001, -0.1001, 0.1001, -0.1001]  # just above 0.01
  means[:, 2] = [0.099, -0.099, 0.099, -0.099]  # just below
  means[:, 3] = 5  # far from 0, but the same for all photos
  assert latent.active_units(means) == 2


@pytest.mark.parametrize(('active', 'size', 'mse', 'expected'), [
  (2, 20, 0.5, False), (1, 20, 0.5, True), (1, 10, 0.5, False), (0, 4, 0.5, True), (20, 20, 0.95, False),
  (20, 20, 0.951, True),
])
def test_collapsed(active, size, mse, expected):
  assert latent.collapsed(active, size, mse, variance=1.) is expected


def photos(count=3, size=24, channels=1):
  return np.random.default_rng(0).uniform(size=(count, size, size, channels)).astype(np.float32)


@pytest.mark.parametrize(('share', 'expected'), [(1, 1.), (0, 0.), (0.5, 0.5), (-1, -1.)])
def test_detail_kept_is_the_share_of_the_residual(share, expected):
  images = photos()
  center = images.mean(0)
  assert latent.detail_kept(images, center + share * (images - center), center) == pytest.approx(expected, abs=1e-5)


def test_blurred_reconstructions_keep_little_detail():
  images = photos()
  center = images.mean(0)
  blurred = center + ndimage.gaussian_filter(images - center, (0, 3, 3, 0))
  assert abs(latent.detail_kept(images, blurred, center)) < 0.1


def slow_detail_kept(images, recon, center):
  """The contract's sentence, pixel by pixel, with the Gaussian written out (reflected borders, cut at 4 sigma)."""
  offsets = np.arange(-8, 9)
  kernel = np.exp(-offsets**2 / 8.)
  kernel /= kernel.sum()

  def blurred(plane):
    wide = np.pad(plane, 8, mode='symmetric')
    return np.array([[kernel @ wide[y:y + 17, x:x + 17] @ kernel for x in range(plane.shape[1])]
                     for y in range(plane.shape[0])])

  shares = []
  for photo, image in zip(images, recon, strict=True):
    planes = [[residual[..., c] - blurred(residual[..., c]) for c in range(photo.shape[-1])]
              for residual in (photo.astype(float) - center, image.astype(float) - center)]
    pairs = sorted(zip(np.ravel(planes[0]), np.ravel(planes[1]), strict=True), key=lambda pair: -abs(pair[0]))
    top = np.array(pairs[:round(0.02 * len(pairs))])
    shares.append(top[:, 0] @ top[:, 1] / (top[:, 0] @ top[:, 0]))
  return np.median(shares)


@pytest.mark.parametrize('channels', [1, 3])
def test_detail_kept_against_its_definition(channels):
  images = photos(size=20, channels=channels)
  center = images.mean(0)
  noise = np.random.default_rng(1).normal(size=images.shape).astype(np.float32)
  recon = center + np.array([0.9, 0.3, 0.6]).reshape(3, 1, 1, 1) * (images - center) + 0.05 * noise
  assert latent.detail_kept(images, recon, center) == pytest.approx(slow_detail_kept(images, recon, center), abs=0.01)


def slow_steps_to_targets(kld, mse, kld_target, mse_target):
  first = None
  for step in range(50, len(kld) + 1):
    near = abs(kld[step - 50:step].mean() / kld_target[step - 1] - 1) <= 0.05
    low = mse[step - 50:step].mean() <= 1.05 * mse_target[step - 1]
    first = (first or step) if near and low else None
  return first


def test_steps_to_targets_by_hand():
  steps = 200
  good, low = np.full(steps, 10.), np.full(steps, 0.5)
  assert latent.steps_to_targets(good, low, 10., 1.) == 50  # from the start: the first whole window
  assert latent.steps_to_targets(good, 3 * low, 10., 1.) is None  # never
  assert latent.steps_to_targets(good[:49], low[:49], 10., 1.) is None  # no whole window
  late = good.copy()
  late[:100] = 20.  # 50 steps from 100 on hold k tens: mean 20 - 10 k / 50 <= 10.5 from k = 48 on
  assert latent.steps_to_targets(late, low, 10., 1.) == 148
  last = good.copy()
  last[:152] = 20.  # k = 48 only in the very last window
  assert latent.steps_to_targets(last, low, 10., 1.) == 200
  fallen = good.copy()
  fallen[-3:] = 20.  # three of 50: mean 10.6
  assert latent.steps_to_targets(fallen, low, 10., 1.) is None
  assert latent.steps_to_targets(good * 0.94, low, 10., 1.) is None  # a KLD below counts as off, an MSE below does not
  assert latent.steps_to_targets(good, low * 1e-3, 10., 1.) == 50


def test_steps_to_targets_follows_changed_targets():
  kld, mse = np.full(200, 10.), np.full(200, 1.)
  target = np.where(np.arange(200) < 120, 20., 10.)  # step 121 is the first with the new target
  assert latent.steps_to_targets(kld, mse, target, np.ones(200)) == 121


@pytest.mark.parametrize('seed', range(4))
def test_steps_to_targets_against_its_definition(seed):
  rng = np.random.default_rng(seed)
  kld = 10 + 4 * np.exp(-np.arange(400) / 60) + rng.normal(size=400)
  mse = 1 + 3 * np.exp(-np.arange(400) / 40) + 0.3 * rng.normal(size=400)
  targets = np.full(400, 10.), np.full(400, 1.)
  expected = slow_steps_to_targets(kld, mse, *targets)
  assert latent.steps_to_targets(kld, mse, *targets) == expected
  assert latent.steps_to_targets(kld, mse, 10., 1.) == expected


@pytest.mark.parametrize(('figures', 'words'), [
  ({}, []), ({'active': 1}, ['only 1 of 20']), ({'mse': 0.96}, ['the MSE 0.96']),
  ({'information': 0.1}, ['0.1 nats on which photo']), ({'information': 0.16}, []),
  ({'active': 0, 'mse': 1., 'information': -1e-9}, ['only 0 of 20', 'the MSE 1', 'holds 0 nats'])])
def test_collapse_signs_name_what_they_saw(figures, words):
  healthy = {'active': 20, 'latent': 20, 'mse': 0.01, 'variance': 1., 'information': 3.0, 'log_n': 3.0}
  signs = latent.collapse_signs(**healthy | figures)
  assert len(signs) == len(words) and all(word in sign for word, sign in zip(words, signs, strict=True))
