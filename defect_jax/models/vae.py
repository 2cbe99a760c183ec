"""Convolutional VAE: encoder and decoder are separate modules with separate parameters.

Both work on normalized images, (image - mean) / std with the training set's mean image and the root of its variance
about it. So a set of faint differences and one of strong ones look alike to optimizer and controller, and an untrained
decoder gives about the mean image.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from defect_jax.models.normalization import Normalizer

Images = Float[Array, 'b s s c']
ACTIVATIONS = {'silu': nn.silu, 'gelu': nn.gelu, 'relu': nn.relu, 'elu': nn.elu, 'tanh': nn.tanh}

# log-variances lie within these bounds: steps that overshoot them made the KLD jump by hundreds of nats.
_LOGVAR_CENTER, _LOGVAR_REACH = -3.0, 5.0


class Posterior(NamedTuple):
  """Diagonal Gaussian over z, float32."""
  mean: Float[Array, 'b z']
  logvar: Float[Array, 'b z']

  def sample(self, noise: Float[Array, 'b z']) -> Float[Array, 'b z']:
    """z for standard normal noise."""
    return self.mean + jnp.exp(0.5 * self.logvar) * noise


class Block(nn.Module):
  """Two convolutions added to their input."""
  activation: str
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Float[Array, 'b h w width']) -> Float[Array, 'b h w width']:
    act = ACTIVATIONS[self.activation]
    y = nn.Conv(x.shape[-1], (3, 3), dtype=self.dtype)(act(x))
    # Zeros: a new block passes its input on, so that depth does not change how a training begins.
    return x + nn.Conv(x.shape[-1], (3, 3), dtype=self.dtype, kernel_init=nn.initializers.zeros)(act(y))


class Encoder(nn.Module):
  """Normalized image to Posterior: patches become channels, then each stage halves the side.

  Convolutions on patches instead of pixels, since those on large images of few channels are slow for what they do.
  """
  vae: 'Vae'

  @nn.compact
  def __call__(self, image: Images) -> Posterior:
    vae, act, dtype = self.vae, ACTIVATIONS[self.vae.activation], jnp.dtype(self.vae.dtype)
    x = pixel_unshuffle(image, vae.patch)
    for stage, width in enumerate(vae.widths[1:]):
      x = act(nn.Conv(width, (3, 3), (2, 2), dtype=dtype, name=f'down_{stage}')(x))
      for block in range(vae.blocks):
        x = Block(vae.activation, dtype, name=f'block_{stage}_{block}')(x)
    # The heads stay float32: KLD and noise are made of them.
    x = x.reshape(x.shape[0], -1).astype(jnp.float32)
    mean, logvar = (nn.Dense(vae.latent, name=name)(x) for name in ('mean', 'logvar'))
    if vae.linear:
      mean += nn.Dense(vae.latent, use_bias=False, name='linear')(image.reshape(image.shape[0], -1))
    return Posterior(mean, _LOGVAR_CENTER + _LOGVAR_REACH * jnp.tanh(logvar / _LOGVAR_REACH))


class Decoder(nn.Module):
  """z to normalized image: each stage doubles the side, then channels become patches.

  Convolution and pixel shuffle, since the weight gradient of a transposed convolution is slow on CPUs.
  """
  vae: 'Vae'

  @nn.compact
  def __call__(self, z: Float[Array, 'b z']) -> Images:
    vae, act, dtype = self.vae, ACTIVATIONS[self.vae.activation], jnp.dtype(self.vae.dtype)
    side = vae.size // factor(vae.patch, vae.widths)
    x = act(nn.Dense(side * side * vae.widths[-1], dtype=dtype, name='spread')(z))
    x = x.reshape(-1, side, side, vae.widths[-1])
    for stage, width in enumerate(vae.widths[-2::-1]):
      for block in range(vae.blocks):
        x = Block(vae.activation, dtype, name=f'block_{stage}_{block}')(x)
      x = act(pixel_shuffle(nn.Conv(4 * width, (3, 3), dtype=dtype, name=f'up_{stage}')(x), 2))
    x = nn.Conv(vae.patch**2 * vae.channels, (3, 3), dtype=dtype, name='patches')(x)
    x = pixel_shuffle(x, vae.patch).astype(jnp.float32)
    if vae.linear:
      x += nn.Dense(x[0].size, use_bias=False, name='linear')(z).reshape(x.shape)
    return x


def factor(patch: int, widths: Sequence[int]) -> int:
  """How many times smaller than the image the coarsest scale is."""
  return patch * 2 ** (len(widths) - 1)


def pixel_shuffle(x: Float[Array, 'b h w p*p*c'], patch: int) -> Float[Array, 'b p*h p*w c']:
  """The channels of a pixel become a square of p x p."""
  batch, height, width, channels = x.shape
  x = x.reshape(batch, height, width, patch, patch, channels // patch**2).transpose(0, 1, 3, 2, 4, 5)
  return x.reshape(batch, patch * height, patch * width, channels // patch**2)


def pixel_unshuffle(x: Float[Array, 'b p*h p*w c'], patch: int) -> Float[Array, 'b h w p*p*c']:
  """The inverse of pixel_shuffle."""
  batch, height, width, channels = x.shape
  x = x.reshape(batch, height // patch, patch, width // patch, patch, channels).transpose(0, 1, 3, 2, 4, 5)
  return x.reshape(batch, height // patch, width // patch, patch**2 * channels)


@dataclasses.dataclass(frozen=True)
class Vae:
  """The pure functions of a VAE; parameters are {'encoder': tree, 'decoder': tree}.

  size: side of the square image, a multiple of factor(patch, widths). patch: side of the patches that encoder and
  decoder work on. widths: channels of the decoder from patches to the coarsest scale, each of half the side; the
  encoder goes from patches straight to the second. blocks: residual blocks per stage. dtype: of the convolutions'
  arithmetic. linear: whether a matrix beside the convolutions leads from image to mean and another from z to image.
  """
  size: int
  channels: int
  patch: int
  widths: tuple[int, ...]
  blocks: int
  latent: int
  activation: str
  dtype: str = 'float32'
  linear: bool = False

  def __post_init__(self) -> None:
    if self.size % factor(self.patch, self.widths):
      raise ValueError(f'size {self.size} is not a multiple of {factor(self.patch, self.widths)}')

  @property
  def encoder(self) -> Encoder:
    return Encoder(self)

  @property
  def decoder(self) -> Decoder:
    return Decoder(self)

  def init(self, key: Key[Array, '']) -> dict[str, Any]:
    """Fresh parameters, float32."""
    for_encoder, for_decoder = jax.random.split(key)
    image, z = jnp.zeros((1, self.size, self.size, self.channels)), jnp.zeros((1, self.latent))
    return {'encoder': self.encoder.init(for_encoder, image)['params'],
            'decoder': self.decoder.init(for_decoder, z)['params']}

  def begin_linear(self, params: Mapping[str, Any], normalizer: Normalizer, components: Float[Array, 'k s*s*c'],
                   deviations: Float[Array, 'k']) -> dict[str, Any]:
    """`params` of a network that is a PCA: the mean holds the whitened components, and the decoder adds them up.

    Training starts from a reconstruction that convolutions take thousands of steps to come to. These begin with no part
    in it, by zeros in the last layer that leads to the mean and in the one that leads to the image. components:
    orthonormal, at most `latent`; other dimensions begin at zero. deviations: of the photos along each, in intensities.
    """
    weights = jnp.zeros((self.latent, components.shape[1])).at[:len(components)].set(components)
    scaled = jnp.ones(self.latent).at[:len(components)].set(deviations / normalizer.std)[:, None]
    linear = {'encoder': (weights / scaled).T, 'decoder': weights * scaled}
    return {network: params[network] | {'linear': {'kernel': linear[network]},
                                        last: jax.tree.map(jnp.zeros_like, params[network][last])}
            for network, last in (('encoder', 'mean'), ('decoder', 'patches'))}

  def encode(self, encoder_params: Mapping[str, Any], normalizer: Normalizer, image: Images) -> Posterior:
    """Posterior of images in [0, 1]."""
    return self.encoder.apply({'params': encoder_params}, normalizer(image))

  def decode(self, decoder_params: Mapping[str, Any], normalizer: Normalizer, z: Float[Array, 'b z']) -> Images:
    """Images, not clipped to [0, 1]."""
    return normalizer.inverse(self.decoder.apply({'params': decoder_params}, z))
