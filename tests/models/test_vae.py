"""Values of encoder and decoder: standardisation, mean image, patches, precision, blocks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import decomposition

from defect_jax.models import vae as models
from defect_jax.models.normalization import Normalizer


@pytest.fixture(scope='module', autouse=True)
def quick_compiles():
  """What these tests compute takes microseconds; what XLA optimizes it for takes seconds."""
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)


def make(size=16, channels=1, patch=2, widths=(4, 6), blocks=0, latent=3, activation='silu', dtype='float32'):
  return models.Vae(size=size, channels=channels, patch=patch, widths=widths, blocks=blocks, latent=latent,
                    activation=activation, dtype=dtype)


def normalizer(vae, scale=0.1):
  center = np.random.default_rng(1).uniform(size=(vae.size, vae.size, vae.channels))
  return Normalizer(jnp.asarray(center, jnp.float32), jnp.float32(scale))


def images(vae, count=3):
  shape = (count, vae.size, vae.size, vae.channels)
  return jnp.asarray(np.random.default_rng(2).uniform(size=shape), jnp.float32)


def init(vae, seed=0):
  return jax.jit(vae.init)(jax.random.key(seed))


def encode(vae, *arguments):
  return jax.jit(vae.encode)(*arguments)


def decode(vae, *arguments):
  return jax.jit(vae.decode)(*arguments)


def test_shuffle_and_unshuffle_by_an_index_table():
  for patch, channels in ((2, 1), (2, 3), (4, 1), (3, 2)):
    x = np.random.default_rng(0).normal(size=(2, 3, 2, patch * patch * channels)).astype(np.float32)
    expected = np.empty((2, 3 * patch, 2 * patch, channels), np.float32)
    for row in range(3 * patch):
      for column in range(2 * patch):
        for channel in range(channels):
          source = ((row % patch) * patch + column % patch) * channels + channel
          expected[:, row, column, channel] = x[:, row // patch, column // patch, source]
    np.testing.assert_array_equal(models.pixel_shuffle(jnp.asarray(x), patch), expected)
    np.testing.assert_array_equal(models.pixel_unshuffle(jnp.asarray(expected), patch), x)


def test_standardisation_is_undone_exactly():
  """Images and constants moved and stretched alike leave the posterior as it is; the decoder's output follows them."""
  vae = make()
  params, constants, batch = init(vae), normalizer(make()), images(make())
  moved = Normalizer(3 * constants.mean + 0.5, 3 * constants.std)
  plain, other = (encode(vae, params['encoder'], c, x) for c, x in ((constants, batch), (moved, 3 * batch + 0.5)))
  np.testing.assert_allclose(other.mean, plain.mean, atol=1e-4)
  np.testing.assert_allclose(other.logvar, plain.logvar, atol=1e-4)
  z = plain.mean
  np.testing.assert_allclose(decode(vae, params['decoder'], moved, z),
                             3 * decode(vae, params['decoder'], constants, z) + 0.5, atol=1e-5)
  # The network itself sees (image - center) / scale.
  direct = vae.encoder.apply({'params': params['encoder']}, (batch - constants.mean) / constants.std)
  np.testing.assert_allclose(plain.mean, direct.mean, atol=1e-6)


def test_without_scale_the_decoder_gives_the_mean_image():
  vae = make()
  constants = normalizer(vae, scale=0.)
  recon = decode(vae, init(vae)['decoder'], constants, jnp.ones((2, 3)))
  np.testing.assert_array_equal(recon, np.broadcast_to(constants.mean, recon.shape))


@pytest.mark.parametrize('seed', range(3))
def test_an_untrained_decoder_gives_about_the_mean_image(seed):
  vae = make(size=32, patch=4, widths=(8, 16, 32), latent=16)
  constants = normalizer(vae)
  z = jax.random.normal(jax.random.key(seed), (20, 16))
  away = (decode(vae, init(vae, seed)['decoder'], constants, z) - constants.mean) / constants.std
  assert 0 < float(jnp.sqrt(jnp.mean(away**2))) < 1.5
  assert abs(float(away.mean())) < 0.3


def test_log_variances_stay_bounded_and_begin_at_minus_3():
  vae = make()
  params, constants = init(vae)['encoder'], normalizer(make())
  neutral = params | {'logvar': jax.tree.map(jnp.zeros_like, params['logvar'])}
  np.testing.assert_array_equal(encode(vae, neutral, constants, images(vae)).logvar, np.full((3, 3), -3.))
  for push, bound in ((1e6, 2.), (-1e6, -8.)):
    pushed = params | {'logvar': params['logvar'] | {'bias': jnp.full(3, push)}}
    np.testing.assert_allclose(encode(vae, pushed, constants, images(vae)).logvar, np.full((3, 3), bound), atol=1e-5)


def test_a_sample_is_mean_plus_deviation_times_noise():
  posterior = models.Posterior(jnp.array([[1., -2.]]), jnp.log(jnp.array([[4., 0.25]])))
  np.testing.assert_allclose(posterior.sample(jnp.array([[0.5, -1.]])), [[2., -2.5]], rtol=1e-6)


def test_modules_have_separate_parameters_and_examples_do_not_mix():
  vae = make(blocks=1)
  params, constants, batch = init(vae), normalizer(make()), images(make())
  assert params.keys() == {'encoder', 'decoder'}
  assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
  plain = encode(vae, params['encoder'], constants, batch)
  other = encode(vae, params['encoder'], constants, batch.at[1].set(0.))
  np.testing.assert_allclose(other.mean[::2], plain.mean[::2], atol=1e-6)
  assert np.abs(other.mean[1] - plain.mean[1]).max() > 1e-3
  # Every pixel reaches the posterior, and z every pixel.
  by_pixel = jax.grad(lambda x: encode(vae, params['encoder'], constants, x).mean.sum())(batch)
  assert (by_pixel != 0).all()
  spread = jax.jacobian(lambda z: decode(vae, params['decoder'], constants, z[None])[0])(plain.mean[0])
  assert (np.abs(spread).max(-1) > 0).all()


@pytest.mark.parametrize('side', ['encoder', 'decoder'])
def test_new_blocks_are_identities(side):
  """With the parameters of a network without blocks beside the blocks' own, the outputs are the same."""
  plain, deep = make(), make(blocks=2)
  constants, shallow = normalizer(plain), init(plain)
  params = init(deep, seed=4)[side]
  assert sorted(params.keys() - shallow[side].keys())[0].startswith('block_0_0')
  params = params | shallow[side]
  if side == 'encoder':
    got, expected = (encode(vae, tree, constants, images(plain)).mean
                     for vae, tree in ((deep, params), (plain, shallow[side])))
  else:
    z = jax.random.normal(jax.random.key(1), (2, 3))
    got, expected = (decode(vae, tree, constants, z) for vae, tree in ((deep, params), (plain, shallow[side])))
  np.testing.assert_array_equal(got, expected)


def test_bfloat16_is_close_to_float32_and_its_heads_are_float32():
  exact, rough = make(), make(dtype='bfloat16')
  params, constants = init(exact), normalizer(exact)
  a, b = (encode(vae, params['encoder'], constants, images(exact)) for vae in (exact, rough))
  assert b.mean.dtype == b.logvar.dtype == jnp.float32
  difference = np.abs(a.mean - b.mean).max() / np.abs(a.mean).max()
  assert 1e-6 < difference < 0.03
  x, y = (decode(vae, params['decoder'], constants, a.mean) for vae in (exact, rough))
  assert y.dtype == jnp.float32
  assert 1e-6 < float(jnp.abs(x - y).max() / jnp.abs(x - constants.mean).max()) < 0.05


@pytest.mark.parametrize(('size', 'patch', 'widths', 'channels'), [
  (32, 4, (4, 6), 3), (48, 2, (4, 4, 6), 1), (64, 1, (4, 4), 1), (128, 4, (4, 4, 6), 1), (256, 8, (4, 6), 3)])
def test_sizes_and_colours(size, patch, widths, channels):
  """Shapes, the coarsest scale, and that center and scale stand around what the decoder makes."""
  vae = make(size=size, patch=patch, widths=widths, channels=channels)
  params = init(vae)
  coarsest = size // (patch * 2**(len(widths) - 1))
  assert coarsest == size // models.factor(patch, widths)
  assert params['encoder']['mean']['kernel'].shape == (coarsest**2 * widths[-1], 3)
  assert params['decoder']['spread']['kernel'].shape == (3, coarsest**2 * widths[-1])
  constants, batch = normalizer(vae, scale=1e-6), images(vae, 2)
  posterior = encode(vae, params['encoder'], constants, constants.mean + 1e-6 * batch)
  assert posterior.mean.shape == (2, 3)
  np.testing.assert_allclose(decode(vae, params['decoder'], constants, posterior.mean),
                             np.broadcast_to(constants.mean, batch.shape), atol=1e-4)


def test_a_size_the_stages_do_not_divide():
  with pytest.raises(ValueError, match='multiple of 8'):
    make(size=50, patch=4, widths=(4, 6))


@pytest.mark.parametrize('activation', models.ACTIVATIONS)
def test_activations(activation):
  by_hand = {'silu': lambda x: x / (1 + np.exp(-x)), 'relu': lambda x: np.maximum(x, 0), 'tanh': np.tanh,
             'elu': lambda x: np.where(x > 0, x, np.expm1(x)),
             'gelu': lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))}
  x = np.linspace(-3, 3, 13)
  np.testing.assert_allclose(models.ACTIVATIONS[activation](jnp.asarray(x, jnp.float32)), by_hand[activation](x),
                             atol=1e-6)


def test_linear_parts_that_begin_as_a_pca_give_its_reconstruction():
  random = np.random.default_rng(0)
  photos = (0.5 + 0.1 * random.normal(size=(40, 3)) @ random.normal(size=(3, 64))
            + 0.01 * random.normal(size=(40, 64))).astype(np.float32).reshape(40, 8, 8, 1)
  fitted = decomposition.PCA(3, svd_solver='full').fit(photos.reshape(40, -1))
  normalizer = Normalizer(jnp.asarray(photos.mean(0)), jnp.float32(photos.var(0).mean() ** 0.5))
  vae = models.Vae(8, 1, 2, (4, 6), 0, 5, 'silu', linear=True)
  params = vae.begin_linear(vae.init(jax.random.key(0)), normalizer,
                            jnp.asarray(fitted.components_, jnp.float32),
                            jnp.asarray(fitted.explained_variance_ ** 0.5, jnp.float32))
  mean = vae.encode(params['encoder'], normalizer, photos).mean
  np.testing.assert_allclose(np.std(mean, 0, ddof=1), [1, 1, 1, 0, 0], atol=1e-3)
  expected = fitted.inverse_transform(fitted.transform(photos.reshape(40, -1))).reshape(photos.shape)
  np.testing.assert_allclose(vae.decode(params['decoder'], normalizer, mean), expected, atol=1e-4)
