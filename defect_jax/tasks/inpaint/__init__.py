"""New defect photos by inpainting: an image set with manifest and differences, measured against real defects."""

import pathlib
import time

import jax
from absl import logging

from defect_jax import parallel
from defect_jax.augmentation import production, selection
from defect_jax.config import config_hash
from defect_jax.data import prepared
from defect_jax.data.sources import folder
from defect_jax.diffusion import geometry, pipeline
from defect_jax.imagesets import manifest, writer
from defect_jax.report import inpaint as report
from defect_jax.runs.folder import Stopped
from defect_jax.runs.progress import ProgressBar
from defect_jax.tasks.inpaint import filtering, making, measuring, sources


def run(config, workdir):
  """Makes `config.count` images, or this process's share, and returns the summary.

  Raises UserError, Stopped or DiskFull.
  """
  g = config.geometry
  settings = geometry.Settings(g.mode, g.crop, g.target, g.feather, g.padding)
  photo_folder = sources.folder_of(config)
  records = folder.list(photo_folder, 'photos', plain=True)
  fixed = sources.fixed_mask(config.masks)
  chosen, skipped = sources.choose(records, config, settings, fixed)
  marks = sources.real_marks(records, config.part, config.defects) if config.masks.kind == 'real' else {}
  select = filtering.selector(config, records)
  parallel.keep_compiled(prepared.cache_folder() / 'compiled')
  model = pipeline.load(config.weights, config.dtype, config.lora)
  sampler = model.sampler(_canvas(settings, model), config.batch, **config.sampler)
  for text in {text for _, text in making.prompts_of(config)} | {config.negative_prompt or ''}:
    if lost := model.cut_off(text):
      logging.warning('the prompt %r is longer than the model reads; cut off: %r', text, lost)
  workdir.open()
  for line in skipped:
    logging.warning('%s', line)
  root = workdir.path(writer.IMAGE_SET) if config.set is None else pathlib.Path(config.set)
  print(f'{config.count} images of {len(chosen)} photos by {model.model}, {config.sampler.name}, '
        f'{config.sampler.steps} steps, {sampler.canvas[0]} x {sampler.canvas[1]} px; {parallel.devices()} '
        f'{jax.default_backend()} device(s)', flush=True)
  make = making.Maker(config, settings, chosen, fixed, marks, model, sampler, select)
  return _produce(config, workdir, pathlib.Path(photo_folder), root, make, skipped)


def _produce(config, workdir, photo_folder, root, make, skipped):
  own = config_hash(config)
  make.check(image for image in production.recorded(root).values() if image.config_hash == own)
  began = time.monotonic()
  workdir.cut_back(-1)
  compile_seconds = make.compile()
  found = production.produce(root, config.count, config.batch, make, own, ProgressBar(workdir, 'image').record,
                             config.share.process, config.share.processes, lambda: workdir.stop_requested,
                             making.inspector(photo_folder))
  if found.done < found.total:
    raise Stopped(f'stopped at image {found.done} of {found.total}; the same command goes on')
  seconds = time.monotonic() - began
  rate = found.made / max(seconds - compile_seconds, 1e-9)
  summary = {'steps': config.count, 'seconds': seconds, 'compile_seconds': compile_seconds,
             'images_per_second': rate, 'devices': parallel.devices(), 'platform': jax.default_backend(),
             'images': found.total, 'skipped': len(skipped), 'skipped_photos': [*map(str, skipped)],
             'whole': found.whole, 'seconds_per_image': 1 / rate if rate else None, 'model': make.model.model}
  made = manifest.read_manifest(root) if found.whole else []
  if not found.whole:
    print('this share is made; the set is whole once those of the other processes are', flush=True)
  summary |= measuring.measure(config, photo_folder, root, made)
  filtered = [selection.passed(image.filter) for image in made if image.filter]
  summary['passed'] = sum(filtered) if filtered else None
  summary['changed_outside_mask'] = max((image.changed_outside_mask for image in made), default=None)
  report.write(workdir.report_html, workdir.root.name, config, summary, root, photo_folder, made)
  return summary


def _canvas(settings, model):
  sides = settings.crop[-2:] if settings.mode == 'crop' else (model.native,) * 2
  return tuple(-(-side // model.multiple) * model.multiple for side in sides)
