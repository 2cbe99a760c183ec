"""What weights were taught is written beside them, and told apart from what they are asked for."""

import json

import pytest

from defect_jax.diffusion import taught, weights
from defect_jax.errors import UserError

PITTING = taught.Taught(('pitting', 'good'), ('a photo of a {defect}',), 12, 'CC BY-SA 4.0')


def test_what_is_written_is_read(tmp_path):
  PITTING.write(tmp_path)
  assert json.loads((tmp_path / 'classes.json').read_text()) == {
      'classes': ['pitting', 'good'], 'prompts': ['a photo of a {defect}'], 'photos': 12, 'licence': 'CC BY-SA 4.0'}
  assert taught.of_weights(str(tmp_path)) == PITTING and PITTING.defects == ['pitting']


def test_weights_of_versions_before_say_it_in_their_record(tmp_path):
  assert taught.read(tmp_path) is None
  record = {'config': {'data': {'classes': ['dent']}, 'prompts': ['{defect}']}}
  (tmp_path / 'training.json').write_text(json.dumps(record))
  assert taught.read(tmp_path) == taught.Taught(('dent',), ('{defect}',))


@pytest.mark.parametrize('text', ['no json', '[]', '{"classes": "pitting", "prompts": []}', '{"prompts": []}'])
def test_a_damaged_file_is_named(tmp_path, text):
  (tmp_path / 'classes.json').write_text(text)
  with pytest.raises(UserError, match=r'classes\.json does not say'):
    taught.read(tmp_path)


def test_weights_of_all_kinds(tmp_path):
  assert taught.of_weights(weights.DEFAULT).classes == ('pitting', 'good')
  assert taught.of_weights(weights.RANDOM) == taught.NOTHING
  assert taught.of_weights('somebody/inpainting') is None and taught.of_weights(None) is None
  PITTING.write(tmp_path)
  (tmp_path / 'adapters.safetensors').touch()
  for adapters in (tmp_path, tmp_path / 'adapters.safetensors'):
    assert taught.of_weights('somebody/inpainting', adapters) == PITTING


@pytest.mark.parametrize(('prompts', 'defects', 'expected'), [
    (['a photo of a {defect}'], ['pitting'], []),
    (['a photo of a {defect}'], ['Pitting'], []),
    (['a photo of a {defect}'], ['pitting', 'scratch', 'ng'], ['scratch', 'ng']),
    (['a close-up photo of a NG'], ['pitting'], ['NG']),
    (['a close-up photo of a scratch'], ['pitting'], ['"a close-up photo of a scratch"']),
    (['pitting on a part', 'a {defect}'], ['pitting'], [])])
def test_what_these_weights_do_not_know(prompts, defects, expected):
  assert taught.unknown(PITTING, prompts, defects) == expected


def test_placeholders_are_known_to_weights_that_were_taught_them_alone():
  assert taught.unknown(None, ['a {defect}'], ['ng']) == ['ng']  # of the hub: they know many things, but no verdicts
  assert taught.unknown(None, ['a defect'], ['scratch']) == ['defect']
  assert taught.unknown(None, ['a {defect}'], ['scratch']) is None
  assert taught.unknown(taught.Taught(('ng',), ('a {defect}',)), ['a {defect}'], ['ng']) == []
  assert taught.unknown(taught.NOTHING, ['a {defect}'], ['scratch']) == ['scratch']


def test_a_text_that_was_taught_needs_no_class():
  of_rust = taught.Taught(('orange',), ('rust on steel',))
  assert taught.unknown(of_rust, ['rust on steel'], ['orange']) == []


def test_the_line_that_is_said_before_anything_is_made():
  assert taught.line(PITTING, ['ng']).startswith('these weights were taught pitting and do not know ng')
  assert 'not verdicts' in taught.line(None, ['ng']) and 'random' in taught.line(taught.NOTHING, ['ng'])
