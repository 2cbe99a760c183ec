"""Which sets are refused, whatever their manifest says."""

import pytest

from defect_jax.config import UserError
from defect_jax.imagesets.manifest import Made
from defect_jax.imagesets.soundness import refuse_unsound, sources

PARTS = {'ng/a.png': 'pool', 'ng/b.png': 'pool', 'ng/secret.png': 'final', 'ng/dev.png': 'dev'}


def made(index=0, **changes):
  return Made(**{'file': f'images/{index:06d}.png', 'label': 'ng', 'method': 'vae', 'index': index, 'seed': 0,
                 'source': 'ng/a.png', 'source_sha256': 'aa', 'source_part': 'pool', 'config_hash': 'c'} | changes)


def refusal(*images, tested=None):
  with pytest.raises(UserError) as caught:
    refuse_unsound('runs/set', list(images), PARTS, tested or {})
  return str(caught.value)


def test_images_of_the_pool_pass():
  refuse_unsound('runs/set', [made(), made(1, source=None), made(2, other_source='ng/b.png')], PARTS, {'bb': 'x'})


def test_a_source_that_stands_in_another_part_is_refused_whatever_the_manifest_says():
  text = refusal(made(), *(made(index, source='ng/secret.png') for index in range(1, 6)))
  assert text.startswith('runs/set: images/000001.png (of ng/secret.png, final), images/000002.png')
  assert 'images/000004.png' not in text and 'and 2 more' in text


def test_a_second_source_counts_too():
  assert 'ng/dev.png, dev' in refusal(made(other_source='ng/dev.png'))


def test_a_source_that_is_tested_on_under_another_name_is_refused():
  assert 'images/000000.png (of test/x.png) were made from photos that are held out of training' in refusal(
      made(source='old/name.png'), tested={'aa': 'test/x.png'})


@pytest.mark.parametrize(('part', 'reason'), [('dev', 'held out of training'), ('final', 'held out of training'),
                                              (None, 'do not say that')])
def test_the_manifests_own_word_counts_for_unknown_photos(part, reason):
  assert reason in refusal(made(source=None, source_part=part))


def test_noise_of_random_weights_is_refused():
  assert 'random weights' in refusal(made(model='random'))


def test_an_empty_set_is_refused():
  assert 'holds no made images' in refusal()


def test_sources_are_all_photos_an_image_comes_from():
  assert sources(made(other_source='ng/b.png')) == ['ng/a.png', 'ng/b.png'] and sources(made(source=None)) == []
