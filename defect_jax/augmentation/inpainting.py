"""Makes the images of given indices by inpainting: draws where, has the model fill it, lays it into the photo."""

import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt32

from defect_jax.augmentation import selection
from defect_jax.data import photos
from defect_jax.diffusion import geometry
from defect_jax.diffusion.pipeline import Pipeline
from defect_jax.diffusion.placement import Placement, Placer
from defect_jax.diffusion.sampler import Encoded, Sampler
from defect_jax.diffusion.sources import Source
from defect_jax.errors import UserError
from defect_jax.imagesets import writer
from defect_jax.imagesets.manifest import Made

_KEPT = 64  # encoded photos in memory
_DECODED = 4  # photos in memory; a large one takes 15 MB
_COMPARED = 4  # masks of a set that goes on

Indices = UInt32[np.ndarray, 'b']
Files = dict[str, np.ndarray]  # arrays of an image by keys of writer.FOLDERS
Line = dict[str, Any]  # keys of a manifest


class InpaintProduction:
  """`make` of production.run: image i is of source i // variants and of pair i of defect and prompt, both in turn.

  Target area and mask are drawn by a generator of (seed, i, place), noise by a key of the same and the candidate. With
  a filter, places are tried until a candidate passes; if none does, the best is kept.
  """

  def __init__(self, model: Pipeline, sampler: Sampler, sources: Sequence[Source], place: Placer, *,
               prompts: Sequence[tuple[str, str]], negative_prompt: str | None, seed: int, variants: int,
               about: Mapping[str, Any], candidates: int = 1, places: int = 1,
               select: selection.Select | None = None):
    """about: what each manifest line says of the sampler. candidates, places, select: of the filter, None for none."""
    self.model, self._sampler, self._sources, self._place = model, sampler, sources, place
    self._prompts, self._seed, self._variants, self._about = prompts, seed, variants, about
    self._candidates, self._places, self._select = candidates, places, select
    *contexts, self._negative = model.encode_text([*(text for _, text in prompts), negative_prompt or ''])
    self._contexts = np.stack(contexts)
    self._encoded: dict[bytes, Encoded] = {}
    self._decode = functools.lru_cache(_DECODED)(lambda row: sources[row].decode())

  def compile(self) -> None:
    self._sampler.compile(*self._contexts.shape[1:])

  def origin(self, index: int) -> dict[str, str]:
    """What production.refuse_others compares."""
    source = self._sources[self._row(index)]
    return {'source': source.record.file, 'source_sha256': source.sha256, 'model': self.model.model}

  def check_masks(self, root: Path, made: Sequence[Made]) -> None:
    """Raises UserError if images in `root` were made with other masks than they would be made with now; of a few."""
    for image in made[:_COMPARED]:
      if writer.is_whole(path := root / str(image.mask)):
        placement = self._placement(image.index, (image.filter or {}).get('place', 0))
        if not np.array_equal(writer.read_levels(path) > 0, placement.soft_mask > 0):
          raise UserError(f'image {image.index} was made with another mask than it would be made with now; put '
                          'masks.file, or the masks of the photos, back as they were, or begin another run')

  def __call__(self, indices: Indices) -> tuple[list[Files], list[Line]]:
    if self._select is None:
      (images,), lines = self._made(indices, 0)
      return images, lines
    best = self._selected(indices, 0)  # of images and their lines
    for place in range(1, self._places):
      if all(selection.passed(line['filter']) for _, line in best):
        break
      # The first that passes, so that an image does not depend on how long others of its batch are tried.
      best = [pair if selection.passed(pair[1]['filter']) else
              max(pair, other, key=lambda pair: selection.merit(pair[1]['filter']))
              for pair, other in zip(best, self._selected(indices, place), strict=True)]
    images, lines = zip(*best, strict=True)
    return list(images), list(lines)

  def _made(self, indices: Indices, place: int) -> tuple[list[list[Files]], list[Line]]:
    """Every image's files for each candidate, and its line, of one place of each image."""
    placements = [self._placement(int(index), place) for index in indices]
    encoded, contexts, made = self._encode(placements), self._contexts[np.int64(indices) % len(self._prompts)], []
    for candidate in range(self._candidates):
      noise = (np.uint32(indices) * np.uint32(self._places) + np.uint32(place)) * np.uint32(self._candidates)
      images = self._sampler(self._seed, noise + np.uint32(candidate), encoded, contexts, self._negative)
      made.append([placement.files(image) for placement, image in zip(placements, images, strict=True)])
    return made, [self._line(int(index), placement) for index, placement in zip(indices, placements, strict=True)]

  def _selected(self, indices: Indices, place: int) -> list[tuple[Files, Line]]:
    """Of each image's candidates in a place the one that the filter keeps, with its line."""
    assert self._select is not None
    made, lines = self._made(indices, place)
    candidates = list(zip(*made, strict=True))
    kept, reasons = self._select([[(files['file'], files['mask'], line['source']) for files in of_image]
                                  for of_image, line in zip(candidates, lines, strict=True)],
                                 [line['class'] for line in lines])
    return [(of_image[row], line | {'filter': reason | {'place': place}})
            for of_image, row, line, reason in zip(candidates, kept, lines, reasons, strict=True)]

  def _row(self, index):
    return index // self._variants % len(self._sources)

  def _placement(self, index: int, place: int) -> Placement:
    row = self._row(index)
    record, photo = self._sources[row].record, self._decode(row)
    placement = self._place(np.random.default_rng([self._seed, index, place]), photo, record.file,
                            self._prompts[index % len(self._prompts)][0])
    return placement._replace(bits=record.bits if photo.dtype == np.uint16 else 16)

  def _encode(self, placements: Sequence[Placement]) -> list[Encoded]:
    """A photo with the same crop and mask is encoded once."""
    pairs = [(geometry.to_canvas(placement.photo, placement.canvas),
              geometry.mask_to_canvas(placement.soft_mask > 0, placement.canvas)) for placement in placements]
    keys = [hashlib.sha256(photo.tobytes() + mask.tobytes()).digest() for photo, mask in pairs]
    canvases = dict(zip(keys, pairs, strict=True))
    if missing := [key for key in canvases if key not in self._encoded]:
      pixels, masks = zip(*(canvases[key] for key in missing), strict=True)
      encoded = self.model.encode_photos(pixels, masks, self._sampler.needs_original)
      self._encoded |= zip(missing, encoded, strict=True)
    of_placements = [self._encoded[key] for key in keys]
    self._encoded = dict(list(self._encoded.items())[-_KEPT:])
    return of_placements

  def _line(self, index: int, placement: Placement) -> Line:
    defect, prompt = self._prompts[index % len(self._prompts)]
    record = self._sources[self._row(index)].record
    return {'class': defect, 'method': 'inpaint', 'seed': self._seed, **self.origin(index),
            'source_part': record.part, 'crop': placement.crop, 'target': placement.target, 'prompt': prompt,
            'bits': None if placement.bits == 16 else placement.bits, **self._about}


def inspect(photos_root: Path, root: Path, made: Made) -> dict[str, int]:
  """What changed outside the mask of an image in `root`, by the files as they were written, for production.run."""
  before = photos.decode(photos_root / str(made.source), str(made.source), made.bits or 16)
  after, mask = (writer.read_levels(root / str(name)) for name in (made.file, made.mask))
  return {'changed_outside_mask': geometry.changed_outside_mask(before, after, mask)}
