"""Where in a photo an unmarked defect most likely is."""

import numpy as np
from scipy import ndimage

from defect_jax.data import photos

_SIDE = 96  # px that photos are scaled to
_LEAST = 0.25  # of its mean; what good photos show less of than that counts as if they showed so much


def unusual(image):
  """How far each pixel of `[H, W, C]` is from the median of its row and of its column, whichever it is nearer to.

  So what runs along an axis, as the parts of a product mostly do, counts for nothing. float32 `[H, W]`, a little
  blurred.
  """
  grey = np.float32(image).mean(-1)
  away = [np.abs(grey - np.median(grey, axis, keepdims=True)) for axis in (0, 1)]
  return ndimage.uniform_filter(np.minimum(*away), 3)


class Salience:
  """How much more unusual each pixel of a photo is than those of good photos at the same place."""

  def __init__(self, good):
    """good: good photos, `[H, W, C]` in [0, 1], of any size; none: all places are alike."""
    seen = [_small(photo) for photo in good]
    usual = np.mean(seen, 0) if seen else np.ones((_SIDE, _SIDE), np.float32)
    # Photos that are not laid alike, as cells of different kinds, agree within a few pixels.
    usual = ndimage.gaussian_filter(usual, 2)
    self._usual = np.maximum(usual, _LEAST * usual.mean() + 1e-6)

  def __call__(self, photo):
    """float32 `[H, W]`, 0 or more, of a photo `[H, W, C]` in [0, 1]."""
    found = _small(photo) / self._usual
    top = max(float(found.max()), 1e-6)
    return photos.scale(found[..., None] / top, photo.shape[:2])[..., 0] * np.float32(top)


def _small(photo):
  return unusual(photos.scale(np.float32(photo), _SIDE))
