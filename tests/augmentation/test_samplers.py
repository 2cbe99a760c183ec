"""Samplers against the distributions that they claim to draw from."""

import jax
import numpy as np
import pytest
from scipy import stats

from defect_jax.augmentation import samplers
from defect_jax.config import UserError
from defect_jax.models.vae import Posterior

SETTINGS = {'temperature': 1.0, 'neighbours': 1, 'components': 2, 'seed': 0, 'brightness': np.arange(4.)}


def posterior(count=4, latent=2):
  rng = np.random.default_rng(0)
  return Posterior(np.float32(10 * rng.normal(size=(count, latent))), np.float32(rng.uniform(-3, -1, (count, latent))))


def draw(name, of, count=4000, **changes):
  keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(1), i))(np.arange(count, dtype=np.uint32))
  drawn = jax.jit(samplers.make(name, of, **SETTINGS | changes))(keys)
  return np.asarray(drawn.z), np.asarray(drawn.photo), np.asarray(drawn.partner)


@pytest.mark.parametrize('temperature', [1., 0.5])
def test_prior(temperature):
  z, photo, partner = draw('prior', posterior(), temperature=temperature)
  assert stats.kstest(z.ravel() / temperature, 'norm').pvalue > 1e-3
  assert (photo == -1).all() and (partner == -1).all()


@pytest.mark.parametrize('temperature', [1., 0.5])
def test_posterior_is_that_of_the_photo_it_names(temperature):
  of = posterior()
  z, photo, partner = draw('posterior', of, temperature=temperature)
  assert (partner == -1).all()
  assert stats.chisquare(np.bincount(photo, minlength=4)).pvalue > 1e-3
  noise = (z - of.mean[photo]) / (np.exp(0.5 * of.logvar[photo]) * temperature)
  assert stats.kstest(noise.ravel(), 'norm').pvalue > 1e-3


def test_interpolations_without_noise_lie_between_nearest_neighbours():
  # On a line at 0, 1, 5, 6: the nearest of 0 is 1, of 5 is 6, and the other way round.
  of = Posterior(np.array([[0.], [1.], [5.], [6.]], np.float32), np.full((4, 1), -20., np.float32))
  z, photo, partner = draw('interpolate', of, temperature=1e-6)
  np.testing.assert_array_equal(partner, np.array([1, 0, 3, 2])[photo])
  pair = np.where(photo < 2, 0., 5.)
  place = z[:, 0] - pair
  assert (place > -1e-4).all() and (place < 1 + 1e-4).all()
  assert stats.kstest(place, 'uniform').pvalue > 1e-3


def test_mixture_of_two_heaps():
  rng = np.random.default_rng(3)
  heaps = np.concatenate([rng.normal(-5, 0.3, (60, 1)), rng.normal(4, 1.0, (20, 1))])
  z, photo, partner = draw('gmm', Posterior(np.float32(heaps), np.zeros((80, 1), np.float32)))
  low = z[z < 0]
  assert (photo == -1).all() and (partner == -1).all() and len(low) / len(z) == pytest.approx(0.75, abs=0.03)
  assert low.mean() == pytest.approx(heaps[:60].mean(), abs=0.05) and low.std() == pytest.approx(0.3, abs=0.06)
  assert z[z > 0].std() == pytest.approx(heaps[60:].std(), abs=0.1)


def test_a_mosaic_is_the_posteriors_of_two_photos_alike_in_brightness():
  of = Posterior(np.array([[0.], [1.], [5.], [6.]], np.float32), np.full((4, 1), -20., np.float32))
  keys = jax.random.split(jax.random.key(2), 2000)
  changes = {'temperature': 1e-6, 'brightness': np.array([1., 9., 8., 2.])}
  drawn = jax.jit(samplers.make('mosaic', of, **SETTINGS | changes))(keys)
  np.testing.assert_allclose(drawn.z, of.mean[drawn.photo], atol=1e-4)
  np.testing.assert_allclose(drawn.other.z, of.mean[drawn.partner], atol=1e-4)
  np.testing.assert_array_equal(drawn.partner, np.array([3, 2, 1, 0])[drawn.photo])
  assert stats.kstest(drawn.other.angle / (2 * np.pi), 'uniform').pvalue > 1e-3
  assert stats.kstest(2 * drawn.other.offset + 0.5, 'uniform').pvalue > 1e-3  # a quarter of the side either way


def test_pieces_are_joined_along_the_line_with_one_brightness():
  first = np.full((3, 10, 10, 1), 0.4, np.float32)
  second = np.stack([np.full((10, 10, 1), level, np.float32) for level in (0.2, 0.6, 0.1)])
  second[:, :, ::2] *= 1.5
  second[:, :, 1::2] *= 0.5
  # Normals to the right, downwards, to the right; the second piece begins 0.1 of the side right of the centre, so at
  # column 6, at row 5 and at column 6. Far from the line each image is its own: the second times 2, 2 / 3 and, since
  # more than a doubling would be noise, 2.
  joined = np.asarray(samplers.join(first, second, np.array([0, np.pi / 2, 0]), np.array([0.1, 0., 0.1])))
  np.testing.assert_allclose(joined[:, :, 0][:, 0], 0.4, atol=1e-4)
  np.testing.assert_allclose(joined[0, 3, 8:, 0], [0.6, 0.2], atol=1e-4)
  np.testing.assert_allclose(joined[1, 9, :2, 0], [0.6, 0.2], atol=1e-4)
  np.testing.assert_allclose(joined[2, 3, 8:, 0], [0.3, 0.1], atol=1e-4)
  # Column 5 has its centre half a pixel, 0.05 of the side, left of the line: a share of 1 / (1 + e^(0.05 / 0.02)).
  share = 1 / (1 + np.exp(2.5))
  np.testing.assert_allclose(joined[0, 3, 5, 0], (1 - share) * 0.4 + share * 0.2, atol=1e-5)


@pytest.mark.parametrize('name', samplers.NAMES)
def test_an_image_depends_on_its_key_alone(name):
  for many, few in zip(draw(name, posterior(), 50), draw(name, posterior(), 7), strict=True):
    np.testing.assert_array_equal(many[:7], few)


@pytest.mark.parametrize(('name', 'change', 'reason'), [
  ('gmm', {'components': 5}, r'sampler\.components = 5: more than the 4 photos'),
  ('interpolate', {'neighbours': 4}, r'sampler\.neighbours = 4: a photo of 4 has 3 others')])
def test_refusals(name, change, reason):
  with pytest.raises(UserError, match=reason):
    draw(name, posterior(), **change)
