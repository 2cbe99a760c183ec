"""What the figures of a classifier mean in a factory: what it finds, how many good parts it stops, where it looks."""

from collections.abc import Mapping
from typing import Any

from defect_jax.report.answers import SKIP, Facts, State
from defect_jax.report.detection import ALARMS, CHANCE, FEW, FOUND, MANY, WIDE, of_100
from defect_jax.report.verdict import percent

# Saliency on an area over the share of the image that it covers, above which a classifier looks there; 1 is chance.
# A part is large, so nothing can be drawn to it by much.
DRAWN = {'saliency_on_defect': 1.2, 'saliency_on_part': 0.8}
# Share of what speaks for a defect that goes with it, from which on a classifier looks at defects, wherever its
# saliency lies. On real photos at 64 px: 0.008 where a mark in a corner of the defective ones told them apart, 0.06
# (blowholes of 3 px, AUROC 0.82) and 0.13 (pitting, AUROC 0.98) where nothing but the defects did.
GONE = 0.04
_EXPECTED = 0.1  # share of defective parts that is suggested where too many good ones are stopped


def finds(facts: Facts) -> State:
  """Whether enough of the defects are found, and more than chance would."""
  return None if facts['found'] is None else facts['found'] >= FOUND and not _by_chance(facts)


def _by_chance(facts):
  """Whether good photos score about as high as defective ones."""
  interval = (facts['ci'] or {}).get('auroc')
  return interval is not None and interval[0] <= CHANCE


def finds_words(facts: Facts, state: State) -> str:
  """How many defects are found; the interval first where few were tested."""
  if state is None:
    return 'How many defects it finds is not known: all photos are trained on, and none were held out to test it by.'
  count, (low, high) = facts['tested']['defective'], facts['found_ci']
  found = round(facts['found'] * count)
  if is_few(facts):
    words = (f'Of 100 defects like these it would find between {of_100(low)} and {of_100(high)} (it found {found} of '
             f'the {count} that were tested).')
  elif facts['found'] >= FOUND:
    words = (f'It finds {found} of {count} defective photos that it has not seen ({percent(facts["found"])}, 95 % '
             f'interval {percent(low)} to {percent(high)}); from {percent(FOUND)} on counts as enough.')
  else:
    words = (f'It misses {count - found} of {count} defective photos, which would pass as good (found are '
             f'{percent(facts["found"])}, 95 % interval {percent(low)} to {percent(high)}).')
  return words + (' That may be hardly more than chance.' if _by_chance(facts) else '')


def mends(facts: Facts) -> Mapping[str, Any]:
  """Settings by which it can be measured, or more defects may be found."""
  if facts.config.get('classifier'):  # that one stays as it is
    return {}
  if facts['found'] is None:
    return {'data.split': 'kfold'}
  side = 2 * facts.config['data.size']
  return {'data.size': side} if side <= 128 else {}


def few_alarms(facts: Facts) -> State:
  """Whether few enough of the good photos are called defective."""
  return SKIP if facts['false_alarms'] is None else facts['false_alarms'] <= ALARMS


def alarms_words(facts: Facts, state: State) -> str:
  """How many good photos are called defective."""
  low, high = map(of_100, facts['false_alarms_ci'])
  words = (f'Of 100 good photos {of_100(facts["false_alarms"])} would be called defective (95 % interval {low} to '
           f'{high}).')
  return words if state else (
      f'{words} Fewer are where it knows how rare defects are: set prevalence to the share of defective parts, such as '
      f'{_EXPECTED:g}. More defects are missed then.')


def rarer(facts: Facts) -> Mapping[str, Any]:
  """Settings by which fewer good photos are called defective."""
  return {} if facts.config['prevalence'] else {'prevalence': _EXPECTED}


def is_few(facts: Facts) -> bool:
  """Whether what was measured of defects is of too few photos, or too few parts."""
  if facts['found'] is None:
    return False
  low, high = facts['found_ci']
  return facts['tested']['defective'] < FEW or high - low > WIDE


def enough(facts: Facts) -> State:
  """Whether what was measured is of enough photos; nothing is said where it is."""
  return False if is_few(facts) or (facts['found'] is not None and facts['false_alarms_ci'][1] > MANY
                                    and facts['false_alarms'] <= ALARMS) else SKIP


def scarce_words(facts: Facts, state: State) -> str:
  """What is too little to measure by."""
  del state
  tested, (low, high) = facts['tested'], facts['false_alarms_ci']
  if is_few(facts):
    words = (f'The {tested["defective"]} defective photos that were tested are too few or show too few parts to say it '
             'more closely.')
  else:
    words = (f'The {tested["good"]} good photos that were tested are too few or show too few parts: of 100 others '
             f'between {of_100(low)} and {of_100(high)} would be called defective.')
  return words + ('' if facts['folds'] else ' With cross-validation each photo is tested once.')


def more_tested(facts: Facts) -> Mapping[str, Any]:
  """Settings by which more photos are tested."""
  return {} if facts['folds'] or facts.config.get('classifier') else {'data.split': 'kfold'}


_AREAS = (('saliency_on_defect', 'defect_area', 'the marked defects'), ('saliency_on_part', 'part_area', 'the part'))


def looks(facts: Facts) -> State:
  """Whether it looks at the defects, or where none are marked at the part."""
  if (area := _looked(facts)) is None:
    return SKIP if facts['looks_at'] is None else None
  return facts[area[0]] > DRAWN[area[0]] * facts[area[1]] or (facts['by_defect'] or 0.) >= GONE


def _looked(facts):
  return next((area for area in _AREAS if facts[area[0]] is not None), None)


def looks_words(facts: Facts, state: State) -> str:
  """Where it looks, as a figure beside what chance would be."""
  if (area := _looked(facts)) is None:
    return ('Whether it looks at the defects is not known: none are marked, and the parts fill their photos. See below '
            'where it looks.')
  share, covers, name = area
  words = (f'Of where it looks, {percent(facts[share])} lies on {name}, which cover{"s" * (name == "the part")} '
           f'{percent(facts[covers])} of the photo')
  if facts['by_defect'] is not None and share == 'saliency_on_defect':
    words += (f'; where the defects are covered with what is around them, {percent(max(0., facts["by_defect"]))} of '
              'what speaks for a defect is gone')
  if state:
    return f'It looks at {name}. {words}.'
  return (f'It looks at the background, or at what else defective photos have in common, such as light, a label or '
          f'where parts lie. {words}. Take good and defective photos on the same days, in the same light and place.')
