"""What the photos were like that a run was trained on, kept in its workdir, and how other photos differ from them."""

import contextlib
import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from defect_jax.data import depth, inspection, parts, photos, samples
from defect_jax.data.samples import Traits
from defect_jax.runs.artefacts import Artefact
from defect_jax.runs.atomic import write_atomic
from defect_jax.runs.folder import Workdir

PHOTOS = Artefact('photos.json')
_LOOKED_AT = 64  # photos that the traits are taken of, at most
# Beyond the range trained on: of the range's own width, of all levels, and as a ratio.
_WIDER, _LEVELS, _DARKER = 0.5, 0.03, 1.25
_MORE_PIXELS, _OTHER_ASPECT = 2.0, math.log(1.15)


@dataclasses.dataclass(frozen=True)
class Seen:
  """sha256: of the files trained on. bits: see parts.Record. traits: of some of them."""
  sha256: frozenset[str]
  bits: int
  traits: Sequence[Traits]

  @classmethod
  def of(cls, records: Sequence[parts.Record], sha256: Iterable[str]) -> 'Seen':
    """Of the photos of `records`, whose files' SHA-256 are known; decodes up to 64 of them."""
    looked_at = records[::-(-len(records) // _LOOKED_AT) or 1]
    traits = [found for found in samples.traits(looked_at) if found]
    return cls(frozenset(sha256), records[0].bits if records else 16, traits)

  def write(self, workdir: Workdir) -> None:
    """Keeps this in a workdir."""
    write_atomic(workdir.path(PHOTOS), json.dumps({
        'bits': self.bits, 'sha256': sorted(self.sha256), 'photos': [*map(dataclasses.asdict, self.traits)]}) + '\n')

  @classmethod
  def read(cls, workdir: Workdir | None) -> 'Seen | None':
    """What a workdir keeps; None where it keeps nothing, as those of versions before do."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
      kept: dict[str, Any] = json.loads(workdir.path(PHOTOS).read_text()) if workdir else {}
      return cls(frozenset(kept['sha256']), kept['bits'], [
          Traits(tuple(one['size']), one['depth'], one['level']) for one in kept['photos']])
    return None

  def note(self, other: Traits) -> str:
    """What a photo differs in from all that were trained on, '' for nothing that matters."""
    if not self.traits:
      return ''
    return '; '.join(filter(None, (self._light(other), self._depth(other), self._size(other), self._shape(other))))

  def _light(self, other):
    low, high = (of(one.level for one in self.traits) for of in (min, max))
    margin = max(_WIDER * (high - low), _LEVELS)
    if other.level < low - margin and other.level * _DARKER < low:
      return f'{_times(low / other.level)} times darker than any trained on' if other.level else 'black'
    if other.level > high + margin and other.level > high * _DARKER:
      return f'{_times(other.level / max(high, 1 / 255))} times brighter than any trained on'
    return ''

  def _depth(self, other):
    depths = {one.depth for one in self.traits}
    return '' if other.depth in depths else f'of {other.depth} bits, those trained on of {min(depths)}'

  def _size(self, other):
    low, high = (of(math.prod(one.size) for one in self.traits) for of in (min, max))
    own = math.prod(other.size)
    if own > _MORE_PIXELS * high:
      return f'{_times(own / high)} times the pixels of any trained on'
    return f'{_times(low / own)} times fewer pixels than any trained on' if own * _MORE_PIXELS < low else ''

  def _shape(self, other):
    low, high = (of(one.size[1] / one.size[0] for one in self.traits) for of in (min, max))
    own, margin = other.size[1] / other.size[0], max(math.log(high / low) * _WIDER, _OTHER_ASPECT)
    if math.log(low) - margin <= math.log(own) <= math.log(high) + margin:
      return ''
    ratios = ' to '.join(dict.fromkeys((f'{low:.2g}', f'{high:.2g}')))
    return (f'of {other.size[1]} x {other.size[0]} px, so another shape than those trained on, whose width is {ratios} '
            'of the height')


def _times(ratio):
  return f'{ratio:.0f}' if ratio >= 10 else f'{ratio:.2g}'


def keep(workdir: Workdir, records: Sequence[parts.Record], sha256: Iterable[str] | None = None) -> list[str]:
  """Keeps in a workdir what the photos are like that are trained on; lines for the user about these.

  sha256: of the files, and of those that made images come from; None: of those of `records`.
  """
  if records:
    Seen.of(records, _sha256(records) if sha256 is None else {*sha256} - {''}).write(workdir)
  return _mixed(records)


def _sha256(records):
  for record in records:
    with contextlib.suppress(photos.PhotoError):
      yield record.sha256()


def _mixed(records):
  """Lines about photos of a class that are of two kinds, by headers."""
  looks = [inspection.Look(record, header.upright[::-1], header.bits, header.channels)
           for record, header in zip(records, depth.headers_of(records), strict=True) if header]
  return [f'{kind.problem().message}; they are trained on as one' for kind in inspection.kinds(looks)]
