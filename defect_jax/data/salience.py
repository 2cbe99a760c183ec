"""Where in a photo an unmarked defect most likely is."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Shaped
from scipy import ndimage

from defect_jax.data import photos

_SIDE = 96  # px that photos are scaled to
_LEAST = 0.25  # of its mean; what good photos show less of than that counts as if they showed so much


def unusual(image: Shaped[np.ndarray, 'h w c']) -> Float[np.ndarray, 'h w']:
  """How far each pixel is from the median of its row or its column, the nearer one, a little blurred."""
  # So what runs along an axis, as the parts of a product mostly do, counts for nothing.
  grey = np.float32(image).mean(-1)
  away = [np.abs(grey - np.median(grey, axis, keepdims=True)) for axis in (0, 1)]
  return ndimage.uniform_filter(np.minimum(*away), 3)


class Salience:
  """How much more unusual each pixel of a photo is than those of good photos at the same place."""

  def __init__(self, good: Iterable[Float[np.ndarray, '_ _ c']]):
    """good: photos in [0, 1], of any size; none: all places are alike."""
    unusual_of = [_small(photo) for photo in good]
    usual = np.mean(unusual_of, 0) if unusual_of else np.ones((_SIDE, _SIDE), np.float32)
    # Photos that are not laid alike, as cells of different kinds, agree within a few pixels.
    usual = ndimage.gaussian_filter(usual, 2)
    self._usual = np.maximum(usual, _LEAST * usual.mean() + 1e-6)

  def __call__(self, photo: Float[np.ndarray, 'h w c']) -> Float[np.ndarray, 'h w']:
    """0 or more at each pixel of a photo in [0, 1]."""
    ratio = _small(photo) / self._usual
    top = max(float(ratio.max()), 1e-6)
    return photos.scale(ratio[..., None] / top, photo.shape[:2])[..., 0] * np.float32(top)


def _small(photo):
  return unusual(photos.scale(np.float32(photo), _SIDE))
