import math

import numpy as np
import pytest

from defect_jax.report.verdict import copies, missed, number, percent, running_mean, verdict, within

GOOD = {'steps': 1000, 'kld': 16.0, 'mse': 0.0004, 'kld_target': 16.0, 'mse_target': 0.0004, 'kld_ripple': 0.01,
        'mse_ripple': 0.03, 'steps_to_targets': 300, 'active_units': 16, 'latent_dim': 16, 'collapsed': False,
        'dev_mse': 0.0006, 'detail_kept': 0.9, 'log_n': math.log(25), 'variance': 0.017}


def _history(kld=16.0, mse=0.0004, steps=1000):
  return {'train/kld': np.full(steps, kld, np.float32), 'train/mse': np.full(steps, mse, np.float32)}


def _words(changes=(), history=None):
  return verdict({**GOOD, **dict(changes)}, history or _history())


def test_a_good_run():
  sentences = _words()
  assert sentences[0] == ('Both losses are at their targets from step 300 to the end, step 1000: '
                          'KLD 16 nats (target 16), MSE 0.0004 (target 0.0004).')
  assert sentences[1] == ('Over the last tenth of the steps KLD varies by 1 % and MSE varies by 3 % of the target: '
                          'steady.')
  assert sentences[2] == 'Not collapsed: 16 of 16 latent dimensions tell photos apart.'
  assert sentences[3].startswith('Of the fine detail 90 % is kept: thin lines such as cracks survive')
  assert '0.0006, 1.5 times that of training: the reconstructions carry over' in sentences[4]
  assert sentences[5].startswith('KLD is 5 times log N = 3.22 nats')


def test_missed_targets_are_named_with_their_distance():
  first = _words({'steps_to_targets': None, 'kld': 20.0, 'mse': 0.0012})[0]
  assert first == ('KLD and MSE are not at target after 1000 steps: KLD 20 nats (25 % above its target of 16), '
                   'MSE 0.0012 (3 times its target of 0.0004).')
  assert _words({'steps_to_targets': None, 'kld': 12.0})[0].startswith(
    'KLD is not at target after 1000 steps: KLD 12 nats (25 % below its target of 16)')


def test_a_run_that_strays_says_when():
  # A dip by 4.1 over the 50 steps to 700: with k of them in it the mean is 16 - 0.082 k, below 15.2 from k = 10 on.
  history = _history()
  history['train/kld'][650:700] = 11.9
  first = _words({'steps_to_targets': None}, history)[0]
  assert 'reached but not held' in first and 'KLD was off target as late as step 740 of 1000' in first


def test_straying_is_judged_by_the_target_of_the_time():
  history = _history() | {'target/kld': np.full(1000, 16.0), 'target/mse': np.full(1000, 0.0004)}
  history['target/kld'][:500] = 8  # until step 500 the loss is at twice its target
  assert 'KLD was off target as late as step 500 of 1000' in _words({'steps_to_targets': None}, history)[0]


def test_too_short_a_run_is_not_judged():
  assert _words({'steps_to_targets': None}, _history(steps=40))[0].startswith('Too short to judge')


def test_ripple_names_what_swings():
  assert _words({'kld_ripple': 0.31})[1].endswith('KLD beyond the 5 % that count as steady.')
  assert _words({'mse_ripple': 0.2, 'kld_ripple': None})[1] == (
    'Over the last tenth of the steps MSE varies by 20 % of the target: MSE beyond the 10 % that count as steady.')


def test_both_ways_to_collapse():
  silent = _words({'collapsed': True, 'active_units': 1})
  assert 'Collapsed: only 1 of 16 latent dimensions' in silent[2]
  above = _words({'collapsed': True, 'mse': 0.018})
  assert above[2].startswith('Collapsed: 16 of 16') and above[2].endswith('MSE 0.018 of a variance of 0.017.')
  assert not any('dev photos' in sentence for sentence in silent)  # nothing was learnt that could carry over


@pytest.mark.parametrize('kept, words', [(0.85, 'cracks survive'), (0.84, 'cracks hardly'), (0.6, 'cracks hardly'),
                                         (0.59, 'smoothed away'), (-0.1, 'smoothed away')])
def test_detail_in_words(kept, words):
  assert words in _words({'detail_kept': kept})[3]


@pytest.mark.parametrize('dev, words', [(0.0008, 'carry over'), (0.002, 'clearly less well'), (0.005, 'by heart')])
def test_dev_photos_against_training(dev, words):
  assert words in _words({'dev_mse': dev})[4]


@pytest.mark.parametrize('kld, words', [(3.0, 'below log N'), (5.0, 'not far above log N'), (32.0, '9.9 times log N')])
def test_kld_against_log_n(kld, words):
  assert words in _words({'kld': kld})[5]


def test_unknown_figures_give_no_sentence_and_no_none():
  empty = dict.fromkeys(GOOD) | {'collapsed': False}
  sentences = verdict(empty, _history())
  assert sentences[0] == 'No targets were set.'
  assert not any('None' in sentence or 'nan' in sentence for sentence in sentences)
  one = _words({'mse_target': None, 'steps_to_targets': None})
  assert 'MSE 0.0004 (no target)' in one[0]


def test_the_band_is_two_sided_for_kld_only():
  assert [bool(within('kld', value, 100.0)) for value in (94, 96, 104, 106)] == [False, True, True, False]
  assert [bool(within('mse', value, 100.0)) for value in (10, 96, 104, 106)] == [True, True, True, False]
  assert missed(GOOD | {'kld': 15.0, 'mse': 0.0001}) == ['kld']


def test_running_mean_by_hand():
  np.testing.assert_allclose(running_mean([2, 4, 9, 5], 3), [2, 3, 5, 6])


def test_copies_and_novelty_in_words():
  def told(memorised, novelty):
    return list(copies({'memorised_fraction': memorised, 'novelty': novelty}, 'training photo', 'photos'))

  assert told(None, None) == []
  assert told(0.5, 0.25) == ['50 % of the images are copies of a training photo by LPIPS; novelty 0.25, where 1 is as '
                             'new as new real photos are.']
  assert told(0.0, None) == ['0 % of the images are copies of a training photo by LPIPS; novelty cannot be measured, '
                             'since half of the held-out photos or more are copies too.']


def test_numbers_for_people():
  shown = [number(value) for value in (None, math.nan, True, 12, 0.00034, 29.87, 12345.6, 12345)]
  assert shown == ['–', '–', 'yes', '12', '0.00034', '29.9', '12346', '12345']
  assert [percent(share) for share in (0.012, 0.9, 1.5)] == ['1.2 %', '90 %', '150 %']
