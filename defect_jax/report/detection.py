"""What the figures of a detector mean in a factory: how many defects it finds, how many good parts it stops."""

from collections.abc import Mapping
from typing import Any

from defect_jax import detectors
from defect_jax.registry import DETECTORS
from defect_jax.report.answers import SKIP, Facts, State
from defect_jax.report.verdict import percent

FOUND = 0.7  # share of the real defects, below which it misses too many
ALARMS = 0.1  # share of the good photos that are called defective, above which there are too many
FEW, WIDE = 10, 0.6  # defective photos tested, and width of the interval of FOUND, that are too few and too wide
MANY = 0.25  # upper end of the interval of ALARMS, from which on the good photos are too few
CHANCE = 0.6  # AUROC at the lower end of its interval, up to which a detector finds hardly more than chance
MORE = 0.1  # of the defects, that another score must find beyond the run's own to be advised
PASTED = 'pasted'  # the summary's measured_on, where defects were pasted on good photos


def finds(facts: Facts) -> State:
  """Whether enough of the defects are found, and more than chance would.

  Pasted defects show only what is blind: on ball screws a quarter of them were found, and two thirds of the real ones.
  """
  if facts['measured_on'] is None:
    return SKIP
  if facts['found'] is None:
    return None
  if facts['measured_on'] == PASTED:
    return False if _by_chance(facts) else None
  return facts['found'] >= FOUND and not _by_chance(facts)


def _by_chance(facts):
  """Whether about as many good photos as defects are called defective, or score as high."""
  called = alarms(facts)
  return (facts['image_auroc_ci'] or (1.,))[0] <= CHANCE or bool(called and facts['found_ci'][0] <= called[0])


def finds_words(facts: Facts, state: State) -> str:
  """How many defects are found."""
  if facts['found'] is None:
    return ('How many defects it finds is not known: no defective photos were tested. Defects can be pasted on good '
            'ones, without training anew.')
  count, (low, high) = facts['tested']['defective'], facts['found_ci']
  found, interval = round(facts['found'] * count), f'95 % interval {percent(low)} to {percent(high)}'
  if facts['measured_on'] == PASTED:
    words = (f'Of 100 defects pasted on good photos it would find {100 * facts["found"]:.0f} ({count} were pasted, '
             f'{interval}).')
    if state is None:
      words += (' How many of your own defects it finds is not known, since there were no photos of any: put some in a '
                'folder of their own, and measure again.')
  elif state:
    words = (f'It finds {found} of {count} defective photos ({percent(facts["found"])}, {interval}); from '
             f'{percent(FOUND)} on counts as enough.')
  else:
    words = (f'It misses {count - found} of {count} defective photos, which would pass as good (found are '
             f'{percent(facts["found"])}, {interval}).')
  words += ' That may be hardly more than chance.' if _by_chance(facts) else ''
  if state is False and (found := better(facts)):
    words += f' By the score {found[0]} it would find {percent(found[1]["found"])} of them.'
  return words


def better(facts: Facts) -> tuple[str, Mapping[str, Any]] | None:
  """The score with the highest AUROC on real defects, and its figures, if that is above the interval of the run's own
  and it finds clearly more at its threshold."""
  if facts['measured_on'] == PASTED or not facts['image_auroc_ci']:
    return None
  name = max(facts['scores'], key=lambda name: facts['scores'][name]['image_auroc'])
  row = facts['scores'][name]
  is_better = row['image_auroc'] > facts['image_auroc_ci'][1] and row['found'] >= facts['found'] + MORE
  return (name, row) if is_better else None


def mends(facts: Facts) -> Mapping[str, Any]:
  """Settings by which more defects may be found: the score that finds more of the real ones; else more pixels."""
  if finds(facts) is None:
    return {'measure.part': 'synthetic'} if facts['found'] is None else {}
  if found := better(facts):
    return judged_by(facts, found[0])
  seen = facts['looked_at']
  if not seen or facts.config['tiles.on'] or seen['scale'] > 0.5:
    return {}
  side = 2 * facts.config['data.size']
  return {'data.size': side} if side <= 128 else {'tiles.on': True}


def judged_by(facts: Facts, name: str) -> Mapping[str, Any]:
  """The settings of a run that judges by a score of the table. One without a VAE trains none."""
  map_name, reduction = detectors.score_of(name, detectors.REDUCTION)
  kind = detectors.owner_of(map_name)
  changes: dict[str, Any] = {'score.map': name}
  if facts.config['score.reduce'] not in (reduction, detectors.REDUCTION):
    changes['score.reduce'] = reduction
  if facts.config['detector'] != detectors.DEFAULT[0]:
    changes['detector'] = kind
  return changes if DETECTORS[kind].NEEDS_NETWORK else changes | {'detectors': ()}


def alarms(facts: Facts) -> tuple[float, tuple[float, float]] | None:
  """The share of good photos that are called defective, and its 95 % interval: of tested ones, if these are others than
  those that the threshold comes from, else as the threshold promises."""
  if facts['false_alarms'] is not None and facts['good_apart']:
    return facts['false_alarms'], facts['false_alarms_ci']
  return None if facts['false_alarm_rate'] is None else (facts['false_alarm_rate'], facts['false_alarm_ci'])


def few_alarms(facts: Facts) -> State:
  """Whether few enough of the good photos are called defective: no more than twice what the quantile asks for."""
  if facts['measured_on'] is None:
    return SKIP
  if (found := alarms(facts)) is None:
    return None
  return found[0] <= max(ALARMS, 2 * (1 - facts.config['threshold.quantile'])) + 1e-9


def alarms_words(facts: Facts, state: State) -> str:
  """How many good photos are called defective."""
  if (found := alarms(facts)) is None:
    return 'How many good photos would be called defective is not known.'
  share, (low, high) = found
  return (f'Of 100 good photos {of_100(share)} would be called defective (95 % interval {of_100(low)} to '
          f'{of_100(high)}).' + ('' if state else ' That is more than was asked for: the good photos are few, or the '
                                  'tested ones differ from those that the threshold comes from.'))


def enough(facts: Facts) -> State:
  """Whether what was measured is of enough photos; nothing is said where it is."""
  return False if facts['measured_on'] and _scarce(facts) else SKIP


def scarce_words(facts: Facts, state: State) -> str:
  """What is too little to measure by."""
  del state
  return ' '.join(_scarce(facts))


def _scarce(facts):
  said, tested, found = [], facts['tested'], alarms(facts)
  if facts['found'] is not None and facts['measured_on'] != PASTED:
    low, high = facts['found_ci']
    if tested['defective'] < FEW or high - low > WIDE:
      said.append(f'The {tested["defective"]} defective photos that were tested are too few or show too few parts: of '
                  f'100 others between {of_100(low)} and {of_100(high)} would be found.')
  if found and found[1][1] > MANY:
    low, high = found[1]
    said.append(f'The good photos are too few or show too few parts ({facts["counts"]["calibrate"]} give the '
                f'threshold): of 100 between {of_100(low)} and {of_100(high)} would be called defective.')
  return said


def of_100(share: float) -> str:
  """How many of 100 a share is."""
  return f'{100 * share:.0f}'


def another_score(facts: Facts) -> list[tuple[str, str, str]]:
  """What to copy where another score tells real defects from good photos better: (title, why, command). Nothing where
  an answer has said it already."""
  if not (found := better(facts)) or not finds(facts):
    return []
  (name, row), (low, high) = found, facts['image_auroc_ci']
  return [(f'Judge by {name}', f'It finds {percent(row["found"])} of the defective photos, {facts["score"]} '
           f'{percent(facts["found"])}; its AUROC is {row["image_auroc"]:.3f}, that of {facts["score"]} '
           f'{facts["image_auroc"]:.3f} ({low:.3f} to {high:.3f}, 95 %). It is chosen by the photos that it is '
           'measured on, so on others it may be less.', facts.command(judged_by(facts, name)))]
