"""What is added from outside the package, in one small file, and used by config alone."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_photos import write

from defect_jax.data import listing
from defect_jax.registry import SOURCES, import_plugins
from defect_jax.trained.vae import open_vae

ROOT = Path(__file__).resolve().parents[2]
SOURCE = """
from pathlib import Path

from defect_jax.data.parts import Record
from defect_jax.registry import SOURCES


class Flat:
  '''Photos side by side in one folder: CLASS_NAME.png.'''

  @staticmethod
  def list(path):
    return [Record(f'ng/dent/{photo.name[5:]}', photo.name[:4], f'ng/dent/{photo.name[5:]}', photo)
            for photo in sorted(Path(path).glob('*_*.png'))]


SOURCES.add('flat', Flat)
"""


@pytest.fixture
def flat(photos, tmp_path):
  """(plugin, folder) of the photos of `photos`, laid out as no source of the package expects."""
  for photo in photos.rglob('*.png'):
    (tmp_path / 'flat').mkdir(exist_ok=True)
    shutil.copyfile(photo, tmp_path / 'flat' / f'dent_{photo.name}')
  (tmp_path / 'layout.py').write_text(SOURCE)
  return tmp_path / 'layout.py', tmp_path / 'flat'


def test_a_source_from_outside_is_used_by_config(flat, job, finished, tmp_path):
  plugin, folder = flat
  workdir = tmp_path / 'run'
  process = job(workdir, f'--config.plugins={plugin}', '--config.data.source=flat', f'--config.data.path={folder}')
  _, err = process.communicate(timeout=300)
  assert process.returncode == 0, err
  # The same photos in another layout: the same figures to the last digit.
  ours, theirs = (json.loads((root / 'summary.json').read_text()) for root in (workdir, finished[0]))
  assert (ours['kld'], ours['mse']) == (theirs['kld'], theirs['mse'])
  vae = open_vae(workdir)
  assert 'flat' in SOURCES and vae.photos().digest() == open_vae(finished[0]).photos().digest()


def test_the_layout_of_the_readme_lists_photos_and_masks(tmp_path):
  [code] = re.findall(r'```python\n(# layout\.py.*?)```', (ROOT / 'README.md').read_text(), re.DOTALL)
  (tmp_path / 'layout.py').write_text(code)
  for name in ('crack_1.png', 'crack_1_mask.png', 'good_1.png'):
    write(tmp_path / 'photos' / name, np.full((8, 9), 255 * ('good' not in name), np.uint8))
  import_plugins([str(tmp_path / 'layout.py')])
  crack, good = listing.list_photos('mine', tmp_path / 'photos', cell_type='mono')
  assert (crack.file, crack.label, good.file, good.label) == ('crack_1.png', 'crack', 'good_1.png', 'good')
  assert crack.annotation.read((8, 9)).all() and good.annotation is None


def test_an_unknown_source_is_refused_before_anything_is_imported(job, tmp_path):
  process = job(tmp_path / 'run', '--config.data.source=flat')
  _, err = process.communicate(timeout=300)
  assert process.returncode == 2 and 'data.source' in err and 'flat' in err and err.count('\n') == 1


LOSS = """
import jax.numpy as jnp

from defect_jax.losses import Loss
from defect_jax.registry import LOSSES

LOSSES.add('squared', Loss(('recon', 'image'),
                           lambda outputs: jnp.mean(jnp.square(outputs['recon'] - outputs['image']), (1, 2, 3))))
"""


def test_a_loss_from_outside_moves_a_stream(job, tmp_path):
  (tmp_path / 'loss.py').write_text(LOSS)
  runs = {'mse': (), 'squared': (f'--config.plugins={tmp_path / "loss.py"}', '--config.streams.D.loss=squared',
                                 '--config.targets.squared=0.001')}
  summaries = {}
  for name, arguments in runs.items():
    process = job(tmp_path / name, '--config.control.policy=constant', *arguments)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    summaries[name] = json.loads((tmp_path / name / 'summary.json').read_text())
  ours, mse = summaries['squared'], summaries['mse']
  # The same formula under another name: the decoder goes the same way.
  assert (ours['kld'], ours['mse']) == (mse['kld'], mse['mse'])
  assert ours['squared'] == pytest.approx(ours['mse'], rel=1e-6) and ours['squared_target'] == pytest.approx(0.001)
  assert ours['config_hash'] != mse['config_hash']


DETECTOR = """
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from defect_jax.registry import DETECTORS


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Away:
  MAPS = ('away',)  # how far each pixel is from the mean of good photos
  NEEDS_NETWORK = False
  center: jax.Array

  @classmethod
  def fit(cls, good, settings):
    return cls(jnp.asarray(good.mean(0)))

  def maps(self, tiles, names):
    return {name: jnp.mean(jnp.abs(tiles - self.center), -1) for name in names}

  def state(self):
    return {'center': np.asarray(self.center)}

  @classmethod
  def restore(cls, state, settings):
    return cls(jnp.asarray(state['center']))


DETECTORS.add('away', Away)
"""


def test_a_detector_from_outside_is_measured_and_predicts(dents, run_env, tmp_path):
  (tmp_path / 'detector.py').write_text(DETECTOR)

  def run(workdir, *arguments):
    done = subprocess.run([sys.executable, '-m', 'defect_jax.main', f'--workdir={workdir}', *arguments], cwd=tmp_path,
                          env=run_env, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return json.loads((workdir / 'summary.json').read_text())

  summary = run(tmp_path / 'run', '--config=configs/anomaly.py:tiny', '--config.plugins=detector.py',
                '--config.data.source=folder', f'--config.data.path={dents}', '--config.detector=away',
                '--config.detectors=mean_image', '--config.score.blur=0')
  assert not (tmp_path / 'run' / 'vae').exists()
  # The mean image of this package, at no blur, makes the same maps.
  for reduction in ('mean', 'max', 'top', 'peak'):
    ours, theirs = (summary['scores'][f'{name}_{reduction}'] for name in ('away', 'mean_image'))
    assert ours['image_auroc'] == theirs['image_auroc']
    assert ours['threshold'] == pytest.approx(theirs['threshold'], rel=1e-5)
  predicted = run(tmp_path / 'scored', '--config=configs/predict.py', f'--config.run={tmp_path / "run"}',
                  f'--config.photos={dents}', '--config.heatmaps=false')
  assert predicted['threshold'] == summary['threshold'] and summary['score'] == 'away_top'
  with open(tmp_path / 'scored' / 'predictions.csv') as file:
    verdicts = {row['file']: row['verdict'] for row in csv.DictReader(file)}
  assert len(verdicts) == 100 and {verdict for file, verdict in verdicts.items() if file.startswith('ng')} == {'ng'}
