"""Anomaly maps laid over photos."""

import matplotlib
import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

_STRONGEST = 0.75  # how much of the photo the largest values hide
_HIDDEN = _STRONGEST * np.arange(256)[:, None, None] / 255
# uint8 [256 * 256, 3]: the colour of a pixel by its map's value in 255ths of the scale and its grey level; a look-up is
# what makes large photos quick to draw.
_DRAWN = np.uint8(np.rint((1 - _HIDDEN) * np.arange(256)[:, None] + 255 * _HIDDEN
                          * matplotlib.colormaps['inferno'](np.arange(256))[:, None, :3])).reshape(-1, 3)
_LEAST_SIDE = 128  # px; smaller photos are enlarged by whole pixels


def overlay(image: Float[np.ndarray, 'h w c'], anomaly_map: Float[np.ndarray, 'h w'],
            scale: float) -> UInt8[np.ndarray, 'H W 3']:
  """A photo as grey under its anomaly map: clear where that is 0, bright yellow from `scale` on (above 0, one for all
  photos of a job); at least 128 px per side."""
  value = (np.clip(anomaly_map / np.float32(scale), 0, 1) * 255).astype(np.uint16)
  grey = (np.clip(image.mean(-1) if image.shape[-1] > 1 else image[..., 0], 0, 1) * 255).astype(np.uint16)
  return _enlarged(np.take(_DRAWN, value * 256 + grey, axis=0))


def outlined(image: Float[np.ndarray, 'h w c'], mask: Bool[np.ndarray, 'h w'] | None = None
             ) -> UInt8[np.ndarray, 'H W 3']:
  """A photo with the border of its defect mask, if it has one, in green; at least 128 px per side."""
  levels = np.uint8(255 * np.clip(np.broadcast_to(image, (*image.shape[:2], 3)), 0, 1))
  if mask is not None:
    levels = np.where((mask & ~ndimage.binary_erosion(mask))[..., None], np.uint8([0, 220, 60]), levels)
  return _enlarged(levels)


def _enlarged(levels: UInt8[np.ndarray, 'h w 3']) -> UInt8[np.ndarray, 'H W 3']:
  """By the least whole factor that makes both sides 128 px or more."""
  factor = -(-_LEAST_SIDE // min(levels.shape[:2]))
  return levels.repeat(factor, 0).repeat(factor, 1) if factor > 1 else levels
