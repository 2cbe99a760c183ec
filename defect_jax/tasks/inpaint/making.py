"""Makes the images of given indices: draws where, has the model fill it, lays it into the photo."""

import collections
import functools
import hashlib

import numpy as np

from defect_jax.augmentation import selection
from defect_jax.config import UserError
from defect_jax.data import photos
from defect_jax.diffusion import geometry, masks
from defect_jax.imagesets import writer
from defect_jax.tasks import prompts

_KEPT = 64  # encoded photos at hand
_DECODED = 4  # photos at hand; a large one takes 15 MB


def prompts_of(config):
  """Pairs (defect, text) in the order images take them: every defect, then the next prompt."""
  return [(defect, prompts.fill(template, defect)) for template in config.prompts for defect in config.defects]


class Maker:
  """`make` of production.produce.

  Image i is of source i // variants and of the pair i of defect and prompt, both in turn. Target area and mask are
  drawn by a generator of (seed, i, place), noise by a key of the same and the candidate. With a filter, places are
  tried until a candidate passes; the best is kept where none does.
  """

  def __init__(self, config, settings, sources, fixed, marks, model, sampler, select=None):
    """settings: geometry.Settings. fixed: of sources.fixed_mask. marks: of sources.real_marks. select: of filtering."""
    self._select = select
    self._config, self._settings, self._sources = config, settings, sources
    self._fixed, self._marks, self.model, self._sampler = fixed, marks, model, sampler
    self._pairs = prompts_of(config)
    texts = [text for _, text in self._pairs]
    *contexts, self._negative = model.encode_text([*texts, config.negative_prompt or ''])
    self._contexts = np.stack(contexts)
    self._encoded = collections.OrderedDict()
    self._decode = functools.lru_cache(_DECODED)(lambda row: self._sources[row].decode())

  def compile(self):
    """Compiles what takes long to compile; returns the seconds."""
    return self._sampler.compile(*self._contexts.shape[1:]).compile_seconds

  def check(self, made):
    """UserError where one of some Made is of another photo, or by other weights, than this would make of its index."""
    for image in made:
      source = self._sources[self._row(image.index)]
      if (image.source, image.source_sha256, image.model) != (source.record.file, source.sha256, self.model.model):
        raise UserError(f'image {image.index} was made of {image.source} by {image.model}, and now it would be made of '
                        f'{source.record.file} by {self.model.model}; put photos and weights back as they were, or '
                        'begin another run')

  def __call__(self, indices):
    """(list of dicts of arrays by keys of writer.FOLDERS, list of dicts of a manifest's keys)."""
    if self._select is None:
      (images,), lineage = self._candidates(indices, 0)
      return images, lineage
    pairs = self._selected(indices, 0)  # of images and their lines
    for place in range(1, self._config.filter.places):
      if all(selection.passed(line['filter']) for _, line in pairs):
        break
      # The first that passes, so that an image does not depend on how long others of its batch are tried.
      pairs = [pair if selection.passed(pair[1]['filter']) else
               max(pair, other, key=lambda of: selection.merit(of[1]['filter']))
               for pair, other in zip(pairs, self._selected(indices, place), strict=True)]
    images, lineage = zip(*pairs, strict=True)
    return list(images), list(lineage)

  def _candidates(self, indices, place):
    """(a list of every image's files for each candidate, lineage) of one place of each image."""
    jobs = [self._job(int(index), place) for index in indices]
    encoded, pairs = self._encode(jobs), [int(index) % len(self._pairs) for index in indices]
    count, places, lots = self._config.filter.candidates, self._config.filter.places, []
    for candidate in range(count):
      noise_of = (np.uint32(indices) * np.uint32(places) + np.uint32(place)) * np.uint32(count) + np.uint32(candidate)
      canvases = self._sampler(self._config.seed, noise_of, encoded, self._contexts[pairs], self._negative)
      lots.append([_files(*job, canvas) for job, canvas in zip(jobs, canvases, strict=True)])
    return lots, [self._lineage(int(index), job) for index, job in zip(indices, jobs, strict=True)]

  def _selected(self, indices, place):
    """[(files, line)]: of each image's candidates in a place the one that the filter keeps."""
    lots, lineage = self._candidates(indices, place)
    candidates = list(zip(*lots, strict=True))
    kept, reasons = self._select([[(of['file'], of['mask'], line['source']) for of in lot]
                                  for lot, line in zip(candidates, lineage, strict=True)],
                                 [line['class'] for line in lineage])
    return [(lot[at], line | {'filter': reason | {'place': place}})
            for lot, at, line, reason in zip(candidates, kept, lineage, reasons, strict=True)]

  def _row(self, index):
    return index // self._config.variants % len(self._sources)

  def _job(self, index, place):
    """(photo, crop, target, soft_mask `[H, W]`, View) of a place of an image."""
    rng, row = np.random.default_rng([self._config.seed, index, place]), self._row(index)
    photo, record = self._decode(row), self._sources[row].record
    shape = photo.shape[:2]
    defect = self._pairs[index % len(self._pairs)][0]
    core = self._laid(rng, shape, record.file, defect)
    crop, target = geometry.place(shape, self._settings, rng, record.file, None if core is None else masks.bounds(core))
    if core is None:
      core, area = np.zeros(shape, bool), np.s_[target[1]:target[1] + target[3], target[0]:target[0] + target[2]]
      core[area] = self._draw(rng, (target[3], target[2]), defect)
    soft_mask = np.zeros(shape, np.float32)
    part = (slice(crop[1], crop[1] + crop[3]), slice(crop[0], crop[0] + crop[2]))
    inside = (target[0] - crop[0], target[1] - crop[1], *target[2:])
    ends = (target[0] == 0, target[1] == 0, target[0] + target[2] == shape[1], target[1] + target[3] == shape[0])
    soft_mask[part] = masks.feathered(core[part], inside, self._settings.feather, ends)
    view = geometry.Canvas.of(self._settings, crop, masks.bounds(soft_mask > 0), self.model.native, self.model.multiple)
    return photo, crop, target, soft_mask, view

  def _laid(self, rng, shape, name, defect):
    """The mask of a photo, where it follows from the photo; None where it is drawn within the target area."""
    if self._fixed:
      return self._fixed(shape, name)
    if self._config.masks.moved:
      return None
    width, height = (side - 2 * self._settings.feather for side in self._settings.crop)
    return masks.fixed(self._mark(rng, defect), shape, (height, width))

  def _mark(self, rng, defect):
    marks = self._marks[defect]
    return marks[int(rng.integers(len(marks)))]

  def _draw(self, rng, shape, defect):
    """A mask within a target area of a shape."""
    kind, settings = self._config.masks.kind, self._config.masks
    if kind == 'box':
      return np.ones(shape, bool)
    if kind == 'random':
      return masks.random(rng, shape, *settings.size)
    return masks.placed(rng, shape, self._mark(rng, defect).mask, *settings.scale)

  def _encode(self, jobs):
    """An Encoded for each job; a photo with the same crop and mask is encoded once."""
    canvases, keys = {}, []
    for photo, _, _, soft_mask, view in jobs:
      canvas, marks = geometry.to_canvas(photo, view), geometry.mask_to_canvas(soft_mask > 0, view)
      keys.append(hashlib.sha256(canvas.tobytes() + marks.tobytes()).digest())
      canvases[keys[-1]] = canvas, marks
    if missing := [key for key in canvases if key not in self._encoded]:
      photos_and_marks = zip(*(canvases[key] for key in missing), strict=True)
      found = self.model.encode_photos(*photos_and_marks, self._sampler.needs_original)
      self._encoded |= zip(missing, found, strict=True)
    encoded = [self._encoded[key] for key in keys]
    while len(self._encoded) > _KEPT:
      self._encoded.popitem(last=False)
    return encoded

  def _lineage(self, index, job):
    source, sampler = self._sources[self._row(index)], self._config.sampler
    defect, prompt = self._pairs[index % len(self._pairs)]
    return {'class': defect, 'method': 'inpaint', 'seed': self._config.seed, 'source': source.record.file,
            'source_sha256': source.sha256, 'source_part': source.record.part, 'crop': job[1], 'target': job[2],
            'prompt': prompt, 'model': self.model.model, 'sampler': sampler.name, 'steps': sampler.steps,
            'guidance': sampler.guidance, 'strength': sampler.strength}


def _files(photo, crop, target, soft_mask, view, canvas):
  del target
  after = geometry.paste(photo, canvas, view, soft_mask)
  left, top, width, height = crop
  return {'file': after, 'mask': np.uint8(soft_mask > 0) * 255, 'crop_file': after[top:top + height, left:left + width],
          'difference_file': geometry.difference(photo, after)}


def inspector(photos_root):
  """`inspect` of production.produce: what changed outside the mask, by the files as they were written."""
  def inspect(root, made):
    before = photos.decode(photos_root / made.source, made.source)
    after, mask = (writer.read_levels(root / name) for name in (made.file, made.mask))
    return {'changed_outside_mask': geometry.changed_outside_mask(before, after, mask)}
  return inspect
