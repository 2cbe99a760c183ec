"""Keeps the best of several candidates of each image, by criteria that are recorded with it."""

import numpy as np


def sharpness(images):
  """Mean absolute difference of neighbouring pixels, `[N]`, of images `[N, H, W, C]`; blur lowers it."""
  down, right = np.abs(np.diff(images, axis=1)), np.abs(np.diff(images, axis=2))
  return 0.5 * (down.mean((1, 2, 3)) + right.mean((1, 2, 3)))


def choose(distance, sharp, least, typical):
  """Which candidate of each image to keep: of those that are new, the one whose sharpness is most like the photos'.

  Args:
    distance: `[B, C]`, LPIPS to the nearest training photo. sharp: `[B, C]`, `sharpness`, above 0.
    least: distance from which a candidate counts as new. typical: sharpness of the photos.

  Returns (candidate int `[B]`, record: a dict an image, of the figures that it was kept for). Where none is new, the
  farthest from the training photos is kept, and the record says so.
  """
  new = distance >= least
  # A factor of 2 too sharp is as unlike the photos as one too blurred.
  unlike = np.where(new, np.abs(np.log(sharp / typical)), np.inf)
  chosen = np.where(new.any(1), np.argmin(unlike, 1), np.argmax(distance, 1))
  records = [{'candidates': distance.shape[1], 'kept': int(at), 'new': bool(new[row, at]),
              'lpips_to_nearest': round(float(distance[row, at]), 4), 'least_lpips': round(float(least), 4),
              'sharpness_of_photos': round(float(sharp[row, at] / typical), 3)} for row, at in enumerate(chosen)]
  return chosen, records
