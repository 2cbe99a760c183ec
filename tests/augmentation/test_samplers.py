"""Samplers against the distributions that they claim to draw from."""

import jax
import numpy as np
import pytest
from scipy import stats

from defect_jax.augmentation import samplers
from defect_jax.config import UserError
from defect_jax.models.vae import Posterior

SETTINGS = {'temperature': 1.0, 'neighbours': 1, 'components': 2, 'seed': 0}


def posterior(count=4, latent=2):
  rng = np.random.default_rng(0)
  return Posterior(np.float32(10 * rng.normal(size=(count, latent))), np.float32(rng.uniform(-3, -1, (count, latent))))


def draw(name, of, count=4000, **changes):
  keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(1), i))(np.arange(count, dtype=np.uint32))
  drawn = jax.jit(samplers.make(name, of, **SETTINGS | changes))(keys)
  return np.asarray(drawn.z), np.asarray(drawn.photo)


@pytest.mark.parametrize('temperature', [1., 0.5])
def test_prior(temperature):
  z, photo = draw('prior', posterior(), temperature=temperature)
  assert stats.kstest(z.ravel() / temperature, 'norm').pvalue > 1e-3
  assert (photo == -1).all()


@pytest.mark.parametrize('temperature', [1., 0.5])
def test_posterior_is_that_of_the_photo_it_names(temperature):
  of = posterior()
  z, photo = draw('posterior', of, temperature=temperature)
  assert stats.chisquare(np.bincount(photo, minlength=4)).pvalue > 1e-3
  noise = (z - of.mean[photo]) / (np.exp(0.5 * of.logvar[photo]) * temperature)
  assert stats.kstest(noise.ravel(), 'norm').pvalue > 1e-3


def test_interpolations_without_noise_lie_between_nearest_neighbours():
  # On a line at 0, 1, 5, 6: the nearest of 0 is 1, of 5 is 6, and the other way round.
  of = Posterior(np.array([[0.], [1.], [5.], [6.]], np.float32), np.full((4, 1), -20., np.float32))
  z, photo = draw('interpolate', of, temperature=1e-6)
  pair = np.where(photo < 2, 0., 5.)
  place = z[:, 0] - pair
  assert (place > -1e-4).all() and (place < 1 + 1e-4).all()
  assert stats.kstest(place, 'uniform').pvalue > 1e-3


def test_mixture_of_two_heaps():
  rng = np.random.default_rng(3)
  heaps = np.concatenate([rng.normal(-5, 0.3, (60, 1)), rng.normal(4, 1.0, (20, 1))])
  z, photo = draw('gmm', Posterior(np.float32(heaps), np.zeros((80, 1), np.float32)))
  low = z[z < 0]
  assert (photo == -1).all() and len(low) / len(z) == pytest.approx(0.75, abs=0.03)
  assert low.mean() == pytest.approx(heaps[:60].mean(), abs=0.05) and low.std() == pytest.approx(0.3, abs=0.06)
  assert z[z > 0].std() == pytest.approx(heaps[60:].std(), abs=0.1)


@pytest.mark.parametrize('name', samplers.NAMES)
def test_an_image_depends_on_its_key_alone(name):
  z, photo = draw(name, posterior(), 50)
  few, few_photo = draw(name, posterior(), 7)
  np.testing.assert_array_equal(z[:7], few)
  np.testing.assert_array_equal(photo[:7], few_photo)


@pytest.mark.parametrize(('name', 'change', 'reason'), [
  ('gmm', {'components': 5}, r'sampler\.components = 5: more than the 4 photos'),
  ('interpolate', {'neighbours': 4}, r'sampler\.neighbours = 4: a photo of 4 has 3 others')])
def test_refusals(name, change, reason):
  with pytest.raises(UserError, match=reason):
    draw(name, posterior(), **change)
