"""Two kinds of photos that a class has, shown side by side."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from defect_jax.data import parts, photos, thumbnails
from defect_jax.report import heatmaps, page

_TITLES = {'mixed_products': 'Two kinds of photos of {}', 'mixed_kinds': 'Two kinds of defects of {}'}


def section(mixture: Mapping[str, Any] | None, records: Sequence[parts.Record]) -> page.Section:
  """Up to four photos of each side of what evaluation.mixture.find found in these records; empty for nothing."""
  return page.Section('', list(_blocks(mixture or {}, {record.file: record for record in records})), 'mixture')


def _blocks(mixture: Mapping[str, Any], record_of: Mapping[str, parts.Record]) -> Iterator[page.Text | page.Tiles]:
  for code, title in _TITLES.items():
    for label, found in mixture.get(code, {}).items():
      yield page.Text(title.format(label), 'h2')
      for count, files in zip(found['counts'], found['examples'], strict=True):
        shown = [record_of[file] for file in files if file in record_of]
        known = [(record, picture) for record in shown if (picture := _picture(record))]
        yield page.Text(f'{count} such as these:')
        yield page.Tiles([picture for _, picture in known], 'photo {}', width=160,
                         names=[record.file for record, _ in known])


def _picture(record):
  try:
    levels = record.decode()
  except photos.PhotoError:  # it could be read when it was looked at
    return ''
  image = photos.to_channels(levels, 1 if levels.ndim == 2 else 3)
  side = max(1, max(image.shape[:2]) // (2 * thumbnails.SIDE))
  return page.thumbnail(heatmaps.outlined(image[::side, ::side]), 2 * thumbnails.SIDE)
