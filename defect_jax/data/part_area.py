"""Where the part is in a photo, apart from an empty background."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Shaped
from scipy import ndimage
from sklearn import cluster

from defect_jax.data import photos

Area = Bool[np.ndarray, 'h w']
Find = Callable[[Shaped[np.ndarray, 'h w *c']], Area | None]
_SIDE = 96  # px of the longer side that a photo is looked at with
_RING = 0.04  # of the longer side: the width of the border that says what the background looks like
_BACKGROUND = 0.05, 0.95  # its share of a photo, from and to
_BORDER = 0.4  # of the border that is background, at least
_STEEP = 0.6  # of the contrast lies within a few pixels of the part's edge; a slow gradient of light has a tenth
_FLAT = 0.15  # deviation of the background from a plane over the contrast, at most; textures have more
_LIKE = 0.5  # of the contrast away from that plane: no background
_FAINT, _NOISE = 0.25, 4.  # away from that plane as so much of the contrast and of its deviation: the part
_CLEAR = 0.8  # of a set's photos that show a part before a background
_LEAST = 0.01  # of a photo: smaller pieces are dirt
_CROSS, _EIGHT = ndimage.generate_binary_structure(2, 1), np.ones((3, 3), bool)


def of_photo(photo: Shaped[np.ndarray, 'h w *c']) -> Area | None:
  """The part in a decoded photo, or an image in [0, 1]; None where no part stands before an empty background.

  Pixels are of two kinds by colour (k-means of two, which is Otsu's threshold where they are grey). The background is
  the kind that most of the border is of, where it is flat, reaches the border and ends steeply.
  """
  image = _small(photo)
  height, width = image.shape[:2]
  ring = np.ones((height, width), bool)
  edge = max(1, round(_RING * _SIDE))
  ring[edge:-edge, edge:-edge] = False
  image = image - _light(image, ring)
  pixels = image.reshape(-1, image.shape[-1])
  apart = np.linalg.norm(pixels, axis=1)
  begin = np.stack([np.zeros(image.shape[-1]), np.median(pixels[apart >= np.quantile(apart, 0.9)], 0)])
  if not begin.any():
    return None
  kinds = cluster.KMeans(2, init=begin, n_init=1).fit(pixels)
  contrast = np.linalg.norm(np.subtract(*kinds.cluster_centers_))
  if not contrast > 1 / 255:
    return None
  background = _reaching(kinds.labels_.reshape(height, width) == 0, ring)
  if not _BACKGROUND[0] <= background.mean() <= _BACKGROUND[1] or background[ring].mean() < _BORDER:
    return None
  away = np.linalg.norm(image - _plane(image, background), axis=-1)
  # What of a part is of another colour than the rest of it is of neither kind.
  background = _reaching(background & (away < _LIKE * contrast), ring)
  if background[ring].mean() < _BORDER:
    return None
  away = np.linalg.norm(image - _plane(image, background), axis=-1)
  noise = float(np.sqrt(np.mean(np.square(away[background]))))
  if noise > _FLAT * contrast or _steepness(away, ~background) < _STEEP * contrast:
    return None
  part = _pieces(ndimage.binary_fill_holes(away > max(_NOISE * noise, _FAINT * contrast)))
  if not _BACKGROUND[0] <= 1 - part.mean() <= _BACKGROUND[1]:
    return None
  whole = np.asarray(photos.scale(np.float32(part)[..., None], np.shape(photo)[:2]))[..., 0]
  return whole > 0.5


def of_set(good: Iterable[Shaped[np.ndarray, 'h w *c']]) -> Find | None:
  """What finds the part in photos like some good ones; None where these show no background, as when it fills them."""
  return of_photo if clear([of_photo(photo) for photo in good]) else None


def clear(found: Sequence[Area | None]) -> bool:
  """Whether the part was found in so many of a set's photos that it stands before a background in this set."""
  return bool(found) and np.mean([area is not None for area in found]) >= _CLEAR


def share_beside(area: Area, mask: Area) -> float:
  """Which share of a mask, not empty, lies beside the part."""
  return float(1 - area[mask].mean())


def _small(photo):
  """A photo scaled to _SIDE; its channels are kept, since a part may differ by colour alone."""
  photo = np.asarray(photo)
  image = photo if photo.dtype.kind == 'f' else photos.to_channels(photo, 1 if photo.ndim == 2 else 3)
  image = np.float32(image if image.ndim == 3 else image[..., None])
  factor = min(1., _SIDE / max(image.shape[:2]))
  return photos.scale(image, (max(8, round(factor * image.shape[0])), max(8, round(factor * image.shape[1]))))


def _reaching(mask, ring):
  """What of a mask reaches the border, without thin lines and small pieces."""
  mask = _pieces(ndimage.binary_opening(mask, _EIGHT, border_value=1))
  joined, _ = ndimage.label(mask, _CROSS)
  return mask & np.isin(joined, np.unique(joined[ring & mask]))


def _pieces(mask):
  """The mask without pieces that are smaller than _LEAST."""
  joined, count = ndimage.label(mask, _EIGHT)
  sizes = np.bincount(joined.ravel(), minlength=count + 1)
  return mask & (sizes >= _LEAST * mask.size)[joined]


def _steepness(value, part):
  """How far the part's side of its edge is from the other, on average, 1 to 3 px from it."""
  def side(mask):
    near = ndimage.binary_dilation(~mask, _EIGHT, 3) & ~ndimage.binary_dilation(~mask, _EIGHT, 1)
    return value[near & mask].mean() if (near & mask).any() else np.nan
  return float(np.nan_to_num(side(part) - side(~part)))


def _light(image, ring):
  """The plane through most of the border: how light falls off over the background."""
  away = np.linalg.norm(image - _plane(image, ring), axis=-1)
  return _plane(image, ring & (away <= np.quantile(away[ring], 1 - _BORDER)))


def _plane(image, where):
  """The plane in each channel that is nearest to the pixels `where`."""
  y, x = np.indices(where.shape)
  places = np.stack([x, y, np.ones_like(x)], -1)
  fitted, *_ = np.linalg.lstsq(places[where], image[where], rcond=None)
  return places @ fitted
