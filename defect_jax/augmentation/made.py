"""The made images that a classifier is trained on: sound ones, as many as a ratio says, from all sets alike."""

import collections
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from defect_jax.augmentation import fits
from defect_jax.data import dataset, parts, regions, samples, splits, tiles
from defect_jax.data.parts import GOOD
from defect_jax.errors import UserError
from defect_jax.imagesets import manifest, soundness


def load(sets: Sequence[str], ratio: float, photos: splits.Splits, *, seed: int, max_broken: float, **data: Any,
         ) -> dataset.InMemory:
  """Loads `ratio` times as many made images of each class as there are real photos to train on; see made_counts.

  No image is taken that was made of a photo which early stopping looks at, nor one that the filter of inpainting did
  not pass. data: values of a config's `data` group. UserError for sets that are unsound or do not fit, other classes
  and too few images.
  """
  notes, by_label, geometry = [], {}, regions.Geometry.of(data)  # by_label: {label: {root: list of Made}}
  for root in sets:
    images = manifest.read_manifest(root)
    soundness.refuse_unsound(root, images, photos.part_of, photos.apart, photos.trained_on)
    fits.refuse_unfit(root, images, photos, geometry)
    left_out = collections.Counter()
    for image in images:
      usable = by_label.setdefault(_label(root, image, photos), {}).setdefault(root, [])
      if reason := _unusable(image, photos):
        left_out[reason] += 1
      else:
        usable.append(image)
    notes += [f'{root}: {count} of {len(images)} images {reason}, so are not trained on'
              for reason, count in left_out.items()]
  real_counts = {label: int(np.sum(photos.train.labels == label)) for label in range(len(photos.classes))}
  counts = made_counts(ratio, real_counts, {label: {root: len(images) for root, images in by_root.items()}
                                            for label, by_root in by_label.items()})
  chosen = [(root, images[row], label) for label, by_root in sorted(counts.items())
            for number, (root, count) in enumerate(by_root.items()) for images in [by_label[label][root]]
            for row in np.sort(np.random.default_rng((seed, label, number)).permutation(len(images))[:count])]
  return _read(chosen, max_broken, data, notes)


def for_fold(sets: Sequence[str], photos: splits.Splits, number: int, path: str | None) -> list[str]:
  """The sets that know of no photo that is tested in a fold, nor of its groups; UserError where there is none, with the
  commands that make one of the photos in `path`."""
  found = [root for root in sets if (known := manifest.read_known(root)) and known.sha256.isdisjoint(photos.apart)]
  if not found:
    fold, start = number + 1, 'python -m defect_jax.main --config=configs/'
    raise UserError(
        f'made.per_fold: no set of made.sets is made without the photos of fold {fold} of {photos.folds}; make one by: '
        f'{start}vae_split.py --config.data.path={path} --config.data.split=kfold --config.data.folds={photos.folds} '
        f'--config.data.fold={fold} --workdir=runs/vae_fold{fold} && {start}generate.py '
        f'--config.vae=runs/vae_fold{fold} --workdir=runs/generate_fold{fold}; then add runs/generate_fold{fold}/set '
        'to made.sets')
  return found


def _unusable(image, photos):
  """Why a made image is not trained on; None for one that may be."""
  if image.source_sha256 in photos.held_sha256 or not photos.held_files.isdisjoint(soundness.sources(image)):
    return 'were made of photos that early stopping looks at'
  if image.filter and image.filter.get('passed') == 0:
    return 'did not pass the filter of inpainting'
  return None


def made_counts(ratio: float, real_counts: Mapping[int, int], available: Mapping[int, Mapping[str, int]],
                ) -> dict[int, dict[str, int]]:
  """How many made images are taken: {label: {set: count}}, `ratio` times the real photos of the class in all, from each
  set as many, as far as it has them. Classes without made images take none. UserError where fewer are available."""
  return {label: _evenly(ratio, real_counts[label], by_root) for label, by_root in available.items()}


def _evenly(ratio, real, available):
  wanted = round(ratio * real)
  if wanted > sum(available.values()):
    raise UserError(f'made.ratio = {ratio:g}: asks for {wanted} made images beside {real} real photos, and '
                    f'{", ".join(available)} has {sum(available.values())} usable ones; make more or lower the ratio')
  taken, left = {}, wanted
  for done, (root, count) in enumerate(sorted(available.items(), key=lambda item: item[1])):
    taken[root] = min(count, left // (len(available) - done))
    left -= taken[root]
  return {root: taken[root] for root in available}


def _label(root, image, photos):
  """The number of a made image's class. One that a model made of several classes at once is named by all of them."""
  if image.label == GOOD:
    return 0
  classes, names = photos.classes, photos.defects
  if image.label in names or (len(classes) < len(names) + 1 and set(image.label.split()) <= set(names)):
    return splits.number_of(image.label, classes)
  raise UserError(f'{root}: {image.file} is of the class {image.label}, the classifier knows '
                  f'{", ".join([GOOD, *names])}; name the class in data.defects, or take the set out of made.sets')


def _read(chosen, max_broken, data, notes):
  """Dataset of (set, Made, label); those that cannot be read are skipped."""
  geometry = regions.Geometry.of(data)
  images, kept, skipped = [np.zeros((0, geometry.size, geometry.size, geometry.channels), np.float32)], [], []
  for root, image, label in chosen:
    record = parts.Record(image.file, image.label, image.file, pathlib.Path(root) / image.file,
                          bits=image.bits or 16)
    whole = image.method in fits.WHOLE
    sample = samples.read(record, tiles.Tiling(geometry if whole else regions.Geometry.of(data, region='full')))
    if sample.image is None:
      skipped.append(dataset.Skipped(f'{root}/{image.file}', sample.reason))
      dataset.check_skipped(skipped, len(chosen), max_broken)
      continue
    images.append(sample.image[None])
    kept.append((label, f'{root}/{image.file}', image.source_sha256 or ''))
  labels, files, sha256 = ([row[column] for row in kept] for column in range(3))
  return dataset.InMemory(np.concatenate(images), np.array(labels, np.int32), files, files, sha256,
                          skipped=tuple(skipped), notes=tuple(notes))
