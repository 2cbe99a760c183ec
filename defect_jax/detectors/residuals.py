"""Anomaly maps from a photo and what a model takes it for, and scores from maps."""

import dm_pix as pix
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import ndimage

Images = Float[Array, 'n h w c']
Maps = Float[Array, 'n h w']

_WINDOW = 11  # px, of SSIM
_TINY = 1e-5  # less than a level of 16 bits: the spread of a single photo is 0
_LEAST_SPREAD = 0.1  # of the mean spread: where good photos never differ, noise would else be divided by about nothing


def difference(image: Images, recon: Images, blur: float) -> Images:
  """image - recon, blurred by a Gaussian of `blur` px, mirrored at the border; 0 leaves it sharp.

  The sign is kept, so that noise averages out and what a defect has darkened or brightened stays.
  """
  if not blur:
    return image - recon
  half = int(np.ceil(3 * blur))
  padded = jnp.pad(image - recon, ((0, 0), (half, half), (half, half), (0, 0)), 'reflect')
  return pix.gaussian_blur(padded, blur, 2 * half + 1, padding='VALID')


def absolute(image: Images, recon: Images, blur: float = 0.) -> Maps:
  """Mean over the channels of the absolute `difference`."""
  return jnp.mean(jnp.abs(difference(image, recon, blur)), -1)


def normalised(image: Images, recon: Images, spread: Float[Array, 'h w'], blur: float = 0.) -> Maps:
  """`absolute` in units of `spread`, the root of the mean squared difference of good photos at each pixel."""
  least = jnp.maximum(_LEAST_SPREAD * jnp.mean(spread), _TINY)
  return absolute(image, recon, blur) / jnp.maximum(spread, least)


def ssim(image: Images, recon: Images) -> Maps:
  """1 - SSIM (Wang et al. 2004, "Image quality assessment") of the 11 px around each pixel, mirrored at the border."""
  half = _WINDOW // 2
  image, recon = (jnp.pad(x, ((0, 0), (half, half), (half, half), (0, 0)), 'reflect') for x in (image, recon))
  return jnp.mean(1 - pix.ssim(image, recon, filter_size=_WINDOW, return_map=True), -1)


def smooth(anomaly_map: Float[np.ndarray, 'h w'], sigma: float) -> Float[np.ndarray, 'h w']:
  """The map blurred by a Gaussian of `sigma` px; 0 leaves it as it is."""
  return ndimage.gaussian_filter(anomaly_map, sigma, mode='reflect') if sigma else anomaly_map


def reduce(anomaly_map: Float[np.ndarray, 'h w'], reduction: str, top: float) -> float:
  """The score of a photo by its map: its mean, its max, top (the mean of the largest pixels, a share `top` of all), or
  peak: how far top stands above the median, in units of the median absolute deviation, so that a photo that is noisy
  all over scores no higher.
  """
  if reduction == 'mean':
    return float(np.mean(anomaly_map))
  if reduction == 'max':
    return float(np.max(anomaly_map))
  values = np.ravel(anomaly_map)
  count = max(1, round(top * values.size))
  highest = float(np.mean(np.partition(values, values.size - count)[values.size - count:]))
  if reduction == 'top':
    return highest
  median = np.median(values)
  return (highest - float(median)) / max(float(np.median(np.abs(values - median))), 1e-9)
