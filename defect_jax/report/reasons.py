"""Why a photo was called what it was, in words."""

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from defect_jax.data.parts import GOOD
from defect_jax.report import page
from defect_jax.report.verdict import number

_PLACES = (('upper left', 'top', 'upper right'), ('left', 'centre', 'right'), ('lower left', 'bottom', 'lower right'))
_EIGHT = np.ones((3, 3), int)  # pixels that touch by a corner are one region


def why(score: float, threshold: float, anomaly_map: Float[np.ndarray, 'h w'] | None = None) -> str:
  """Such as '0.34 above the threshold; strongest at the upper left, 14 x 9 of 64 x 64 px', the latter by the map."""
  side = 'above' if score > threshold else 'below'
  return f'{number(abs(score - threshold))} {side} the threshold' + ('' if anomaly_map is None else place(anomaly_map))


def place(anomaly_map: Float[np.ndarray, 'h w']) -> str:
  """'; strongest at' and where the map's peak is, with width and height of what is around it above the middle between
  the peak and the map's median; '' for a map of one value."""
  peak, usual = float(anomaly_map.max()), float(np.median(anomaly_map))
  if not peak > anomaly_map.min():
    return ''
  top, left = np.unravel_index(int(anomaly_map.argmax()), anomaly_map.shape)
  regions, _ = ndimage.label(anomaly_map >= (peak + usual) / 2, _EIGHT)
  rows, columns = ndimage.find_objects(regions)[regions[top, left] - 1]
  height, width = anomaly_map.shape
  return (f'; strongest at the {_PLACES[3 * top // height][3 * left // width]}, {columns.stop - columns.start} x '
          f'{rows.stop - rows.start} of {width} x {height} px')


def called(file: str, score: float, defective: bool, why: str, *, sha256: str = '', truth: str = '', picture: str = ''
           ) -> page.Called:
  """A photo in the list of a page. sha256: of its file, '' where there is none. truth: its class where that is known,
  which says whether the verdict is right."""
  return page.Called(file, 'ng' if defective else 'ok', why, score, sha256, truth, picture,
                     defective == (truth != GOOD) if truth else None)
