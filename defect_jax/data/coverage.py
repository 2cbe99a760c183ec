"""How much of photos that are not square is looked at, by their headers alone."""

import statistics
from collections.abc import Sequence

from defect_jax.data import depth, parts

TILED = 2.0  # longer over shorter side from which tiles show more than one square of all of a photo
_MOST = 1000  # photos whose headers are read
_SQUARE = 0.95  # shorter over longer side from which the central square is as good as all of a photo


def sides(records: Sequence[parts.Record]) -> dict[str, tuple[int, int]]:
  """{file: (shorter, longer side in px)} of photos, of more than 1,000 that many evenly drawn.

  Those whose header can't be read are left out.
  """
  some = records[::-(-len(records) // _MOST) or 1]
  return {record.file: (min(header.size), max(header.size))
          for record, header in zip(some, depth.headers_of(some), strict=True) if header}


def tiles(records: Sequence[parts.Record], size: int) -> tuple[bool, int]:
  """Whether to cut photos into tiles of `size` px, and how many times smaller to make them first.

  Tiles are for strips, whose longer side is at least twice the shorter one in the median; the shorter side then is a
  tile, or a little less.
  """
  of_file = [*sides(records).values()]
  if not of_file or statistics.median(longer / shorter for shorter, longer in of_file) < TILED:
    return False, 1
  return True, max(-(-round(statistics.median(shorter for shorter, _ in of_file)) // size), 1)


def lines(records: Sequence[parts.Record], fit: str, region: str = 'full', tiled: bool = False) -> list[str]:
  """What the central square leaves out where that is taken of all of a photo, in a line; [] if nothing to speak of."""
  if tiled or fit != 'crop' or region != 'full':
    return []
  seen = {file: shorter / longer for file, (shorter, longer) in sides(records).items()}
  least = min(seen, key=lambda file: seen[file], default='')
  if not seen or seen[least] >= _SQUARE:
    return []
  median = statistics.median(seen.values())
  return [f'photos are not square, and the central square alone is looked at: {median:.0%} of a photo in the '
          f'median, {seen[least]:.0%} of {least}; train with data.fit=pad to take in all of it']
