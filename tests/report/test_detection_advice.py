"""What the figures of a detector mean for a factory: row by row."""

import pytest

from defect_jax import detectors
from defect_jax.report import advice, detection
from defect_jax.report.answers import Facts

CONFIG = {'threshold.quantile': 0.95, 'score.reduce': 'top', 'detector': 'vae', 'data.size': 64, 'tiles.on': False}
FOUND = {'found': 0.84, 'found_ci': (0.64, 0.95), 'tested': {'good': 50, 'defective': 25}, 'measured_on': 'labels',
         'image_auroc': 0.9, 'image_auroc_ci': (0.8, 0.95), 'score': 'normalised_top', 'good_apart': False,
         'false_alarms': 0.04, 'false_alarms_ci': (0.0, 0.14), 'false_alarm_rate': 0.05,
         'false_alarm_ci': (0.02, 0.11), 'counts': {'calibrate': 60},
         'scores': {'normalised_top': {'image_auroc': 0.9, 'found': 0.84},
                    'knn_max': {'image_auroc': 0.94, 'found': 0.96}}}
BETTER = {'image_auroc_ci': (0.8, 0.92)}


def facts_of(summary, config):
  return Facts(FOUND | summary, CONFIG | config,
               lambda changes: ' '.join(f'{key}={value}' for key, value in changes.items()))


def answer(code, summary, **config):
  """(state, sentence, command) of a row, and the run's usable."""
  said, usable = advice.of('anomaly', facts_of(summary, config))
  return next(((one.state, one.sentence, one.command) for one in said if one.code == code), None), usable['usable']


def test_enough_found():
  (state, words, command), usable = answer('misses_defects', {})
  assert (state, command, usable) == (True, '', True)
  assert words == ('It finds 21 of 25 defective photos (84 %, 95 % interval 64 % to 95 %); from 70 % on counts as '
                   'enough.')


@pytest.mark.parametrize(('found', 'state'), [(0.7, True), (0.69, False), (0.04, False)])
def test_defects_that_pass(found, state):
  (said, words, _), usable = answer('misses_defects', {'found': found})
  assert said is state and usable is state
  if found == 0.04:
    assert 'It misses 24 of 25 defective photos, which would pass as good' in words


def test_hardly_more_than_chance_is_no_use_even_where_much_is_found():
  (state, words, _), usable = answer('misses_defects', {'found': 0.9, 'image_auroc_ci': (0.6, 0.9)})
  assert state is False and usable is False and words.endswith('hardly more than chance.')
  few = {'found': 0.1, 'found_ci': (0.05, 0.2), 'measured_on': 'pasted'}  # no more than good ones are
  (state, words, _), usable = answer('misses_defects', few)
  assert state is False and usable is False and words.endswith('hardly more than chance.')
  assert answer('misses_defects', few | {'found_ci': (0.06, 0.2)})[0][0] is None


@pytest.mark.parametrize('found', [0.31, 0.9])
def test_pasted_defects_do_not_say_that_real_ones_are_found(found):
  (state, words, command), usable = answer('misses_defects', {
      'measured_on': 'pasted', 'found': found, 'tested': {'good': 60, 'defective': 60}} | BETTER)
  assert state is None and usable is None and command == ''  # by pasted defects no other score is advised
  assert f'Of 100 defects pasted on good photos it would find {100 * found:.0f} (60 were pasted' in words
  assert 'your own defects it finds is not known' in words
  assert detection.another_score(facts_of({'measured_on': 'pasted'} | BETTER, {})) == []


def test_without_defective_photos_nothing_is_known():
  (state, words, command), usable = answer('misses_defects', {'found': None, 'image_auroc_ci': None})
  assert state is None and usable is None and 'no defective photos were tested' in words
  assert command == 'measure.part=synthetic'


def test_the_score_that_finds_more_is_a_command_and_trains_no_vae_it_does_not_need():
  summary = {'found': 0.2} | BETTER
  (_, words, command), _ = answer('misses_defects', summary)
  assert command == 'score.map=knn_max detectors=()' and words.endswith('score knn_max it would find 96 % of them.')
  assert answer('misses_defects', summary, **{'score.reduce': 'mean', 'detector': 'pca'})[0][2] == (
      'score.map=knn_max score.reduce=max detector=neighbours detectors=()')
  (title, why, command), = detection.another_score(facts_of(BETTER, {}))
  assert title == 'Judge by knn_max' and '0.940' in why and '0.900 (0.800 to 0.920' in why
  assert command == 'score.map=knn_max detectors=()'
  # Within the interval of the run's own, or finding less, it is not said to be better.
  assert detection.another_score(facts_of({}, {})) == []
  assert detection.another_score(facts_of(BETTER | {'found': 0.87}, {})) == []
  assert detection.another_score(facts_of(summary, {})) == []  # the answer has it


@pytest.mark.parametrize('score', ['ssim_peak', 'kld', 'pca_normalised_mean', 'knn_top'])
def test_what_is_advised_is_what_a_config_takes(score):
  changes = detection.judged_by(facts_of({}, {}), score)
  map_name, reduction = detectors.score_of(changes['score.map'], changes.get('score.reduce', 'top'))
  assert detectors.choose(changes.get('detector', 'vae'), map_name)[1] == map_name
  assert score in (map_name, f'{map_name}_{reduction}')
  assert ('detectors' in changes) == score.startswith(('pca', 'knn'))


def test_more_pixels_are_advised_where_photos_have_them():
  seen = {'scale': 0.0625, 'photo_px': [1024, 768], 'seen_px': 64, 'masks': 25, 'defect_px': 200.,
          'defect_seen_px': 12.5}
  low = {'found': 0.2, 'looked_at': seen}
  assert answer('misses_defects', low)[0][2] == 'data.size=128'
  assert answer('misses_defects', low, **{'data.size': 128})[0][2] == 'tiles.on=True'
  assert answer('misses_defects', low, **{'tiles.on': True})[0][2] == ''
  assert answer('misses_defects', low | {'looked_at': seen | {'scale': 0.6}})[0][2] == ''


def test_false_alarms_are_those_of_photos_apart_or_what_the_threshold_promises():
  (state, words, _), _ = answer('false_alarms', {})
  assert state is True and words == ('Of 100 good photos 5 would be called defective (95 % interval 2 to 11).')
  (state, words, _), usable = answer('false_alarms', {'good_apart': True, 'false_alarms': 0.12,
                                                      'false_alarms_ci': (0.06, 0.2)})
  assert state is False and usable is False and 'Of 100 good photos 12 would be called defective' in words
  asked = {'threshold.quantile': 0.9}
  assert answer('false_alarms', {'false_alarm_rate': 0.2}, **asked)[0][0] is True  # twice what was asked for
  assert answer('false_alarms', {'false_alarm_rate': 0.21}, **asked)[0][0] is False
  assert answer('false_alarms', {'false_alarm_rate': None})[0][0] is None


def test_few_photos_are_said_with_what_they_leave_open():
  assert answer('few_held_out', {})[0] is None
  few = {'tested': {'good': 50, 'defective': 4}, 'found_ci': (0.19, 0.99)}
  (state, words, _), usable = answer('few_held_out', few)
  assert state is False and usable is None
  assert words == ('The 4 defective photos that were tested are too few or show too few parts: of 100 others '
                   'between 19 and 99 would be found.')
  assert answer('few_held_out', {'found_ci': (0.31, 0.9)})[0] is None
  assert answer('few_held_out', {'found_ci': (0.29, 0.9)})[0][0] is False  # of too few parts
  assert answer('few_held_out', few | {'measured_on': 'pasted'})[0] is None
  (state, words, _), _ = answer('few_held_out', {'counts': {'calibrate': 10}, 'false_alarm_ci': (0.002, 0.3)})
  assert state is False and '(10 give the threshold): of 100 between 0 and 30 would be called defective' in words
