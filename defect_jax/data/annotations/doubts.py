"""Masks that may be meant otherwise than they look: those that mark all but the defect, and those of turned photos."""

import dataclasses
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Bool

from defect_jax.data import photos
from defect_jax.data.annotations.base import Annotation, MaskFile, Union, read_mask
from defect_jax.data.annotations.shapes import Shapes
from defect_jax.data.parts import Problem, Record

AS_IS, INVERTED, AS_STORED, BOTH = HOW = ('as_is', 'inverted', 'as_stored', 'inverted_as_stored')  # see read_as
DOUBTS = _INVERTED, _NOT_TURNED = 'mask_inverted', 'mask_not_turned'  # kinds of problems that read_as answers
_LOOKED_AT = 32  # masks that are opened to see whether they are inverted
_MOST, _MOST_OF_BORDER = 0.5, 0.9  # shares of a photo that no defect covers


def read_as(records: Iterable[Record], how: str) -> list[Record]:
  """The records with masks read in another way than as they are, one of HOW.

  inverted: what is not marked is the defect. as_stored: masks of photos that EXIF data turn were drawn on the pixels as
  they are stored.
  """
  return [dataclasses.replace(record, annotation=_read_as(record.annotation, record.photo, how)) for record in records]


def _read_as(annotation, photo, how):
  if isinstance(annotation, Union):
    return Union(tuple(_read_as(one, photo, how) for one in annotation.annotations))
  if isinstance(annotation, MaskFile):
    annotation = dataclasses.replace(annotation, inverted=how in (INVERTED, BOTH))
  if not isinstance(annotation, MaskFile | Shapes) or how not in (AS_STORED, BOTH):
    return annotation
  try:
    header = photos.header(photo)
    size = annotation.size if isinstance(annotation, Shapes) else photos.header(annotation.path).size
  except photos.PhotoError:  # told where it is read
    return annotation
  if isinstance(annotation, Shapes) and annotation.relative:
    return dataclasses.replace(annotation, size=header.size, turn=header.orientation)
  return dataclasses.replace(annotation, turn=header.orientation) if size == header.size else annotation


def _orientation(photo):
  try:
    return photos.header(photo).orientation
  except photos.PhotoError:  # which will be left out
    return 1


def turned(masks: Mapping[str, Annotation], of: Mapping[str, pathlib.Path]
           ) -> tuple[dict[str, Annotation], list[Problem]]:
  """The masks, those turned that their size says were drawn on a photo as stored, and a problem where none tells."""
  unclear, turning = [], dict(masks)
  for file, annotation in masks.items():
    if isinstance(annotation, MaskFile) and (turn := _orientation(of[file])) != 1:
      try:
        photo, mask = photos.header(of[file]), photos.header(annotation.path)
      except photos.PhotoError:  # told where it is read
        continue
      if mask.orientation != 1:
        continue
      if mask.size == photo.size != photo.upright:
        turning[file] = dataclasses.replace(annotation, turn=turn)
      elif photo.size == photo.upright:
        unclear.append(file)
  return turning, not_turned(unclear)


def not_turned(files: Sequence[str]) -> list[Problem]:
  """A problem where photos are turned by EXIF data, and nothing tells whether what is drawn on them is."""
  if not files:
    return []
  message = (f'is turned by EXIF data, as {len(files)} photos are, and its mask is not: masks are taken as drawn on '
             f'upright photos; if they were drawn on the pixels as stored, set data.masks={AS_STORED}')
  return [Problem(min(files), _NOT_TURNED, message)]


def inverted(masks: Mapping[str, Annotation]) -> Iterator[Problem]:
  """A problem where masks mark more than half of their photo and nearly all of its border, by a few of them."""
  paths = {file: mask.path for file, mask in sorted(masks.items()) if isinstance(mask, MaskFile)}
  looked_at = [*paths][::-(-len(paths) // _LOOKED_AT) or 1]
  shares = {}
  for file in looked_at:
    try:
      mask = read_mask(paths[file], file)
    except photos.PhotoError:  # told where it is read
      continue
    if looks_inverted(mask):
      shares[file] = mask.mean()
  if shares:
    (file, share), *_ = shares.items()
    some = f'{len(shares)} of {len(looked_at)}'
    message = (f'its mask marks {100 * share:.0f} % of it, its border too, as {some} masks do; '
               f'if the defect is what they leave out, set data.masks={INVERTED}')
    yield Problem(file, _INVERTED, message)


def looks_inverted(mask: Bool[np.ndarray, 'h w']) -> bool:
  """Whether more than half of a photo is marked and nearly all of its border."""
  border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
  return bool(mask.mean() > _MOST and border.mean() > _MOST_OF_BORDER)
