"""The page of a folder of photos that was looked at: what is there, what is wrong, and what to do with it."""

import collections
import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image
from scipy import ndimage

from defect_jax.data import inspection, parts, photos
from defect_jax.data.inspection import Inspection, Kinds, Look
from defect_jax.report import page
from defect_jax.report.verdict import percent

_MARK = np.uint8([0, 220, 60])
_WIDTHS = ((2.5, 150), (6, 320), (np.inf, 700))  # px of a picture, by how much longer than wide a photo is at most
_MOST_SIZES = 10  # in the table of files, the most frequent first
_OF_A_KIND = 6  # pictures of each of two kinds of photos
# Kind of problem -> what it is called, and what to do about it.
_KINDS = {
    'broken': ('Cannot be read', 'Copy them again from the camera, or remove them.'),
    'black': ('Black photos', 'Remove them; the lamp or the trigger may have failed.'),
    'saturated': ('Saturated photos', 'Remove them, or expose them shorter.'),
    'uniform': ('Photos that show nothing', 'Remove them.'),
    'copy': ('Copies within a class', 'Remove them: they count for nothing, and weigh more than they should.'),
    'copy_in_another_class': ('Copies in two classes', 'Remove the wrong ones; a training on them is refused.'),
    'copy_in_another_part': ('Copies in train and test', 'Remove one of each.'),
    'alike_in_another_class': ('Photos of two classes that show the same', 'See whether one is in the wrong class.'),
    'mask_inverted': ('Masks that mark more than half', 'To see them the other way round, set masks=inverted here.'),
    'mask_not_turned': ('Masks of turned photos', 'To see them the other way round, set masks=as_stored here.'),
    'mask_empty': ('Masks that mark nothing', 'Mark the defect, or move the photo to the good ones.'),
    'mask_unusable': ('Masks that cannot be used', 'Put the right ones there, or remove them.'),
    'mask_beside': ('Masks beside their photos', ''),
    'masks_without_photo': ('Masks that are not found', ''),
    'good_marked': ('Good photos with a mark', 'Move them to a class of defects, or remove their masks.'),
    'mixed_kinds': ('Two kinds of photos in a class', 'Keep two products or cameras in folders of their own.')}


def write(path: Path, title: str, config: str, found: Inspection, commands: Sequence[tuple[str, str, str]],
          shown: int) -> None:
  """Writes the page. commands: (what, why, command). shown: photos of each class with pictures."""
  sections = [
      page.Section('What to mend first', [page.Lines([*in_short(found.problems)])], 'problems'),
      page.Section('What to do with them', [page.Commands(commands)], 'commands'),
      *map(_kinds_section, found.kinds),
      page.Section('Classes', [page.Table([*_class_rows(found)], (
          'Class', 'Photos', 'With a mask', 'Groups', 'Size', 'Marked (median)'))], 'classes'),
      *(_class_section(label, looks, shown) for label, looks in found.by_class().items()),
      page.Section('Files', [page.Table([*_file_rows(found)], ('', 'Value', 'Photos'), wide=False)], 'files'),
      page.Section('Groups by name', [page.Sentences(found.group_sentences())], 'groups'),
      *(page.Section(_named(kind)[0], [page.Lines([*map(str, problems)])], kind)
        for kind, problems in _by_kind(found.problems).items() if len(problems) > 1)]
  page.write(path, title, sections, config, verdict=found.sentences(), reached=not found.problems)


def in_short(problems: Iterable[parts.Problem]) -> Iterator[str]:
  """A line for each kind of problem: how many, one of them, and what to do."""
  for kind, alike in _by_kind(problems).items():
    words, remedy = _named(kind)
    yield f'{words} ({len(alike)}): {alike[0]}. {remedy}'.rstrip()


def _named(kind: str) -> tuple[str, str]:
  return _KINDS.get(kind, (kind.replace('_', ' ').capitalize(), ''))


def _by_kind(problems: Iterable[parts.Problem]) -> dict[str, list[parts.Problem]]:
  by_kind = collections.defaultdict(list)
  for problem in problems:
    by_kind[problem.kind].append(problem)
  return by_kind


def _class_rows(found: Inspection) -> Iterator[tuple[str, ...]]:
  for label, looks in found.by_class().items():
    counts = found.classes[label]
    marked = [look.marked for look in looks if look.marked]
    yield (label, str(counts['photos']), str(counts['masks'] or '-'), str(counts['groups']),
           inspection.size_words(looks), percent(float(np.median(marked))) if marked else '-')


def _file_rows(found: Inspection) -> Iterator[tuple[str, ...]]:
  for what, counts in (('Size', found.sizes), ('Bits per value', found.bit_depths), ('Channels', found.channels)):
    rows = [*counts.items()]
    for words, count in rows[:_MOST_SIZES]:
      yield what, words, str(count)
    if rest := rows[_MOST_SIZES:]:
      yield what, f'{len(rest)} others', str(sum(count for _, count in rest))


def _class_section(label: str, looks: Sequence[Look], shown: int) -> page.Section:
  chosen = [looks[row] for row in np.unique(np.linspace(0, len(looks) - 1, shown).astype(int))] if looks else []
  words = f'{label}: {len(chosen)} of {len(looks)} photos' if len(chosen) < len(looks) else label
  return page.Section(words, [_tiles(chosen)], f'class_{label}')


def _kinds_section(kinds: Kinds) -> page.Section:
  blocks: list[page.Text | page.Tiles] = []
  for words, looks in kinds.sides:
    blocks += [page.Text(f'{words}: {len(looks)}', 'h3'), _tiles(looks[:_OF_A_KIND])]
  return page.Section(f'Two kinds of photos in {kinds.label}', blocks, f'kinds_{kinds.label}')


def _tiles(looks: Sequence[Look]) -> page.Tiles:
  longest = np.median([max(look.size) / min(look.size) for look in looks] or [1])
  width = next(width for most, width in _WIDTHS if longest <= most)
  drawn = [(picture, look.record.file) for look in looks if (picture := _picture(look.record, 2 * width)) is not None]
  return page.Tiles([page.thumbnail(picture, 2 * width) for picture, _ in drawn], 'photo {}', width=width,
                    names=[name for _, name in drawn])


def _picture(record: parts.Record, side: int) -> UInt8[np.ndarray, 'h w 3'] | None:
  """A photo scaled to at most `side`, with a line around what is marked; None if it has become unreadable."""
  try:
    photo = record.decode()
  except photos.PhotoError:
    return None
  mask = None
  if record.annotation:
    with contextlib.suppress(photos.PhotoError):  # said among the problems
      mask = record.annotation.read(photo.shape[:2])
  levels = photo if photo.dtype == np.uint8 else (photo >> 8).astype(np.uint8)
  image = Image.fromarray(levels).convert('RGB')
  image.thumbnail((side, side), reducing_gap=2)
  picture = np.array(image)
  if mask is not None:
    small = _smaller(mask, picture.shape[:2])
    picture[ndimage.binary_dilation(small, iterations=2) & ~small] = _MARK
  return picture


def _smaller(mask: Bool[np.ndarray, 'h w'], shape: tuple[int, int]) -> Bool[np.ndarray, 'h2 w2']:
  """Set where any of the pixels is that the new one stands for, so that nothing thin is lost."""
  for axis, (new, old) in enumerate(zip(shape, mask.shape, strict=True)):
    mask = np.logical_or.reduceat(mask, np.arange(new) * old // new, axis)
  return mask
