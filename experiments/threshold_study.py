"""What a threshold from good photos promises, on photos of workpieces that it has not seen: by folds and by a part.

  python -m experiments.threshold_study                    both sets, 20 draws, a PCA: about 5 minutes on 2 cores
  python -m experiments.threshold_study --tiled            small tiles, as small defects want them: longer

A draw divides the good photos of pool and dev at random into own and held-out ones, by their groups, half each (final
is not looked at). Own photos are taken in two ways:

- folds: the detector is trained on all of them, and the threshold comes from scores of the folds that hold them out,
  as the task has it by data.split=kfold.
- part: the detector is trained on half of their groups, and a quarter of the groups gives the threshold, as shares of
  pool and dev are by data.split=hash. (The last quarter is final, which nothing takes.)

Then the share of held-out good photos above the threshold is compared with the interval that the threshold came with.
It agrees if the 95 % interval of the difference holds 0, by the method of variance estimates recovery (Zou and Donner
2008, "Construction of confidence limits about effect measures"), from the threshold's interval and the held-out share's
own, by groups. `alone`: the share itself lies in the threshold's interval. AUROC: of held-out good photos against
defects of groups that are not among the own ones.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from ml_collections import ConfigDict

from configs import anomaly as config_of
from defect_jax.data import calibration, listing, parts, samples, tiles
from defect_jax.data.parts import GOOD
from defect_jax.detectors import threshold as thresholds
from defect_jax.evaluation import classification
from defect_jax.registry import DETECTORS
from defect_jax.trained import detector as trained
from experiments import anomaly_study, command, results

FLAGS = command.define(data='../shared/data', tiny='Two draws of few photos, to try the command.', publish=True)
flags.DEFINE_list('sets', ['bsdata', 'magnetic_tile'], 'Which sets.', flag_values=FLAGS)
flags.DEFINE_integer('draws', 20, 'How many draws.', lower_bound=2, flag_values=FLAGS)
flags.DEFINE_enum('detector', 'pca', ['pca', 'mean_image', 'neighbours'], 'Which detector.', flag_values=FLAGS)
flags.DEFINE_boolean('tiled', False, 'Tiles and scores of experiments/anomaly_study.py, else those of the config.',
                     flag_values=FLAGS)

_TILING = ('data.size', 'tiles.on', 'tiles.reduce', 'score.smooth', 'score.blur', 'baselines.pca')
_PATHS = {name: anomaly_study._SETS[name]['data.path'] for name in ('bsdata', 'magnetic_tile')}
_FEW = 60  # photos of a class, if tiny
WAYS = {'folds': 'folds: all own photos', 'folds, ungrouped': 'the same, groups ignored',
        'part': 'part: half of them, groups ignored'}


@dataclasses.dataclass(frozen=True)
class Set:
  """Photos as they are tiled, by file, with their records and how they are scored."""
  records: Sequence[parts.Record]
  photos: Mapping[str, samples.Sample]
  setup: trained.Setup
  most: int  # tiles that a detector is fitted to

  @classmethod
  def open(cls, name: str, data: Path, detector: str, tiled: bool, tiny: bool) -> 'Set':
    """The photos of pool and dev."""
    config: ConfigDict = config_of.get_config()
    settings = {'data.source': 'folder', 'data.path': str(data / _PATHS[name]), 'data.fit': 'pad', 'detector': detector}
    if tiled:
      settings |= {key: value for key, value in anomaly_study._SETS[name].items() if key in _TILING}
    config.update_from_flattened_dict(settings)
    setup = trained.Setup.of(config)
    listed = [record for record in listing.list_photos('folder', config.data.path) if record.part != 'final']
    if tiny:
      listed = [record for label in listing.labels_of(listed)
                for record in [other for other in listed if other.label == label][::7][:_FEW]]
    skipped: list[Any] = []
    read = samples.usable(listed, setup.tiling, skipped, 0.)
    return cls(listed, {sample.record.file: sample for sample in read}, setup, config.tiles.most)

  def fitted(self, train: Sequence[parts.Record]) -> Any:
    """The detector of good photos."""
    good = tiles.draw((self.photos[record.file].image for record in train), self.setup.tiling, self.most, 0)
    return DETECTORS[self.setup.detector].fit(good, self.setup.settings([self.setup.score.map], None))

  def scores(self, detector: Any, records: Sequence[parts.Record]) -> list[float]:
    """By a detector, in order."""
    scorer = self.setup.scorer([detector], [self.setup.score])
    return [photo.scores[self.setup.score.name] for photo in scorer(self.photos[record.file] for record in records)]

  def draw(self, seed: int) -> Iterator[dict[str, Any]]:
    """The rows of a draw, one a way."""
    good = [record for record in self.records if record.label == GOOD]
    order = _order({record.group for record in good}, seed)
    own, held = (_of_groups(good, groups) for groups in (order[::2], order[1::2]))
    new = [record for record in self.records if record.label != GOOD and record.group not in order[::2]]
    folded, train = self._by_folds(own), _of_groups(own, order[::4])
    for way, stays, scored, records, grouped in (
        ('folds', self.fitted(own), folded, own, True), ('folds, ungrouped', None, folded, own, False),
        ('part', self.fitted(train), None, _of_groups(own, order[2::8]), False)):
      if stays is not None:
        detector, unseen = stays, None
      scored = self.scores(detector, records) if scored is None else scored
      unseen = self.scores(detector, [*held, *new]) if unseen is None else unseen
      found = thresholds.from_good(scored, self.setup.quantile, '',
                                   [record.group for record in records] if grouped else None)
      rate, interval = thresholds.share_above(found.value, unseen[:len(held)], [record.group for record in held])
      yield {'draw': seed, 'way': way, 'trained_on': len(own if way != 'part' else train),
             'calibrated_by': len(records), 'promised': found.false_alarm_rate, 'ci': found.false_alarm_ci,
             'false_alarms': rate, 'false_alarms_ci': interval,
             'agrees': agrees(found.false_alarm_rate, found.false_alarm_ci, rate, interval),
             'alone': found.false_alarm_ci[0] <= rate <= found.false_alarm_ci[1],
             'auroc': classification.auroc(np.arange(len(unseen)) >= len(held), np.array(unseen))}

  def _by_folds(self, own):
    """Scores of own photos, each by a fold that has not seen its group."""
    listed = [dataclasses.replace(record, assigned=parts.ALL) for record in own]
    found = {}
    for fold in calibration.split(listed, by='kfold').folds:
      values = self.scores(self.fitted(fold.train), fold.calibrate)
      found |= zip((record.file for record in fold.calibrate), values, strict=True)
    return [found[record.file] for record in own]


def agrees(promised: float, promised_ci: tuple[float, float], rate: float, rate_ci: tuple[float, float]) -> bool:
  """Whether the 95 % interval of the difference of two independent shares holds 0, by their own intervals."""
  low, high = ((rate - rate_ci[0], promised_ci[1] - promised), (rate_ci[1] - rate, promised - promised_ci[0]))
  return bool(-np.hypot(*high) <= rate - promised <= np.hypot(*low))


def _order(groups, seed):
  """Groups in an order drawn at random."""
  return np.random.default_rng(seed).permutation(sorted(groups)).tolist()


def _of_groups(records, groups):
  return [record for record in records if record.group in groups]


def table(rows: Sequence[Mapping[str, Any]]) -> results.Table:
  """A line for each set and way: means over the draws."""
  lines = []
  for name in dict.fromkeys(row['set'] for row in rows):
    of_set = [row for row in rows if row['set'] == name]
    before = {row['draw']: row['auroc'] for row in of_set if row['way'] == 'part'}
    for way, words in WAYS.items():
      some = [row for row in of_set if row['way'] == way]
      gains = [row['auroc'] - before[row['draw']] for row in some]
      lines.append([
          name, words, *(f'{np.mean([row[key] for row in some]):.0f}' for key in ('trained_on', 'calibrated_by')),
          _percent(some, 'promised'), f'{_percent(some, "ci", 0)} to {_percent(some, "ci", 1)}',
          _percent(some, 'false_alarms'), f'{sum(row["agrees"] for row in some)} of {len(some)}',
          f'{sum(row["alone"] for row in some)}', f'{np.mean([row["auroc"] for row in some]):.3f}',
          '–' if way == 'part' else '{:+.3f} ({:+.3f} to {:+.3f})'.format(
              np.mean(gains), *np.quantile(gains, (0.1, 0.9)))])
  return results.Table(['set', 'threshold by', 'trained on', 'threshold from', 'promised', '95 % interval', 'held out',
                        'agrees', 'alone', 'AUROC', 'gain (10 to 90 % of the draws)'], lines)


def _percent(rows, key, place=None):
  return f'{100 * np.mean([row[key] if place is None else row[key][place] for row in rows]):.1f} %'


def main(flags: flags.FlagValues) -> None:
  command.check_known('sets', flags.sets, _PATHS)
  rows = []
  for name in flags.sets:
    photos = Set.open(name, Path(flags.data), flags.detector, flags.tiled, flags.tiny)
    for seed in range(2 if flags.tiny else flags.draws):
      rows += [{'set': name} | row for row in photos.draw(seed)]
      print(f'{name}: draw {seed + 1} of {flags.draws}', flush=True)
  print(table(rows).markdown())
  if flags.publish:
    results.publish(f'threshold_study_{flags.detector}{"_tiled" * flags.tiled}', table(rows), rows)


if __name__ == '__main__':
  command.run(main, FLAGS)
