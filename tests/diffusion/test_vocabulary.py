"""A tokenizer of its own vocabulary: known words are one token each, others are read byte by byte."""

import pytest

from defect_jax.diffusion import pipeline, vocabulary


@pytest.fixture(scope='module')
def tokenizer(tmp_path_factory):
  folder = tmp_path_factory.mktemp('tokenizer')
  count = vocabulary.write(folder, ['a photo of pitting', 'a spit on a pit'], 12)
  made = pipeline.tokenizer_of(folder)
  assert len(made) == count
  return made


@pytest.mark.parametrize('word', ['a', 'photo', 'of', 'pitting', 'spit', 'pit', 'on'])
def test_a_known_word_is_one_token(tokenizer, word):
  assert len(tokenizer(word).input_ids) == 3  # with start and end


def test_words_of_common_parts_stay_apart_and_texts_are_padded_to_length(tokenizer):
  ids = tokenizer(['pit', 'spit', 'Pitting'], padding='max_length', max_length=12).input_ids
  assert len({row[1] for row in ids}) == 3 and {len(row) for row in ids} == {12}
  assert {row[0] for row in ids} == {len(tokenizer) - 2} and {row[-1] for row in ids} == {len(tokenizer) - 1}


def test_an_unknown_word_is_read_by_its_letters(tokenizer):
  assert tokenizer.decode(tokenizer('zebra-7 ü').input_ids, skip_special_tokens=True).replace(' ', '') == 'zebra-7ü'
  assert len(tokenizer('xyz').input_ids) == 5


def test_merges_by_hand():
  # ab is in both words; then abc is a word, and b</w> cannot be joined to anything but a.
  assert vocabulary._merges({'abc', 'abd'}) == [('a', 'b'), ('ab', 'c</w>'), ('ab', 'd</w>')]
