"""Which made images may be trained on: from photos that may be trained on themselves, by trained weights."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from defect_jax.config import UserError
from defect_jax.imagesets.manifest import Made

_NAMED = 3  # files that a refusal names
_HELD_OUT = 'were made from photos that are held out of training; make them from the part pool'
_RANDOM = 'random'  # Made.model of an untrained pipeline


def refuse_unsound(root: str | Path, made: Sequence[Made], part_of: Mapping[str, str],
                   apart: Mapping[str, str], trained_on: Collection[str] = ('pool',)) -> None:
  """Raises UserError, naming the first few images, if a set holds any that nothing may be trained on.

  part_of: {file: part} of the real photos that the classifier knows. It decides on the part of a source, not the
  manifest: photos may have been grouped anew since the images were made. apart: {SHA-256: file} of the photos of the
  other parts, so that a source is found under another name too. trained_on: the parts that images may come from.
  """
  if not made:
    raise UserError(f'{root}: holds no made images; make them, or take the set out of made.sets')
  _refuse(root, [image.file for image in made if image.model == _RANDOM],
          'were made by random weights, so show noise; make them by trained ones')
  _refuse(root, [f'{image.file} (of {source}, {part})' for image in made for source, part in _sources(image, part_of)
                 if part not in (None, *trained_on)], _HELD_OUT)
  _refuse(root, [f'{image.file} (of {apart[image.source_sha256]})' for image in made
                 if image.source_sha256 and image.source_sha256 in apart], _HELD_OUT)
  _refuse(root, [image.file for image in made if image.source_part not in trained_on],
          f'do not say that their source is of the part {" or ".join(trained_on)}; make them anew')


def sources(image: Made) -> list[str]:
  """Files of the photos that an image was made from; none if it comes from a model alone."""
  return [source for source in (image.source, image.other_source) if source is not None]


def _sources(image, part_of):
  """Pairs of source and part, None where the source is no photo that is known; the manifest's own word comes last."""
  return [*((source, part_of.get(source)) for source in sources(image)),
          (image.source or 'its model', image.source_part)]


def _refuse(root, names, why):
  if names:
    more = f' and {len(names) - _NAMED} more' if len(names) > _NAMED else ''
    raise UserError(f'{root}: {", ".join(names[:_NAMED])}{more} {why}')
