"""What is looked at of photos: how many of their pixels, and how long their defects are in these."""

import collections
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from defect_jax.data import depth, parts, photos, regions, tiles

_MOST = 200  # masks that are read
_EIGHT = np.ones((3, 3), int)  # pixels that touch by a corner are one defect


def of(records: Sequence[parts.Record], tiling: tiles.Tiling) -> dict[str, Any] | None:
  """The summary's `looked_at`: photo_px, the most frequent width and height; seen_px, the side of the network's square;
  scale, pixels of the network per pixel of a photo, in the median; masks, how many were measured (200 at most); and the
  medians over them of defect_px and defect_seen_px, the longer side of the largest defect of a photo in its own pixels
  and in the network's, and thickness_seen_px, see extent; these are None without masks.

  None where no photo can be read.
  """
  shapes = {record.file: header.upright
            for record, header in zip(records, depth.headers_of(records), strict=True) if header}
  if not shapes:
    return None
  marked = [record for record in records if record.annotation and record.label != parts.GOOD]
  lengths = np.array([*_lengths(marked[::-(-len(marked) // _MOST) or 1], tiling)])
  scales = lengths[:, 3] if len(lengths) else [
      _scale(np.broadcast_to(False, shape), None, tiling, file)
      for file, shape in shapes.items() if tiling.geometry.region != 'mask']
  middle = np.median(lengths, 0).tolist() if len(lengths) else [None] * 3
  height, width = collections.Counter(shapes.values()).most_common(1)[0][0]
  return {'photo_px': [width, height], 'seen_px': tiling.geometry.size,
          'scale': float(np.median(scales)) if len(scales) else None, 'masks': len(lengths),
          **dict(zip(('defect_px', 'defect_seen_px', 'thickness_seen_px'), middle, strict=False))}


def _lengths(records: Iterable[parts.Record], tiling: tiles.Tiling) -> Iterator[tuple[float, float, float, float]]:
  """Of each mask: length in the photo and in the network, thickness in the network, and the scale between them."""
  for record in records:
    assert record.annotation, 'the caller takes those that are marked'
    try:
      mask = record.annotation.read(photos.header(record.photo, record.file).upright)
      if mask.any():
        length, thickness = extent(mask)
        scale = _scale(mask, mask, tiling, record.file)
        yield length, scale * length, scale * thickness, scale
    except photos.PhotoError:  # which the training reports
      continue


def extent(mask: Bool[np.ndarray, 'h w']) -> tuple[float, float]:
  """Longer side of the box around the largest defect of a mask, and its thickness (its widest circle), in px."""
  regions_of, _ = ndimage.label(mask, _EIGHT)
  largest = regions_of == np.bincount(regions_of.ravel())[1:].argmax() + 1
  rows, columns = ndimage.find_objects(largest.astype(int))[0]
  inside = np.pad(largest[rows, columns], 1)
  return float(max(rows.stop - rows.start, columns.stop - columns.start)), float(
      2 * ndimage.distance_transform_edt(inside).max() - 1)


def _scale(photo, mask, tiling, name):
  """Pixels of the network per pixel of a photo of that height and width."""
  if tiling.tiled:
    return 1 / tiling.reduce
  return tiling.geometry.size / regions.square(photo, mask, tiling.geometry, name)[2]
