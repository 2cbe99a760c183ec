"""Detectors without a VAE, of the package and from outside: what they are fitted to, saved as, and predict."""

import functools

import anomaly_jobs
import numpy as np
import pytest
import safetensors.numpy
from PIL import Image
from workdirs import rows_of, summary_of

from defect_jax.trained import base

# How far a pixel is from the mean grey level of good photos.
PLUGIN = """
import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from defect_jax.registry import DETECTORS


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Grey:
  MAPS: ClassVar = ('grey',)
  NEEDS_NETWORK: ClassVar = False
  level: Any

  @classmethod
  def fit(cls, good, settings):
    return cls(np.float32(good.mean()))

  def maps(self, tiles, names):
    return {name: jnp.abs(tiles - self.level).mean(-1) for name in names}

  def state(self):
    return {'level': np.asarray(self.level)}

  @classmethod
  def restore(cls, state, settings):
    return cls(state['level'])


DETECTORS.add('grey', Grey)
"""


@pytest.fixture
def job(parts_photos):
  with anomaly_jobs.handlers_kept():
    yield functools.partial(anomaly_jobs.run, path=parts_photos)


def test_a_detector_from_outside_is_fitted_measured_and_predicts(job, parts_photos, tmp_path, check_outputs):
  (tmp_path / 'grey.py').write_text(PLUGIN)
  plugin, run = f'--config.plugins={tmp_path / "grey.py"}', tmp_path / 'run'
  assert job(run, plugin, '--config.detector=grey', '--config.detectors=mean_image', '--config.score.reduce=max') == 0
  check_outputs(run)
  summary = summary_of(run)
  assert not (run / 'vae').exists() and summary['score'] == 'grey_max'
  assert {name.rpartition('_')[0] for name in summary['scores']} == {'grey', 'mean_image', 'mean_image_normalised'}
  photos = parts_photos / 'test/dent'
  assert job(tmp_path / 'rows', plugin, '--config.mode=predict', f'--config.vae={run}',
             f'--config.photos={photos}') == 0
  level = safetensors.numpy.load_file(run / 'detector.safetensors')['level']
  for file, row in rows_of(tmp_path / 'rows').items():
    image = np.asarray(Image.open(photos / file)) / 255
    assert float(row['score']) == pytest.approx(np.abs(image - level).max(), abs=1e-4)
    assert row['verdict'] == ('ng' if float(row['score']) > summary['threshold'] else 'ok')
  # By the task that opens runs of every kind; the run names its plugin itself.
  assert job(tmp_path / 'any', f'--config.run={run}', f'--config.photos={photos}', path=None, small=(),
             config='configs/predict.py') == 0
  assert rows_of(tmp_path / 'any') == rows_of(tmp_path / 'rows')


def test_the_map_of_the_nearest_neighbours_chooses_them_and_trains_no_vae(job, parts_photos, tmp_path, assert_refused):
  photos = f'--config.photos={parts_photos / "test/dent"}'
  first = '--config.mode=predict', photos, '--config.score.map=knn'
  assert job(tmp_path / 'run', *first) == 0
  assert job(tmp_path / 'same', '--config.mode=predict', photos, '--config.score.map=knn_top') == 0
  assert rows_of(tmp_path / 'same') == rows_of(tmp_path / 'run')  # by the name that tables have
  assert not (tmp_path / 'run/vae').exists() and summary_of(tmp_path / 'run')['score'] == 'knn_top'
  assert job(tmp_path / 'again', '--config.mode=predict', photos, f'--config.vae={tmp_path / "run"}') == 0
  assert rows_of(tmp_path / 'again') == rows_of(tmp_path / 'run')
  other = '--config.mode=predict', photos, f'--config.vae={tmp_path / "run"}', '--config.score.map=pca'
  assert_refused(job(tmp_path / 'other', *other), tmp_path / 'other', 'run judges by knn_top; first run')
  predictor = base.open(tmp_path / 'run')
  exported = predictor.functions()['anomaly_map']
  assert exported.spec.shape == (32, 32, 1) and predictor.kind == 'anomaly'
  tile = np.float32(Image.open(parts_photos / 'test/dent/000.png'))[None, ..., None] / 255
  # The score is the mean of the highest hundredth of the map, of 1024 pixels 10.
  highest = np.sort(np.ravel(exported.function(exported.params, tile)))[-10:]
  assert float(rows_of(tmp_path / 'run')['000.png']['score']) == pytest.approx(highest.mean(), rel=1e-3)
