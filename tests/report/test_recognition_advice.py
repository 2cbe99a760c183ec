"""What a classifier's page says of its use: the rows of the table for classifiers."""

import pytest

from defect_jax.report import advice
from defect_jax.report.answers import Facts

SUMMARY = {'found': 0.9, 'found_ci': (0.8, 0.97), 'false_alarms': 0.05, 'false_alarms_ci': (0.02, 0.1),
           'tested': {'good': 100, 'defective': 50}, 'ci': {'auroc': (0.9, 0.99)}, 'folds': 5, 'looks_at': 40,
           'saliency_on_defect': 0.3, 'defect_area': 0.05, 'by_defect': 0.6}
NOT_MEASURED = dict.fromkeys(('found', 'found_ci', 'false_alarms', 'false_alarms_ci', 'ci')) | {
    'tested': {'good': 0, 'defective': 0}, 'folds': 0}


def answers(config=(), **changes):
  """{code: (state, sentence, settings)} of a run, and usable and reasons."""
  facts = Facts(SUMMARY | changes, {'data.size': 64, 'prevalence': None} | dict(config),
                lambda changes: ' '.join(f'{key}={value}' for key, value in changes.items()))
  said, usable = advice.of('classifier', facts)
  return {one.code: (one.state, one.sentence, one.command) for one in said}, usable


def test_a_good_one_can_be_used():
  said, usable = answers()
  assert usable == {'usable': True, 'reasons': []}
  assert said['misses_defects'][1] == ('It finds 45 of 50 defective photos that it has not seen (90 %, 95 % interval '
                                       '80 % to 97 %); from 70 % on counts as enough.')
  assert said['false_alarms'][1] == 'Of 100 good photos 5 would be called defective (95 % interval 2 to 10).'
  assert said['looks_at_background'][1] == (
      'It looks at the marked defects. Of where it looks, 30 % lies on the marked defects, which cover 5 % of the '
      'photo; where the defects are covered with what is around them, 60 % of what speaks for a defect is gone.')
  assert 'few_held_out' not in said and not any(command for _, _, command in said.values())


@pytest.mark.parametrize(('changes', 'state', 'words', 'command'), [
    ({'found': 0.7}, True, 'It finds 35 of 50', ''),
    ({'found': 0.68, 'found_ci': (0.6, 0.8)}, False, 'It misses 16 of 50 defective photos, which would pass as good '
     '(found are 68 %, 95 % interval 60 % to 80 %)', 'data.size=128'),
    ({'ci': {'auroc': (0.6, 0.99)}}, False, 'hardly more than chance', 'data.size=128'),
    ({'found_ci': (0.3, 0.95)}, True, 'Of 100 defects like these it would find between 30 and 95 (it found 45 of the '
     '50 that were tested)', ''),
    (NOT_MEASURED, None, 'is not known: all photos are trained on', 'data.split=kfold')])
def test_misses_defects(changes, state, words, command):
  said = answers(**changes)[0]['misses_defects']
  assert said[0] is state and words in said[1] and said[2] == command


def test_where_nothing_is_measured_nobody_knows_whether_it_can_be_used():
  said, usable = answers(**NOT_MEASURED)
  assert usable == {'usable': None, 'reasons': []} and 'false_alarms' not in said and 'few_held_out' not in said


def test_false_alarms():
  assert answers(false_alarms=0.1)[0]['false_alarms'][0] is True
  said, usable = answers(false_alarms=0.11)
  assert said['false_alarms'][::2] == (False, 'prevalence=0.1') and usable['reasons'] == ['false_alarms']
  assert 'Of 100 good photos 11 would be' in said['false_alarms'][1]
  assert answers({'prevalence': 0.2}, false_alarms=0.11)[0]['false_alarms'][2] == ''


@pytest.mark.parametrize(('changes', 'words'), [
    ({'tested': {'good': 100, 'defective': 9}}, 'The 9 defective photos that were tested are too few'),
    ({'found_ci': (0.3, 0.91)}, 'The 50 defective photos that were tested are too few'),
    ({'false_alarms_ci': (0., 0.26), 'tested': {'good': 12, 'defective': 50}},
     'The 12 good photos that were tested are too few or show too few parts: of 100 others between 0 and 26')])
def test_few_held_out(changes, words):
  said, usable = answers(**changes)
  assert said['few_held_out'][0] is False and words in said['few_held_out'][1] and said['few_held_out'][2] == ''
  assert usable == {'usable': None, 'reasons': ['few_held_out']}
  said = answers(**changes, folds=0)[0]['few_held_out']
  assert said[1].endswith('With cross-validation each photo is tested once.') and said[2] == 'data.split=kfold'


NO_MASKS = {'saliency_on_defect': None, 'by_defect': None}


@pytest.mark.parametrize(('changes', 'state', 'words'), [
    ({'saliency_on_defect': 0.05, 'by_defect': 0.03}, False, '3 % of what speaks for a defect is gone. Take good and'),
    ({'saliency_on_defect': 0.05, 'by_defect': -0.1}, False, ' 0 % of what speaks for a defect is gone'),
    ({'saliency_on_defect': 0.05, 'by_defect': 0.04}, True, 'It looks at the marked defects.'),
    ({'saliency_on_defect': 0.061, 'by_defect': 0.}, True, 'It looks at the marked defects.'),
    ({'saliency_on_defect': 0.061, 'by_defect': None}, True, 'cover 5 % of the photo.'),
    (NO_MASKS | {'saliency_on_part': 0.39, 'part_area': 0.5}, False, '39 % lies on the part, which covers 50 % of'),
    (NO_MASKS | {'saliency_on_part': 0.41, 'part_area': 0.5}, True, 'It looks at the part. Of where it looks, 41 %'),
    (NO_MASKS, None, 'is not known: none are marked')])
def test_looks_at_background(changes, state, words):
  said = answers(**changes)[0]['looks_at_background']
  assert said[0] is state and words in said[1]


def test_nothing_is_said_of_where_it_looks_where_nobody_looked():
  assert 'looks_at_background' not in answers(saliency_on_defect=None, looks_at=None)[0]


def test_a_classifier_that_was_trained_before_stays_as_it_is():
  seen = {'photo_px': [640, 640], 'seen_px': 64, 'scale': 0.1, 'masks': 9, 'defect_px': 50., 'defect_seen_px': 5.}
  changes = {'found': 0.5, 'tested': {'good': 100, 'defective': 9}, 'folds': 0, 'looked_at': seen}
  assert sum(bool(command) for _, _, command in answers(**changes)[0].values()) == 3
  assert not any(command for _, _, command in answers({'classifier': 'runs/classifier'}, **changes)[0].values())
