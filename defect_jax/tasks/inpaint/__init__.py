"""New defect photos by inpainting: an image set with manifest and differences, measured against real defects."""

import pathlib
import time

import jax
from absl import logging

from defect_jax import parallel
from defect_jax.augmentation import production, selection
from defect_jax.config import UserError, config_hash
from defect_jax.data import prepared
from defect_jax.data.sources import folder
from defect_jax.diffusion import geometry, masks, pipeline, schedulers
from defect_jax.imagesets import manifest
from defect_jax.report import inpaint as report
from defect_jax.runs.folder import Stopped
from defect_jax.schema import Boolean, Choice, Integer, Names, Number, Optional, Text, Tuple
from defect_jax.tasks.inpaint import filtering, making, measuring, sources
from defect_jax.tasks.progress import Progress

SCHEMA = {
    'task': Choice('inpaint'), 'seed': Integer(0, 2**31 - 1), 'batch': Integer(1, 4096),
    'dtype': Choice('float32', 'bfloat16'), 'weights': Optional(Text()),
    'lora': Optional(Text()), 'photos': Optional(Text()),
    'count': Integer(1, 10**6), 'variants': Integer(1), 'part': Choice('pool', 'dev'), 'classes': Names(),
    'defects': Names(), 'prompts': Tuple(Text()), 'negative_prompt': Optional(Text()),
    'geometry': {'mode': Choice(*geometry.MODES), 'crop': Tuple(Integer(0), 2),
                 'target': Optional(Tuple(Integer(0), 2)), 'feather': Integer(0, 1024), 'padding': Integer(0)},
    'masks': {'kind': Choice(*masks.KINDS), 'polygon': Optional(Tuple(Number(), 6)), 'file': Optional(Text()),
              'size': Tuple(Number(above=0, high=1), 2), 'scale': Tuple(Number(above=0, high=100), 2),
              'moved': Boolean()},
    'sampler': {'name': Choice(*schedulers.NAMES), 'steps': Integer(1), 'guidance': Number(1, 100),
                'strength': Number(above=0, high=1), 'content': Choice('noise', 'original')},
    'filter': {'candidates': Integer(1, 100), 'places': Integer(1, 100), 'quantile': Number(above=0, high=1)},
    'measure': {'part': Choice('dev', 'final'), 'size': Integer(32, 512)},
    'share': {'process': Integer(0), 'processes': Integer(1)}, 'set': Optional(Text()),
}


def run(config, workdir):
  """Makes `config.count` images, or this process's share, and returns the summary.

  Raises UserError, Stopped or DiskFull.
  """
  settings = _settings(config)
  photo_folder = sources.folder_of(config)
  records = folder.list_photos(photo_folder, 'photos', plain=True)
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
    logging.warning(line)
  root = workdir.image_set if config.set is None else pathlib.Path(config.set)
  print(f'{config.count} images of {len(chosen)} photos by {model.model}, {config.sampler.name}, '
        f'{config.sampler.steps} steps, {sampler.canvas[0]} x {sampler.canvas[1]} px; {parallel.devices()} '
        f'{jax.default_backend()} device(s)', flush=True)
  make = making.Maker(config, settings, chosen, fixed, marks, model, sampler, select)
  return _produce(config, workdir, pathlib.Path(photo_folder), root, make, skipped)


def _produce(config, workdir, photo_folder, root, make, skipped):
  own = config_hash(config)
  make.check(image for image in production.recorded(root).values() if image.config_hash == own)
  began = time.monotonic()
  progress = Progress(workdir, began, config.batch)
  progress.compile_seconds = make.compile()
  found = production.produce(root, config.count, config.batch, make, own, progress,
                             config.share.process, config.share.processes, lambda: workdir.stop_requested,
                             making.inspector(photo_folder))
  if found.done < found.total:
    raise Stopped(f'stopped at image {found.done} of {found.total}; the same command goes on')
  seconds = time.monotonic() - began
  rate = found.made / max(seconds - progress.compile_seconds, 1e-9)
  summary = {'steps': config.count, 'seconds': seconds, 'compile_seconds': progress.compile_seconds,
             'images_per_second': rate, 'devices': parallel.devices(), 'platform': jax.default_backend(),
             'images': found.total, 'skipped': len(skipped), 'skipped_photos': skipped, 'whole': found.whole,
             'seconds_per_image': 1 / rate if rate else None, 'model': make.model.model}
  made = manifest.read_manifest(root) if found.whole else []
  if not found.whole:
    print('this share is made; the set is whole once those of the other processes are', flush=True)
  summary |= measuring.measure(config, photo_folder, root, made)
  filtered = [selection.passed(image.filter) for image in made if image.filter]
  summary['passed'] = sum(filtered) if filtered else None
  summary['changed_outside_mask'] = max((image.changed_outside_mask for image in made), default=None)
  report.write(workdir.report_html, workdir.root.name, config, summary, root, photo_folder, made)
  return summary


def _settings(config):
  g, m, s = config.geometry, config.masks, config.share
  if s.process >= s.processes:
    raise UserError(f'share.process = {s.process}: there are {s.processes} processes, counted from 0')
  if config.part == config.measure.part:
    raise UserError(f'measure.part = {config.measure.part}: images are made of photos of this part; choose another')
  for key, least in (('size', m.size), ('scale', m.scale)):
    if len(least) != 2 or least[0] > least[1]:
      raise UserError(f'masks.{key} = {least}: give two numbers, the smaller first')
  for kind, key in (('polygon', 'polygon'), ('png', 'file')):
    if (m.kind == kind) != (m[key] is not None):
      raise UserError(f'masks.{key}: belongs to masks.kind = {kind}, which takes it; set both or neither')
  if m.kind in ('polygon', 'png') and g.target is not None and len(g.target) == 2:
    raise UserError(f'geometry.target = {g.target}: anywhere in the crop it would miss the mask of masks.kind = '
                    f'{m.kind}; give it as left,top,width,height, or leave it out')
  if s.processes > 1 and config.set is None:
    raise UserError(f'share.processes = {s.processes}: several processes fill one set; name its folder in set')
  settings = geometry.Settings(g.mode, g.crop, g.target, g.feather, g.padding)
  if not m.moved:
    _check_kept(m.kind, settings)
  return settings


def _check_kept(kind, settings):
  if kind != 'real':
    raise UserError(f'masks.moved = False: masks of the kind {kind} lie nowhere yet; set masks.kind=real, or leave it')
  if settings.target is not None or len(settings.crop) != 2:
    raise UserError('masks.moved = False: the mask says where the target area is and the crop is laid around it; leave '
                    'geometry.target out and give geometry.crop as width,height')
  if min(settings.crop) <= 2 * settings.feather:
    raise UserError(f'geometry.feather = {settings.feather}: leaves nothing of a crop of {settings.crop} px; make it '
                    'less')


def _canvas(settings, model):
  sides = settings.crop[-2:] if settings.mode == 'crop' else (model.native,) * 2
  return tuple(-(-side // model.multiple) * model.multiple for side in sides)
