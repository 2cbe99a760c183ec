"""What is added from outside the package, in one small file, and used by config alone."""

import json
import shutil

import pytest

from defect_jax.registry import SOURCES
from defect_jax.trained.vae import open_vae

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


def test_an_unknown_source_is_refused_before_anything_is_imported(job, tmp_path):
  process = job(tmp_path / 'run', '--config.data.source=flat')
  _, err = process.communicate(timeout=300)
  assert process.returncode == 2 and 'data.source' in err and 'flat' in err and err.count('\n') == 1
