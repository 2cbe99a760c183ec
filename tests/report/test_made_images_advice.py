"""The rows of advice.RULES on made images, one by one."""

import pytest

from defect_jax.report import advice, verdict
from defect_jax.report.answers import Facts

CONFIG = {'photos': 'mine', 'masks.kind': 'random', 'masks.moved': True, 'geometry.mode': 'masked',
          'geometry.crop': (256, 256), 'geometry.target': None, 'sampler.strength': 1.0, 'sampler.content': 'noise',
          'sampler.guidance': 4.0}
FINE = {'memorised_fraction': 0.05, 'beside_part': 0.0, 'beside_images': [], 'changes_seen': 24, 'visible': 0.9,
        'visible_real': 0.95, 'sample_distance': 1.5,
        'unknown_kinds': [], 'known_kinds': ['pitting'], 'part_box': [40, 80, 300, 60]}


def row(code, config=CONFIG, task='inpaint', **summary):
  """(state, sentence, changes) of a row."""
  rule, = (rule for rule in advice.RULES if rule.code == code and task in rule.tasks)
  facts = Facts(FINE | summary, config, str)
  state = rule.state(facts)
  return state, '' if state == 'skip' else rule.sentence(facts, state), rule.changes(facts)


def test_a_good_set_can_be_used():
  said, summary = advice.of('inpaint', Facts(FINE, CONFIG, str))
  assert summary == {'usable': True, 'reasons': []} and not any(answer.command for answer in said)


def test_reasons_of_a_bad_one():
  bad = {'memorised_fraction': 0.43, 'beside_part': 11 / 24, 'beside_images': list(range(11)), 'visible': 0.2,
         'unknown_kinds': ['ng']}
  _, summary = advice.of('inpaint', Facts(FINE | bad, CONFIG, str))
  assert summary == {'usable': False, 'reasons': ['copies', 'off_the_part', 'not_visible', 'kind_unknown_to_weights']}


def test_copies_are_told_and_drawn_farther_away():
  vae = {'vae': 'runs/vae', 'sampler.name': 'posterior', 'sampler.candidates': 1}
  state, words, changes = row('copies', vae, 'generate', memorised_fraction=0.43)
  assert state is False and words.startswith('43 % of the images are copies') and 'train the VAE on more' in words
  assert changes == {'sampler.name': 'mosaic', 'sampler.candidates': 4}
  vae['sampler.name'] = 'mosaic'
  assert row('copies', vae, 'generate')[2] == {'sampler.candidates': 4}
  vae['sampler.candidates'] = 4
  assert row('copies', vae, 'generate')[2] == {'sampler.candidates': 8}
  vae['sampler.candidates'] = 16
  assert row('copies', vae, 'generate')[2] == {}
  assert row('copies', memorised_fraction=0.15)[0] is True and row('copies', memorised_fraction=None)[0] is None
  assert row('copies', CONFIG | {'masks.moved': False})[2] == {'masks.moved': True}


def test_defects_beside_the_part():
  assert row('off_the_part', beside_part=None)[0] == 'skip'  # it fills the photos
  state, words, changes = row('off_the_part', beside_part=11 / 24, beside_images=list(range(11)))
  assert state is False and words.startswith('11 of 24 defects that were looked at lie beside the part (46 %)')
  assert changes == {'geometry.target': (40, 80, 300, 60), 'geometry.crop': (304, 256)}
  assert row('off_the_part')[1] == 'All defects lie on the part (24 images were looked at).'
  assert row('off_the_part', CONFIG | {'masks.kind': 'real'})[2] == {'masks.moved': False}
  # A crop at its own resolution keeps its size: the middle of the part that fits into it.
  assert row('off_the_part', CONFIG | {'geometry.mode': 'crop'})[2] == {'geometry.target': (62, 80, 256, 60)}
  assert row('off_the_part', part_box=None)[2] == {}


@pytest.mark.parametrize(('visible', 'real', 'state'), [
    (None, None, 'skip'), (0.66, None, False), (0.67, None, True), (0.62, 0.92, True), (0.61, 0.92, False),
    (0.1, 0.49, None)])  # by a measure that does not see real ones nothing is said
def test_as_many_are_seen_as_of_real_ones(visible, real, state):
  assert row('not_visible', visible=visible, visible_real=real)[0] == state


def test_made_defects_that_do_not_look_like_real_ones():
  state, words, command = row('samples_far_from_photos', sample_distance=4.7)
  assert state is False and words.startswith('Made defects are 4.7 times as far from real ones')
  assert 'inpaint_train.py' in command
  assert row('samples_far_from_photos', {'steps.total': 300}, 'inpaint_train', sample_distance=3.1)[2] == {
      'steps.total': 600}
  assert [row('samples_far_from_photos', sample_distance=value)[0] for value in (3.0, None)] == [True, None]
  assert row('samples_far_from_photos', {}, 'generate', sample_distance=2.1)[0] is False  # of a VAE's images


def test_what_makes_defects_stronger():
  words = row('not_visible', visible=0.2)[1]
  assert words.startswith('20 % of the images show a defect') and 'of real defects 95 %' in words
  assert row('not_visible')[2] == {'sampler.guidance': 8.0}
  assert row('not_visible', CONFIG | {'sampler.strength': 0.5})[2] == {'sampler.strength': 1.0}
  assert row('not_visible', CONFIG | {'sampler.content': 'original'})[2] == {'sampler.content': 'noise'}
  assert row('not_visible', CONFIG | {'sampler.guidance': 8.0})[2] == {}
  assert row('not_visible', {'steps.total': 300}, 'inpaint_train', visible=0.2)[2] == {'steps.total': 600}


def test_a_vae_that_smooths_defects_away_is_trained_for_more_detail():
  vae = {'vae': 'runs/vae', 'vae.data.path': 'my photos', 'vae.data.defects': ('a', 'b'), 'vae.data.fit': None,
         'vae.targets.mse': None, 'vae.targets.mse_of_variance': 0.06}
  state, words, command = row('not_visible', vae, 'generate', visible=0.2)
  assert state is False and 'lower targets.mse' in words and command == (
      "python -m defect_jax.main --config=configs/vae_split.py '--config.data.path=my photos' "
      '--config.data.defects=a,b --config.targets.mse_of_variance=0.03 --workdir=runs/vae_sharper')
  assert '--config.targets.mse=0.005 ' in row('not_visible', vae | {'vae.targets.mse': 0.01}, 'generate')[2]
  assert row('not_visible', {'vae': 'x'}, 'generate')[2] == ''


def test_kinds_that_weights_do_not_know():
  state, words, command = row('kind_unknown_to_weights', unknown_kinds=['scratch', 'ng'])
  assert state is False and 'taught pitting, not scratch, ng' in words
  assert command.startswith('python -m defect_jax.main --config=configs/inpaint_train.py --config.data.path=mine ')
  assert "'--config.data.path=my photos'" in row('kind_unknown_to_weights', CONFIG | {'photos': 'my photos'},
                                                 unknown_kinds=['ng'])[2]
  assert row('kind_unknown_to_weights', CONFIG | {'photos': 'default'}, unknown_kinds=['ng'])[2] == {
      'defects': ('pitting',)}
  assert row('kind_unknown_to_weights', unknown_kinds=None, known_kinds=None)[0] is None
  assert 'random' in row('kind_unknown_to_weights', unknown_kinds=['ng'], known_kinds=[], model='random')[1]
  assert 'no look' in row('kind_unknown_to_weights', unknown_kinds=['ng'], known_kinds=None)[1]


def test_nothing_is_to_be_changed_where_nothing_is_known():
  nothing = {'memorised_fraction': None, 'sample_distance': None, 'visible': 0.1, 'visible_real': 0.2,
             'unknown_kinds': None, 'known_kinds': None}
  said, summary = advice.of('inpaint', Facts(FINE | nothing, CONFIG | {'masks.moved': False}, str))
  assert [answer.code for answer in said if answer.state is None] == [
      'copies', 'samples_far_from_photos', 'not_visible', 'kind_unknown_to_weights']
  assert not any(answer.command for answer in said) and summary == {'usable': True, 'reasons': []}


def test_a_prompt_that_is_cut_off():
  assert row('prompt_cut_off')[0] == 'skip'
  state, words, _ = row('prompt_cut_off', cut_prompts=['a scratch', 'a dent'])
  assert state is None and '"a scratch" (and of 1 more) is cut off' in words


def test_novelty_is_no_praise_for_what_cannot_be_used():
  summary = {'memorised_fraction': 0.0, 'novelty': 1.42}
  assert ''.join(verdict.copies(summary, 'real defect', 'defects')).endswith('1 is as new as new real defects are.')
  words, = verdict.copies(summary | {'reasons': ['off_the_part']}, 'real defect', 'defects')
  assert words.endswith('which is no praise here, since defects lie beside the part.')
