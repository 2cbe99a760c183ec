"""Which detector and map a config's keys choose; maps of kinds are as their classes say."""

import pytest

from defect_jax import detectors
from defect_jax.detectors import scores
from defect_jax.errors import UserError
from defect_jax.registry import DETECTORS


@pytest.mark.parametrize(('keys', 'chosen'), [
    (('vae', 'normalised'), ('vae', 'normalised')), (('vae', 'kld'), ('vae', 'kld')),
    (('vae', 'knn'), ('neighbours', 'knn')), (('vae', 'pca'), ('pca', 'pca')),
    (('neighbours', 'normalised'), ('neighbours', 'knn')), (('pca', 'normalised'), ('pca', 'pca_normalised')),
    (('mean_image', 'mean_image'), ('mean_image', 'mean_image'))])
def test_a_map_chooses_its_detector_and_a_detector_its_map(keys, chosen):
  assert detectors.choose(*keys) == chosen


def test_every_score_of_the_tables_is_a_map_and_a_reduction():
  maps, tables = detectors.names()
  assert tables == [score.name for score in scores.all_scores(maps) if score.of_pixels]
  for name in tables:
    found = detectors.score_of(name, 'top')
    assert found[0] in maps and scores.Score.of(*found).name == name
  assert detectors.score_of('kld', 'top') == ('kld', 'top') and detectors.score_of('knn', 'max') == ('knn', 'max')
  assert detectors.score_of('pca_normalised', 'mean') == ('pca_normalised', 'mean')
  assert detectors.score_of('knn_max', 'max') == ('knn', 'max')
  with pytest.raises(UserError, match=r"score\.reduce = 'mean': score\.map = 'knn_max' says max"):
    detectors.score_of('knn_max', 'mean')


@pytest.mark.parametrize('keys', [('pca', 'knn'), ('vae', 'nothing'), ('neighbours', 'ssim')])
def test_a_detector_does_not_make_the_maps_of_another(keys):
  with pytest.raises(UserError, match=f'score.map = {keys[1]!r}: the detector {keys[0]} has '):
    detectors.choose(*keys)


@pytest.mark.parametrize('kind', detectors.COMPARED)
def test_the_names_that_configs_are_checked_by_are_those_of_the_classes(kind):
  assert detectors.maps_of(kind) == tuple(DETECTORS[kind].MAPS)
