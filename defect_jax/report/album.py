"""Small pictures of a list of photos: those that tell most are in the page itself, the others in a folder beside it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from defect_jax.report import page
from defect_jax.runs.artefacts import Artefact
from defect_jax.runs.atomic import write_atomic

PICTURES = Artefact('pictures')
MOST = 60  # pictures in the page
_HIGHEST = 20  # of these, the photos with the highest scores


def telling(scores: Float[np.ndarray, 'n'], threshold: float, right: Sequence[bool | None] = (), most: int = MOST
            ) -> list[int]:
  """The rows whose pictures tell most: the highest scores, then what is called wrongly, the surest first, then what is
  nearest to the threshold. right: of each row whether it is called rightly, None where that is not known."""
  away = np.abs(np.asarray(scores, float) - threshold)
  wrong = [row for row in np.argsort(-away, kind='stable') if row < len(right) and right[row] is False]
  order = [*np.argsort(-np.asarray(scores, float), kind='stable')[:_HIGHEST], *wrong, *np.argsort(away, kind='stable')]
  return [int(row) for row in dict.fromkeys(order)][:most]


class Album:
  """Gives each picture its `src`: with all its bytes for those of some rows, else that of a file which it writes."""

  def __init__(self, report: Path, inside: Sequence[int]):
    """report: the page. inside: rows whose pictures are in it."""
    self._folder, self._inside = report.parent / PICTURES.name, frozenset(inside)

  def source(self, row: int, levels: UInt8[np.ndarray, 'h w 3']) -> str:
    """The `src` of the picture of a row."""
    if row in self._inside:
      return page.thumbnail(levels)
    path = self._folder / f'{row:06d}.jpg'
    self._folder.mkdir(exist_ok=True)
    write_atomic(path, page.jpeg(levels), sync=False)
    return f'{PICTURES.name}/{path.name}'
