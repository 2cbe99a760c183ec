"""New defect photos by inpainting: an image set with manifest and differences, measured against real defects."""

import contextlib
import functools
import os
import pathlib
from typing import Any

import jax
from absl import logging
from ml_collections import ConfigDict

from defect_jax import parallel
from defect_jax.augmentation import inpainting, production, selection
from defect_jax.config import config_hash
from defect_jax.data import cache, listing, photos
from defect_jax.data.seen import Seen
from defect_jax.diffusion import geometry, sources, taught, templates, weights
from defect_jax.diffusion.placement import Placer
from defect_jax.evaluation import changes, generation
from defect_jax.evaluation import inpainting as evaluation
from defect_jax.imagesets import manifest, writer
from defect_jax.report import advice
from defect_jax.report import inpaint as report
from defect_jax.report.answers import Facts, timed
from defect_jax.runs.folder import Workdir
from defect_jax.runs.forecast import Forecast
from defect_jax.trained import inpainter


def run(config: ConfigDict, workdir: Workdir) -> dict[str, Any]:
  """Makes `config.count` images, or this process's share, for the summary. Raises UserError, Stopped or DiskFull."""
  part, seed, kind, drawn, sampling = config.part, config.seed, config.masks.kind, config.masks, config.sampler
  settings = geometry.Settings(**config.geometry)
  photo_folder = sources.folder_of(config.photos, config.weights)
  records = listing.list_photos(config.source, photo_folder, config.split, config.folds, bits=config.bits,
                                masks=drawn.read, key='photos', plain=True)
  fixed = sources.fixed_mask(kind, drawn.polygon, drawn.file)
  chosen, skipped = sources.choose(records, part, config.classes, -(-config.count // config.variants), seed, settings,
                                   fixed)
  real = sources.real_masks(records, part, config.defects) if kind == 'real' else {}
  select = selection.by_real_defects(records, part, config.defects, **config.filter, size=config.measure.size,
                                     seed=seed, features_of=generation.features_of)
  parallel.keep_compiled(cache.cache_folder() / 'compiled')
  model = inpainter.load(config.weights, config.dtype, config.lora)
  place = Placer(settings, kind, fixed, real, drawn.size, drawn.scale, drawn.moved, model.native, model.multiple)
  sampler = model.sampler(place.canvas_size, config.batch, **sampling)
  texts = templates.pairs(config.prompts, config.defects)
  cut = []
  for text in dict.fromkeys((*(text for _, text in texts), config.negative_prompt or '')):
    if lost := model.cut_off(text):
      logging.warning('the prompt %r is longer than the model reads; cut off: %r', text, lost)
      cut.append(lost)
  knows = inpainter.knowledge(config.weights, config.lora)
  if unknown := taught.unknown(knows, config.prompts, config.defects):
    print(f'note: {taught.line(knows, unknown)}', flush=True)
  workdir.open()
  for line in skipped:
    logging.warning('%s', line)
  workdir.forecast = Forecast(1, f'{config.count} images')
  print(f'{config.count} images of {len(chosen)} photos by {model.model}, {sampling.name}, {sampling.steps} steps, '
        f'{sampler.canvas[0]} x {sampler.canvas[1]} px; {parallel.devices()} {jax.default_backend()} device(s)',
        flush=True)
  make = inpainting.InpaintProduction(
      model, sampler, chosen, place, prompts=texts, negative_prompt=config.negative_prompt, seed=seed,
      variants=config.variants, candidates=config.filter.candidates, places=config.filter.places, select=select,
      about={'sampler': sampling.name} | {key: sampling[key] for key in ('steps', 'guidance', 'strength')})
  root = workdir.path(writer.IMAGE_SET) if config.set is None else pathlib.Path(config.set)
  photo_folder = pathlib.Path(photo_folder or '')
  own, share = config_hash(config), config.share
  production.refuse_others(root, own, make.origin)
  looked_at = kind == 'real' or config.filter.candidates * config.filter.places > 1
  if (known := _known(config.lora or config.weights, chosen, listing.of_part(records, part) if looked_at else [])):
    manifest.write_known(root, known)
  make.check_masks(root, [image for image in production.recorded(root).values() if image.config_hash == own])
  progress, summary = production.run(workdir, root, config.count, config.batch, make, own, make.compile, share.process,
                                     share.processes, functools.partial(inpainting.inspect, photo_folder))
  if not progress.whole:
    print('this share is made; the set is whole once those of the other processes are', flush=True)
  summary |= {'images': progress.total, 'skipped': len(skipped), 'skipped_photos': [*map(str, skipped)],
              'whole': progress.whole, 'model': model.model, 'cut_prompts': cut, 'unknown_kinds': unknown,
              'known_kinds': knows.defects if knows else None}
  made, measure = manifest.read_manifest(root) if progress.whole else [], config.measure
  summary |= evaluation.measure(made, root, records, config.defects, part, measure.part, measure.size, seed)
  filtered = [selection.passed(image.filter) for image in made if image.filter]
  summary['passed'] = sum(filtered) if filtered else None
  summary['changed_outside_mask'] = max((image.changed_outside_mask or 0 for image in made), default=None)
  said = []
  if made:
    summary |= _looked_at(made, root, photo_folder, [record for record in listing.of_part(records, part)
                                                     if record.annotation and record.label in config.defects],
                          measure.size, seed)
    said, usable = advice.of('inpaint', Facts.of(summary, config, workdir))
    summary |= usable
  report.write(workdir.report_html, workdir.root.name, workdir.config_text, summary, root, photo_folder, made, said)
  return summary


@timed
def _looked_at(made, root, photo_folder, real, size, seed):
  """What the summary says for the answers of the page: see changes.look."""
  return changes.look(made, root, photo_folder, real, size, seed)


def _known(trained, chosen, looked_at):
  """SHA-256 of the photos that images know of: those that `trained` weights come from, `chosen` ones and those that
  masks or the filter come from; None where a folder of weights does not say it."""
  before = Seen.read(Workdir(trained)) if os.path.isdir(trained) else None
  if trained not in (weights.DEFAULT, weights.RANDOM) and os.path.exists(trained) and before is None:
    return None
  sha256 = {source.sha256 for source in chosen} | (set(before.sha256) if before else set())
  for record in looked_at:
    with contextlib.suppress(photos.PhotoError):
      sha256.add(record.sha256())
  return sha256
