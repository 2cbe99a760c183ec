"""Which photos are trained on, give the threshold, and are tested."""

import dataclasses

from absl import logging

from defect_jax.config import UserError, nearest
from defect_jax.data import dataset, parts, regions, samples, tiles


@dataclasses.dataclass(frozen=True)
class Split:
  """Lists of parts.Record, each sorted by file; no group stands in two of them."""
  train: list
  calibrate: list
  test: list


def view_of(config):
  """tiles.Tiling of a config."""
  data, cut = config.data, config.tiles
  geometry = regions.Geometry(data.size, data.channels, data.region, data.context, data.box, data.fit)
  return tiles.Tiling(geometry, cut.on, cut.reduce, cut.overlap)


def split(config):
  """Split of the photos that a config names; UserError where there are no good ones, or none to test.

  Trained on: good photos of the pool. Threshold: good photos of the part dev. Tested: those of the part that is
  measured; of dev, every other group with good photos gives the threshold, the others are tested.
  """
  data = config.data
  listed = dataset.list_photos(data.source, data.path, cell_type=data.cell_type)
  good = [record for record in listed if record.label == 'good']
  defects = _defects(data, listed)
  by_part = {part: [record for record in good if record.part == part] for part in parts.PARTS}
  train = by_part['pool']
  if len(train) < 2 or not by_part['dev']:
    raise UserError(f'data: {len(by_part["pool"])} good photos in part pool, to train on, and {len(by_part["dev"])} in '
                    'part dev, for the threshold; at least 2 and 1 are needed')
  if data.few_shot:
    chosen = set(parts.choose_few(train, data.few_shot, config.seed))
    train = [record for record in train if record.file in chosen]
  if config.mode == 'predict':
    return Split(train, by_part['dev'], [])
  calibrate, test = by_part['dev'], by_part['final']
  if config.measure.part != 'final':
    calibrate, test = _halves(by_part['dev'])
  if config.measure.part != 'synthetic':
    test = test + [record for record in listed if record.label in defects and record.part == config.measure.part]
  if len(test) < 2:
    raise UserError(f'data: {len(test)} photos to test in part {config.measure.part}; set measure.part')
  return Split(train, calibrate, sorted(test, key=lambda record: record.file))


def _defects(data, listed):
  found = sorted({record.label for record in listed} - {'good'})
  for name in data.defects:
    if name not in found:
      raise UserError(f'data.defects: no class {name!r} to be found; the photos have {", ".join(found)}'
                      f'{nearest(name, found)}')
  return data.defects or found


def _halves(records):
  """Every other group, in the order of their names' digests; a set of one group is split photo by photo."""
  groups = sorted({record.group for record in records}, key=parts.digest)
  if len(groups) == 1:
    logging.warning('all good photos of the part dev belong to one group, so its photos are on both sides')
    return records[::2], records[1::2]
  first = set(groups[::2])
  return ([record for record in records if record.group in first],
          [record for record in records if record.group not in first])


def usable(records, view, max_broken, notes):
  """Shown of every record that can be used; others are added to `notes`, and UserError where they are too many."""
  broken = 0
  for shown in samples.read_all(records, view):
    if shown.reason:
      broken += 1
      if broken > max_broken * len(records):
        raise UserError(f'{shown.record.file}: {shown.reason} ({broken} of {len(records)} photos); replace or remove '
                        'it, or raise data.max_broken')
      notes.append(f'skipped {shown.record.file}: {shown.reason}')
      continue
    yield shown
