"""The made images that a classifier is trained on: sound ones, as many as a ratio says, from all sets alike."""

import collections
import pathlib
import typing

import numpy as np

from defect_jax.config import UserError
from defect_jax.data import dataset, parts, regions, samples, tiles
from defect_jax.imagesets import manifest, soundness
from defect_jax.tasks.classifier.lots import GOOD, label_of

_OF_WHOLE_PHOTOS = ('inpaint',)  # methods whose images are photos of the source's size


class Held(typing.NamedTuple):
  """Photos of the workpieces that early stopping looks at: their files, and the SHA-256 by which a copy of another name
  is known."""
  files: set
  digests: set


def load(config, real, classes, names, part_of, apart, held):
  """Dataset of made images.

  Args:
    config: of the task. real: Dataset of the real photos that are trained on. classes: names, good first. names: of the
      defects. part_of, apart: as of soundness.refuse_unsound. held: Held, of which no image is taken, nor one that
      the filter of inpainting did not pass.

  Raises UserError for unsound sets, other classes, and a ratio that asks for more images than there are.
  """
  notes, by_label = [], {}  # label: {root: list of Made}
  for root in config.made.sets:
    made = manifest.read_manifest(root)
    soundness.refuse_unsound(root, made, part_of, apart)
    left_out = collections.Counter()
    for image in made:
      usable = by_label.setdefault(_label(root, image, classes, names), {}).setdefault(root, [])
      if reason := _unusable(image, held):
        left_out[reason] += 1
      else:
        usable.append(image)
    notes += [f'{root}: {count} of {len(made)} images {reason}, so are not trained on'
              for reason, count in left_out.items()]
  real_counts = {label: int(np.sum(real.labels == label)) for label in range(len(classes))}
  counts = made_counts(config.made.ratio, real_counts,
                       {label: {root: len(made) for root, made in by_root.items()}
                        for label, by_root in by_label.items()})
  chosen = [(root, by_label[label][root][row], label) for label, by_root in sorted(counts.items())
            for number, (root, count) in enumerate(by_root.items())
            for row in _drawn(len(by_label[label][root]), count, (config.seed, label, number))]
  return _read(config, chosen, notes)


def _unusable(image, held):
  """Why a made image is not trained on; None for one that may be."""
  if image.source_sha256 in held.digests or not held.files.isdisjoint(soundness.sources(image)):
    return 'were made of photos that early stopping looks at'
  if image.filter and image.filter.get('passed') == 0:
    return 'did not pass the filter of inpainting'
  return None


def made_counts(ratio, real_counts, available):
  """How many made images are taken: {label: {set: count}}, `ratio` times the real photos of the class in all.

  Sets give as many each, as far as they have them. Classes without made images take none.

  Args:
    ratio: number. real_counts: {label: count}. available: {label: {set: count}}.

  Raises UserError where there are fewer.
  """
  return {label: _evenly(ratio, real_counts[label], of) for label, of in available.items()}


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


def _drawn(count, wanted, seed):
  return np.sort(np.random.default_rng(seed).permutation(count)[:wanted])


def _label(root, image, classes, names):
  """The number of a made image's class. One that a model made of several classes at once is named by all of them."""
  if image.label == GOOD:
    return 0
  if image.label in names or (len(classes) < len(names) + 1 and set(image.label.split()) <= set(names)):
    return label_of(image.label, classes)
  raise UserError(f'{root}: {image.file} is of the class {image.label}, the classifier knows '
                  f'{", ".join([GOOD, *names])}; name the class in data.defects, or take the set out of made.sets')


def _read(config, chosen, notes):
  """Dataset of (set, Made, label); those that cannot be read are skipped."""
  size, channels = config.data.size, config.data.channels
  images, kept, skipped = [np.zeros((0, size, size, channels), np.float32)], [], []
  for root, image, label in chosen:
    region = config.data.region if image.method in _OF_WHOLE_PHOTOS else 'full'
    record = parts.Record(image.file, image.label, image.file, pathlib.Path(root) / image.file)
    shown = samples.read(record, tiles.Tiling(regions.Geometry.of(config.data, region=region)))
    if shown.reason:
      skipped.append(dataset.Skipped(f'{root}/{image.file}', shown.reason))
      dataset.check_skipped(skipped, len(chosen), config.data.max_broken)
      continue
    images.append(shown.image[None])
    kept.append((label, f'{root}/{image.file}', image.source_sha256 or ''))
  labels, files, sha256 = ([row[column] for row in kept] for column in range(3))
  return dataset.InMemory(np.concatenate(images), np.array(labels, np.int32), files, files, sha256,
                          skipped=tuple(skipped), notes=tuple(notes))
