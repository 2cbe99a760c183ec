"""The table of what figures mean for a factory: row by row."""

import pytest

from defect_jax.report import advice
from defect_jax.report.answers import Facts

SEEN = {'photo_px': [1024, 768], 'seen_px': 64, 'scale': 0.0625, 'masks': 25, 'defect_px': 96.0, 'defect_seen_px': 6.0,
        'thickness_seen_px': 2.0}


def answer(task, code, summary, config=()):
  """What a row says of a run: (state, sentence, settings that would mend it)."""
  facts = Facts(summary, dict(config), lambda changes: ' '.join(f'{key}={value}' for key, value in changes.items()))
  said, _ = advice.of(task, facts)
  return next(((one.state, one.sentence, one.command) for one in said if one.code == code), None)


def test_short_defects_are_lost_in_scaling():
  state, words, command = answer('vae', 'lost_in_scaling', {'looked_at': SEEN})
  assert state is False and command == 'data.size=128'  # where they are 12 px
  assert '96 px in photos of 1024 x 768 px, which are 6 px of the 64 px' in words and 'lost in scaling' in words
  state, words, command = answer('vae', 'lost_in_scaling', {'looked_at': SEEN | {'defect_seen_px': 8.0}})
  assert state is True and command == '' and 'long enough' in words


@pytest.mark.parametrize(('config', 'settings'), [({'tiles.on': False}, 'tiles.on=True'), ({}, 'data.region=mask')])
def test_defects_too_small_for_any_side(config, settings):
  assert answer('anomaly', 'lost_in_scaling', {'looked_at': SEEN | {'defect_seen_px': 1.0}}, config)[2] == settings


def test_tiles_are_looked_at_larger_where_they_were_made_smaller():
  seen = SEEN | {'scale': 1 / 6, 'defect_px': 24.0, 'defect_seen_px': 4.0}
  config = {'tiles.on': True, 'tiles.reduce': 6}
  state, words, command = answer('anomaly', 'lost_in_scaling', {'looked_at': seen}, config)
  assert state is False and command == 'tiles.reduce=3'  # where they are 8 px
  assert 'which are 4 px as they are looked at, 6 times smaller, in tiles of 64 x 64 px: below 8 px' in words
  assert answer('anomaly', 'lost_in_scaling', {'looked_at': seen}, config | {'tiles.reduce': 1})[2] == ''
  words = answer('anomaly', 'lost_in_scaling', {'looked_at': seen | {'defect_seen_px': None}}, config)[1]
  assert 'are looked at 6 times smaller, in tiles of 64 x 64 px. How long' in words


def test_without_masks_the_length_that_is_lost_is_said():
  seen = SEEN | {'defect_px': None, 'defect_seen_px': None, 'masks': 0}
  state, words, command = answer('vae', 'lost_in_scaling', {'looked_at': seen})
  assert state is None and 'shorter than 128 px of the photo are lost' in words and command == ''  # 8 / 0.0625
  assert answer('vae', 'lost_in_scaling', {'looked_at': seen}, {'data.size': 64})[2] == 'data.size=128'


@pytest.mark.parametrize(('ratio', 'how', 'state', 'words'), [
  (33.0, 'held_out', False, 'by heart: photos that were held out are rebuilt 33 times worse'),
  (5.1, 'four_fifths', False, 'left out by a second VAE, trained on four fifths of them, are rebuilt 5.1 times worse'),
  (5.0, 'held_out', True, 'with 5 times their error, clearly worse'),
  (1.5, 'held_out', True, '1.5 times their error.'),
  (None, None, None, 'not known: nothing was held out')])
def test_known_by_heart(ratio, how, state, words):
  said = answer('vae', 'known_by_heart', {'known_ratio': ratio, 'known_how': how})
  assert said[0] is state and words in said[1]


@pytest.mark.parametrize(('distance', 'state', 'words'), [
  (0.9, True, 'as near as these, or nearer'), (2.0, True, 'much like the photos'), (2.1, False, 'do not look like'),
  (None, None, 'was not measured')])
def test_samples_beside_photos(distance, state, words):
  said = answer('vae', 'samples_far_from_photos', {'sample_distance': distance})
  assert said[0] is state and words in said[1]


@pytest.mark.parametrize(('kept', 'state'), [(0.85, True), (0.84, None), (0.6, None), (0.59, False)])
def test_detail_that_the_vae_smooths_away(kept, state):
  said = answer('vae', 'detail_lost', {'detail_kept': kept, 'detail_kept_photo': 0.2, 'kld_target': 16.},
                {'targets.mse_of_variance': 0.02})
  assert said[0] is state and said[2] == ('' if state else 'targets.mse_of_variance=0.01')
  assert 'at their own size 20 %' in said[1]


def test_targets_out_of_reach_say_the_same_as_the_forecast():
  summary = {'kld_target': 0.01, 'kld': 0.02, 'mse_target': 0.0004, 'mse': 0.01, 'forecast': {'least_kld': 3.219}}
  state, words, command = answer('vae', 'targets_unreachable', summary)
  assert state is False and 'which need 3.22 nats' in words and command == 'targets.kld=3.4'
  assert answer('vae', 'targets_unreachable', summary | {'mse': 0.0004}) is None


def test_usable_and_reasons_of_a_summary():
  facts = Facts({'known_ratio': 2.0, 'sample_distance': 3.0, 'detail_kept': 0.9}, {}, lambda _: '')
  assert advice.of('vae', facts)[1] == {'usable': False, 'reasons': ['samples_far_from_photos']}
  facts = Facts({'known_ratio': None, 'sample_distance': 1.0, 'detail_kept': 0.9}, {}, lambda _: '')
  assert advice.of('vae', facts)[1] == {'usable': None, 'reasons': []}


MIXED = {'counts': [40, 20], 'examples': [['a'], ['b']]}


@pytest.mark.parametrize(('task', 'code', 'figures', 'words'), [
  ('vae', 'mixed_products', {'dent': MIXED}, 'the photos of dent (40 and 20) fall into two kinds'),
  ('anomaly', 'any_pose', {'good': 0.14, 'dent': 0.2}, 'two of them overlap by 14 %'),
  ('classifier', 'light_drifts', {'auroc': 0.97, 'levels': [0.5, 0.42]},
   'brightness alone tells 97 % of their pairs apart (50 % and 42 % of full brightness'),
  ('classifier', 'mixed_kinds', {'ng': MIXED}, 'those of ng (40 and 20) fall into two kinds')])
def test_one_folder_several_things(task, code, figures, words):
  state, sentence, _ = answer(task, code, {'mixture': {code: figures}})
  assert state is False and words in sentence


def test_one_product_is_said_and_what_was_not_looked_for_is_not():
  assert answer('vae', 'mixed_products', {'mixture': {}})[0] is True
  assert answer('vae', 'mixed_products', {}) is None
  assert answer('vae', 'any_pose', {'mixture': {}}) is None


def test_photos_known_by_heart_are_to_be_varied_unless_they_are():
  config = {'data.augment.flip_horizontal': False, 'data.augment.flip_vertical': True}
  _, words, command = answer('vae', 'known_by_heart', {'known_ratio': 33., 'known_how': 'held_out'}, config)
  assert words.endswith('More photos mend that; varied ones and looser targets help.')
  assert command == ('data.augment.flip_horizontal=True data.augment.flip_vertical=True targets.kld=64.0 '
                     'targets.mse_of_variance=0.04 steps.total=4000')
  _, words, command = answer('vae', 'known_by_heart', {'known_ratio': 33., 'known_how': 'held_out'},
                             dict.fromkeys(config, True))
  assert words.endswith('More photos mend that.') and command == ''
