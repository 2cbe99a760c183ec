"""200 images from real photos with a SIGKILL on the way, and on eight devices: minutes, so only with --slow."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from defect_jax.imagesets import manifest

ROOT = Path(__file__).resolve().parents[2]
_SETS = {'bsdata/ball_screw': 'pitting', 'magnetic_tile/magnetic_tile': 'blowhole,crack'}


def _start(workdir, photos, defects, env, *arguments):
  command = [sys.executable, '-m', 'defect_jax.main', '--config=configs/inpaint.py:tiny', f'--workdir={workdir}',
             f'--config.photos={photos}', f'--config.defects={defects}', '--config.masks.kind=real',
             '--config.count=200', '--config.batch=8', *arguments]
  return subprocess.Popen(command, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _ended(process):
  out, err = process.communicate(timeout=900)
  assert process.returncode == 0, err
  return out


def _tree(root):
  return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob('*') if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize('name', _SETS)
def test_killed_it_ends_byte_for_byte_as_if_never_and_on_eight_devices_within_a_level(
    name, photo_sets, run_env, tmp_path):
  photos, defects = photo_sets / name, _SETS[name]
  if not photos.is_dir():
    pytest.skip(f'no {name} among the photo sets')
  _ended(_start(tmp_path / 'whole', photos, defects, run_env))
  process = _start(tmp_path / 'killed', photos, defects, run_env)
  images = tmp_path / 'killed/set/images'
  while process.poll() is None and len(list(images.glob('*.png'))) < 90:
    time.sleep(0.02)
  process.send_signal(signal.SIGKILL)
  assert process.wait() == -signal.SIGKILL and not (tmp_path / 'killed/set/manifest.jsonl').exists()
  _ended(_start(tmp_path / 'killed', photos, defects, run_env))
  made = manifest.read_manifest(tmp_path / 'killed/set')
  assert [image.index for image in made] == list(range(200)) and {image.source_part for image in made} == {'pool'}
  assert len(list(images.iterdir())) == 200
  assert _tree(tmp_path / 'killed/set') == _tree(tmp_path / 'whole/set')
  checker = ROOT.parent / 'shared' / 'check_outputs.py'
  if checker.is_file():
    checked = subprocess.run([sys.executable, checker, f'--photos={photos}', tmp_path / 'killed'], text=True,
                             capture_output=True)
    assert checked.stdout == '0 faults\n'
  _ended(_start(tmp_path / 'eight', photos, defects,
                run_env | {'XLA_FLAGS': '--xla_force_host_platform_device_count=8'}))
  for path in images.iterdir():
    one, eight = (imagecodecs.png_decode((tmp_path / run / 'set/images' / path.name).read_bytes()).astype(int)
                  for run in ('whole', 'eight'))
    assert np.abs(one - eight).max() <= 1, path.name
