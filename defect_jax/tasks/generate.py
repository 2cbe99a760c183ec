"""Makes new images from a trained VAE, as an image set with manifest, and measures them against real photos."""

import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from defect_jax import parallel
from defect_jax.augmentation import production, samplers, selection
from defect_jax.config import UserError, config_hash
from defect_jax.evaluation import generation
from defect_jax.imagesets import manifest, writer
from defect_jax.report import generate as report
from defect_jax.runs.folder import Stopped
from defect_jax.runs.progress import ProgressBar
from defect_jax.trained.vae import open_vae


def run(config, workdir):
  """Makes `config.count` images and returns the summary. Raises UserError, Stopped or DiskFull."""
  vae = open_vae(config.vae)
  _check_part(vae.config.data.part)
  photos, real = vae.photos(), real_photos(vae, config.measure.part)
  for_kid = real_photos(vae, config.measure.part, defects=kid_classes(config, vae))
  _check_model(workdir.path(writer.IMAGE_SET), config_hash(config), model_of(vae))
  images = photos.images()
  vae.check_photos(photos)
  sampler, select = sampler_of(config, vae.encode(images), images), _selector(config, vae, images)
  workdir.open()
  print(f'{config.count} images by the sampler {config.sampler.name} of {config.vae}, step {vae.step}, '
        f'{vae.vae.size} px; {parallel.devices()} {jax.default_backend()} device(s)', flush=True)
  began = time.monotonic()
  workdir.cut_back(-1)
  make = maker(config, vae, sampler, photos, select)
  compile_seconds = _warm(make, config.batch)
  found = production.produce(workdir.path(writer.IMAGE_SET), config.count, config.batch, make, config_hash(config),
                             ProgressBar(workdir, 'image').record, stop=lambda: workdir.stop_requested)
  if not found.whole:
    raise Stopped(f'stopped at image {found.done} of {found.total}; the same command goes on')
  seconds = time.monotonic() - began
  made = _read(workdir.path(writer.IMAGE_SET))
  print(f'measuring against {len(real)} real photos of the part {config.measure.part}, for KID {len(for_kid)}',
        flush=True)
  measured = generation.measure(made, images, real, config.seed, for_kid)
  rate = found.made / max(seconds - compile_seconds, 1e-9)
  summary = {'steps': config.count, 'seconds': seconds, 'compile_seconds': compile_seconds,
             'images_per_second': rate, 'devices': parallel.devices(), 'platform': jax.default_backend(),
             'images': len(made), 'skipped': 0, **measured,
             'measured_against': f'{len(for_kid)} photos of the part {config.measure.part}',
             'seconds_per_image': 1 / rate if rate else None}
  report.write(workdir.report_html, workdir.root.name, config, summary, made, images, real)
  return summary


def sampler_of(config, posterior, images):
  """The sampler of a config, from the training photos `[N, S, S, C]` and their posteriors; UserError: samplers.make."""
  settings = config.sampler
  return samplers.make(settings.name, posterior, temperature=settings.temperature, neighbours=settings.neighbours,
                       components=settings.components, seed=config.seed, brightness=np.mean(images, (1, 2, 3)))


def _check_part(trained_on):
  """What is made comes neither from the photos that are opened once, for publishing, nor from those that tell copies
  and realism."""
  if trained_on != 'pool':
    raise UserError(f'vae: it was trained on photos of the part {trained_on}, which nothing may be made from; train it '
                    'on pool')


def _check_model(root, own, model):
  """UserError where images of a config with the hash `own` were made by another VAE than `model`."""
  for image in production.recorded(root).values():
    if image.config_hash == own and image.model != model:
      raise UserError(f'vae: image {image.index} was made by {image.model}, and this is {model} now; begin another run')


def kid_classes(config, vae):
  """Classes of the photos that KID is measured against."""
  return config.measure.kid_elpv if vae.config.data.source == 'elpv' else vae.config.data.defects


def real_photos(vae, part, **changes):
  """Real photos `[M, S, S, C]` of the VAE's classes that it was not trained on; empty where there are none.

  `changes`: to its config.data.
  """
  try:
    return vae.photos(part=part, few_shot=0, max_broken=1., **changes).images()
  except UserError as error:
    logging.warning('no real photos to measure against: %s', error)
    return np.zeros((0, vae.vae.size, vae.vae.size, vae.vae.channels), np.float32)


def _selector(config, vae, images):
  """Function of candidates `[B, C, H, W, C]` to (which to keep `[B]`, records); None where there is but one each."""
  if config.sampler.candidates == 1:
    return None
  real = real_photos(vae, 'dev')  # whatever the images are measured on: no choice sees the part final
  if len(real) < 2:
    raise UserError(f'sampler.candidates = {config.sampler.candidates}: which are copies is told by held-out photos, '
                    'and there are none; set it to 1')
  least = generation.copy_distance(generation.nearest_of_images(real, images))
  typical = float(np.median(selection.sharpness(images)))

  def select(candidates):
    flat = candidates.reshape(-1, *candidates.shape[2:])
    distance, sharp = generation.nearest_of_images(flat, images), selection.sharpness(flat)
    return selection.choose(*(of.reshape(candidates.shape[:2]) for of in (distance, sharp)), least, typical)

  return select


def model_of(vae):
  """What a manifest says of a trained.vae.VaePredictor."""
  return f'{vae.digest[:12]} step {vae.step}'


def maker(config, vae, sampler, photos, select=None):
  """`make` of production.produce; `select` picks one of `config.sampler.candidates` a image."""
  key = jax.random.key(config.seed)
  label = ' '.join(vae.config.data.defects)
  model = model_of(vae)

  @jax.jit
  def images(indices):
    drawn = sampler(jax.vmap(lambda index: jax.random.fold_in(key, index))(indices))
    return samplers.images(vae.decode, drawn), _photos(drawn)

  @jax.jit
  def candidates(indices):
    keys = jax.vmap(lambda index: jax.random.split(jax.random.fold_in(key, index), config.sampler.candidates))(indices)
    drawn = sampler(keys.reshape(-1))
    made = samplers.images(vae.decode, drawn)
    return made.reshape(*keys.shape, *made.shape[1:]), _photos(drawn).reshape(*keys.shape, 2)

  def lineage(rows):
    photo, other = map(int, rows)
    known = {'source': photos.files[photo], 'source_sha256': photos.sha256[photo]} if photo >= 0 else {}
    known |= {'other_source': photos.files[other]} if other >= 0 else {}
    shown = sorted({photos.labels[row] for row in (photo, other) if row >= 0})
    return {'class': ' '.join(shown) or label, 'method': 'vae', 'seed': config.seed,
            'source_part': vae.config.data.part, 'model': model, 'sampler': config.sampler.name, **known}

  def make(indices):
    if select is None:
      made, sources = jax.device_get(images(indices))
      return made, [lineage(rows) for rows in sources]
    made, sources = jax.device_get(candidates(indices))
    chosen, records = select(made)
    each = np.arange(len(indices))
    return made[each, chosen], [lineage(rows) | {'filter': record}
                                for rows, record in zip(sources[each, chosen], records, strict=True)]

  return make


def _photos(drawn):
  """Rows of the photos an image starts from, `[B, 2]`; -1 for none."""
  return jnp.stack([drawn.photo, drawn.partner], -1)


def _warm(make, chunk):
  """Compiles `make`; returns the seconds."""
  began = time.monotonic()
  make(np.arange(chunk, dtype=np.uint32))
  return time.monotonic() - began


def _read(root):
  """The images as written, `[N, S, S, C]` in [0, 1]."""
  return np.stack([writer.read_image(root / made.file) for made in manifest.read_manifest(root)])
