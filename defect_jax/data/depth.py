"""How many bits a camera uses of files of 16 bits: 12-bit photos saved as they are look black."""

from collections.abc import Sequence

from defect_jax.data import parts, photos
from defect_jax.data.headers import Header

_USUAL = (10, 12, 14, 16)  # of cameras
_LOOKED_AT = 64  # photos whose highest value is looked for, at most
_KEY = 'data.bits'


def headers_of(records: Sequence[parts.Record]) -> list[Header | None]:
  """The header of each photo, None for those that can't be read."""
  return [*map(_header, records)]


def _header(record):
  try:
    return photos.header(record.photo, record.file)
  except photos.PhotoError:
    return None


def bits_of(records: Sequence[parts.Record], key: str | None = _KEY) -> tuple[int, str]:
  """Bits that are used of a set's 16-bit files, 16 where all are or where there are none; a line if it is fewer.

  What all files say of it themselves (sBIT of PNG, MaxSampleValue of TIFF) counts if no value seen is higher. Else the
  highest value seen in some of them decides between the depths that cameras have. Files that are themselves of fewer
  than 16 bits, such as a TIFF of 12, need no guess. key: that of the config which says otherwise, if any.
  """
  known = [(record, header) for record, header in zip(records, headers_of(records), strict=True) if header]
  deep = [(record, header) for record, header in known if header.bits == 16]
  if not deep:
    own = {header.bits for _, header in known if header.bits > 8}
    return (own.pop() if len(own) == 1 else 16), ''
  seen = [_highest(record) for record, _ in deep[::-(-len(deep) // _LOOKED_AT)]]
  highest = max(seen)
  otherwise = f'; {key} says otherwise' if key else ''
  said = {header.significant for _, header in deep}
  bits = next(iter(said)) if len(said) == 1 else None
  if bits is not None and 8 < bits < 16 and highest < 2**bits:
    return bits, f'{bits} of the 16 bits of a value are used, as the files say{otherwise}'
  bits = next(usual for usual in _USUAL if highest < 2**usual) if highest else 16
  return bits, '' if bits == 16 else (f'{bits} of the 16 bits of a value are used, by the highest value seen in '
                                      f'{len(seen)} photos, {highest}{otherwise}')


def _highest(record):
  try:
    return int(photos.decode(record.photo, record.file).max())
  except photos.PhotoError:
    return 0
