"""Of several candidates for each mask keeps the one that reads as the asked defect."""

import numpy as np

from defect_jax.augmentation import selection
from defect_jax.config import UserError
from defect_jax.data import areas, regions
from defect_jax.evaluation import generation

_MOST = 200  # real areas of a class that are looked at


def selector(config, records):
  """Function of ([[(photo, mask, name) a candidate] an image], defects) to (which to keep `[B]`, records of why).

  None where there is but one candidate and one place. UserError where real defects of a class, or good photos, are
  missing.
  """
  if config.filter.candidates == config.filter.places == 1:
    return None
  view = regions.Geometry(size=config.measure.size, channels=3, region='mask')
  chosen = {name: [record for record in records if record.part == config.part and record.label == name]
            for name in dict.fromkeys((*config.defects, areas.GOOD))}
  for name, found in chosen.items():
    if len(found) < 2:
      raise UserError(f'filter.candidates = {config.filter.candidates}, filter.places = {config.filter.places}: what '
                      f'reads as {name} is told by real photos, and there are {len(found)} of it in part '
                      f'{config.part}; add some or set both to 1')
  counts = {name: min(len(found), _MOST) for name, found in chosen.items()}
  real, _ = areas.draw(chosen, counts, areas.Crop(view.size, (view.context, view.context), (0.5, 1.)), config.seed, 1.)
  features = generation.features_of(np.float32([area.image for area in real]) / 255)
  reading = selection.DefectFilter(features, [area.label for area in real], [area.group for area in real],
                              config.filter.quantile)

  def select(candidates, defects):
    squares = [regions.place(photo, mask > 0, view, name)[0] for lot in candidates for photo, mask, name in lot]
    seen = generation.features_of(np.stack(squares))
    return reading.choose(seen.reshape(len(candidates), -1, seen.shape[1]), defects)

  return select
