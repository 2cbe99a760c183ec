"""How long a defect must be in what a network sees, for it to be seen at all.

  python -m experiments.defect_length --data=../shared/data          some 5 minutes on 2 cores

Marked defects of magnetic tiles and ball screws (pool and dev; final is not looked at), whole photos scaled to 32, 64,
128 and 256 px. Nearest neighbours of VGG16's patches are fitted to good photos of the pool; a defect counts as seen
where its pixels score higher than the photo's other pixels, with an AUROC above 0.9. The table gives the share that is
seen by the defect's length in the network's pixels (looked_at.of); report.advice.SHORTEST is chosen by it.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from absl import flags

from configs import anomaly as config_of
from defect_jax.data import listing, parts, samples, tiles
from defect_jax.data.parts import GOOD
from defect_jax.detectors import scores
from defect_jax.evaluation import classification, looked_at
from defect_jax.registry import DETECTORS
from defect_jax.trained import detector as trained
from experiments import command, results

FLAGS = command.define(data='../shared/data', tiny='A side and few photos, to try the command.', publish=True)

_SETS = {'magnetic_tile': 'magnetic_tile/magnetic_tile', 'bsdata': 'bsdata/ball_screw'}
_SIDES = 32, 64, 128, 256
_EDGES = 0, 2, 4, 8, 16, 32, np.inf  # px of the network
_GOOD, _MARKED = 80, 60  # photos fitted to, and defects of a set
_SEEN = 0.9  # AUROC of the defect's pixels against the others

Seen = tuple[float, float]  # length in px of the network, AUROC


def of_side(records: Sequence[parts.Record], side: int, good: int, marked: int) -> Iterator[Seen]:
  """Every marked defect of a set at a side."""
  config = config_of.get_config()
  config.data.size, config.data.split = side, 'hash'
  config.data.fit, config.tiles.on, config.tiles.reduce = 'pad', False, 1
  config.detector, config.score.map = 'neighbours', 'knn'
  setup = trained.Setup.of(config)
  fitted_to = _some([record for record in records if record.label == GOOD and record.part == 'pool'], good)
  defective = _some([record for record in records if record.label != GOOD and record.annotation], marked)
  images = (sample.image for sample in samples.usable(fitted_to, setup.tiling, [], 0.))
  detector = DETECTORS['neighbours'].fit(tiles.draw(images, setup.tiling, len(fitted_to), 0),
                                         setup.settings(['knn'], None))
  scorer = setup.scorer([detector], [scores.Score.of('knn', 'max')])
  for photo in scorer(samples.usable(defective, setup.tiling, [], 0.)):
    mask = photo.sample.mask
    of_defect = looked_at.of([photo.sample.record], setup.tiling)
    if 0 < mask.sum() < mask.size and of_defect and of_defect['masks']:
      yield of_defect['defect_seen_px'], classification.auroc(mask.ravel(), photo.maps['knn'].ravel()) or 0.


def _some(records, most):
  return records[::-(-len(records) // most) or 1]


def table(seen: Mapping[str, Sequence[Seen]]) -> results.Table:
  """A row per range of lengths: of each set how many defects there are and which share is seen."""
  rows = []
  for low, high in itertools.pairwise(_EDGES):
    cells = []
    for of_set in seen.values():
      within = [auroc for length, auroc in of_set if low < length <= high]
      cells.append(f'{np.mean(np.array(within) > _SEEN):.0%} of {len(within)}' if within else '–')
    rows.append([f'{low} to {high:g} px' if np.isfinite(high) else f'above {low} px', *cells])
  return results.Table(['length in the network', *(f'{name}: seen' for name in seen)], rows)


def main(flags: flags.FlagValues) -> None:
  sides, good, marked = (_SIDES[:1], 8, 8) if flags.tiny else (_SIDES, _GOOD, _MARKED)
  seen: dict[str, list[Seen]] = {}
  for name, folder in _SETS.items():
    records = [record for record in listing.list_photos('folder', Path(flags.data) / folder) if record.part != 'final']
    for side in sides:
      seen.setdefault(name, []).extend(of_side(records, side, good, marked))
      print(f'{name}, {side} px: {len(seen[name])} defects so far', flush=True)
  print(table(seen).markdown())
  if flags.publish:
    results.publish('defect_length', table(seen), seen)


if __name__ == '__main__':
  command.run(main, FLAGS)
