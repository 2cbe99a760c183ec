"""Makes new images from a trained VAE, as an image set with manifest, and measures them against real photos."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from absl import logging
from jaxtyping import Float
from ml_collections import ConfigDict

from defect_jax import parallel
from defect_jax.augmentation import production, samplers, selection
from defect_jax.augmentation.decoding import DecodingProduction, Select
from defect_jax.config import config_hash
from defect_jax.data import dataset, listing, parts
from defect_jax.errors import UserError
from defect_jax.evaluation import generation, visibility
from defect_jax.imagesets import manifest, writer
from defect_jax.report import advice
from defect_jax.report import generate as report
from defect_jax.report.answers import Facts, timed
from defect_jax.runs.folder import Workdir
from defect_jax.runs.forecast import Forecast
from defect_jax.schema import flatten
from defect_jax.trained.vae import VaePredictor, open_vae

Images = Float[np.ndarray, 'n s s c']
_GEOMETRY = ('size', 'channels', 'region', 'box', 'fit')  # of the photos, which a set's images take after


def run(config: ConfigDict, workdir: Workdir) -> dict[str, Any]:
  """Makes `config.count` images and returns the summary. Raises UserError, Stopped or DiskFull."""
  settings, part, seed, count, batch = config.sampler, config.measure.part, config.seed, config.count, config.batch
  vae = open_vae(config.vae)
  if (trained_on := vae.config.data.part) != 'pool':  # the other parts are for publishing, finding copies and measuring
    raise UserError(f'vae: it was trained on photos of the part {trained_on}, which nothing may be made from; train it '
                    'on pool')
  photos, real, used = vae.photos(), real_photos(vae, part), vae.config.data
  for_kid = real_photos(vae, part, defects=kid_classes(vae, config.measure.kid_elpv))
  root, own, model = workdir.path(writer.IMAGE_SET), config_hash(config), f'{vae.digest[:12]} step {vae.step}'
  production.refuse_others(root, own, lambda index: {'model': model})
  images = photos.images()
  vae.check_photos(photos)
  sampler = samplers.make(settings.name, vae.encode(images), temperature=settings.temperature,
                          neighbours=settings.neighbours, components=settings.components, seed=seed,
                          brightness=np.mean(images, (1, 2, 3)))
  make = DecodingProduction(vae.decode, sampler, photos, seed, {
      'class': ' '.join(used.defects), 'source_part': parts.ALL if used.split in ('none', 'kfold') else used.part,
      'model': model, 'sampler': settings.name}, settings.candidates, _selector(vae, photos, settings.candidates))
  workdir.open()
  workdir.forecast = Forecast(1, f'{count} images')
  manifest.write_known(root, photos.sha256, used.region, {key: used[key] for key in _GEOMETRY})
  print(f'{count} images by the sampler {settings.name} of {config.vae}, step {vae.step}, {vae.vae.size} px; '
        f'{parallel.devices()} {jax.default_backend()} device(s)', flush=True)
  _, summary = production.run(workdir, root, count, batch, make, own, lambda: make(np.arange(batch, dtype=np.uint32)))
  made = np.stack([writer.read_image(root / image.file) for image in manifest.read_manifest(root)])
  against = f'{len(real)} real photos of the part {part}, for KID {len(for_kid)}' if len(real) else (
      'the distances of the training photos from one another, since no photos are held out')
  print(f'measuring against {against}', flush=True)
  summary |= {'images': len(made), 'skipped': 0, **generation.measure(made, images, real, seed, for_kid, photos.groups),
              'measured_against': f'{len(for_kid)} photos of the part {part}' if len(real) else against}
  summary |= _looked_at(vae, made, images, photos.groups, seed)
  facts = Facts.of(summary, config, workdir)
  of_vae = {f'vae.{key}': value for key, value in flatten(vae.config).items()}
  said, usable = advice.of('generate', dataclasses.replace(facts, config={**facts.config, **of_vae}))
  summary |= usable
  report.write(workdir.report_html, f'{workdir.root.name}: images by {settings.name}', workdir.config_text, summary,
               made, images, real, said)
  return summary


@timed
def _looked_at(vae: VaePredictor, made: Images, train: Images, groups: Sequence[str], seed: int) -> dict[str, Any]:
  """What the summary says for the answers of the page: how far images are from the photos, and whether defects show."""
  good = _good_photos(vae)
  figures: dict[str, Any] = {'sample_distance': generation.sample_distance(made, train, groups)}
  figures |= visibility.of_images(made, good.images(), good.groups, train, seed) if good else visibility.NOTHING
  return figures


def _good_photos(vae: VaePredictor) -> dataset.Dataset | None:
  """Photos that say what those of a VAE show without a defect; None where it makes these itself, or squares around
  masks, which good photos have not."""
  data = vae.config.data
  if parts.GOOD in data.defects or data.region == 'mask':
    return None
  try:
    return vae.photos(few_shot=visibility.MOST, defects=(parts.GOOD,), max_broken=1.)
  except UserError as error:
    logging.info('no good photos to compare with: %s', error)
    return None


def kid_classes(vae: VaePredictor, of_elpv: Sequence[str]) -> Sequence[str]:
  """Classes of the photos that KID is measured against; `of_elpv`: of ELPV's cells."""
  return of_elpv if vae.config.data.source == 'elpv' else vae.config.data.defects


def real_photos(vae: VaePredictor, part: str, **changes: Any) -> Images:
  """Real photos of the VAE's classes that it was not trained on, if there are any; `changes`: to its config.data.

  part: of those that are split by hash; a folder's own test photos, or a fold, take its place.
  """
  data = vae.config.data
  photos, reason = listing.first_of(listing.held_out(data.split, data.fold, part), lambda name: vae.photos(
      part=name, few_shot=0, max_broken=1., **changes))
  if reason:
    logging.warning('no real photos to measure against: %s', reason)
  return photos.images() if photos else np.zeros((0, vae.vae.size, vae.vae.size, vae.vae.channels), np.float32)


def _selector(vae: VaePredictor, photos: dataset.Dataset, candidates: int) -> Select | None:
  """Keeps candidates that are new and about as sharp as the photos; None for a single candidate."""
  if candidates == 1:
    return None
  images, real = photos.images(), real_photos(vae, 'dev')  # whatever is measured on: no choice sees the part final
  if len(real) < 2 and len(set(photos.groups)) < 2:
    raise UserError(f'sampler.candidates = {candidates}: it takes held-out photos, or several workpieces, to find '
                    'copies, and there are none; set it to 1')
  least = generation.copy_distance(generation.nearest_of_images(real, images) if len(real) > 1 else
                                   generation.between_groups(images, photos.groups))
  typical = float(np.median(selection.sharpness(images)))

  def select(candidates):
    flat, shape = candidates.reshape(-1, *candidates.shape[2:]), candidates.shape[:2]
    distance, sharp = generation.nearest_of_images(flat, images), selection.sharpness(flat)
    return selection.choose(distance.reshape(shape), sharp.reshape(shape), least, typical)

  return select
