"""Mistakes in command, config, photos and workdir: exit status 2, one line, nothing written. And warnings."""

import os
import subprocess
import sys

import numpy as np
import pytest
from made_photos import bumps, make_photos, names, write


def assert_refused(status, capsys, folder, before, *parts):
  out, err = capsys.readouterr()
  assert status == 2
  assert err.startswith('error: ') and err.count('\n') == 1 and err.endswith('\n'), err
  for part in parts:
    assert part in err, err
  assert out == '' and sorted(folder.rglob('*')) == before


@pytest.mark.parametrize(('arguments', 'parts'), [
  (['--config.targets.kdl=3'], ['--config.targets.kdl', 'did you mean targets.kld?']),
  (['--config.streams.E3.lr=1'], ['streams.E3.lr', 'no such key']),
  (['--config.targets.kld=nan'], ['targets.kld=nan', 'finite']),
  (['--config.streams.D.lr=inf'], ['streams.D.lr=inf', 'finite']),
  (['--config.batch=2.5'], ['batch=2.5', 'whole number']),
  (['tiny'], ['tiny: stray argument']),
  (['--config.streams.E1.loss=kdl'], ['streams.E1.loss', "'kdl'", 'did you mean kld?']),
  (['--config.streams.E1.optimizer=adamw'], ['streams.E1.optimizer', "'adamw'"]),
  (['--config.control.policy=pid'], ['control.policy', "'pid'"]),
  (['--config.model.activation=swish'], ['model.activation', 'silu']),
  (['--config.streams.E1.params=enc/.*'], ['streams.E1.params', 'matches none of the parameters']),
  (['--config.streams.E1.params=encoder/('], ['streams.E1.params', 'not a regular expression']),
  (['--config.streams.E1.lr=0'], ['streams.E1.lr', 'above 0']),
  (['--config.data.size=50'], ['data.size = 50', 'multiple of 8']),
  (['--config.data.size=16'], ['data.size = 16', 'at least 32']),
  (['--config.data.size=512'], ['data.size = 512', 'at most 256']),
  (['--config.data.channels=2'], ['data.channels', '1, 3']),
  (['--config.targets.kld=0'], ['targets.kld = 0', 'above 0']),
  (['--config.targets.mse=-1'], ['targets.mse = -1', 'above 0']),
  (['--config.targets.mse_of_variance=0'], ['targets.mse_of_variance = 0', 'above 0']),
  (['--config.steps.total=0'], ['steps.total = 0', 'at least 1']),
  (['--config.data.defects=crack'], ['data.defects', "no class 'crack'", 'dent']),
  (['--config.data.defects=dnet'], ['did you mean dent?']),
  (['--config.data.part=test'], ['data.part', 'pool, dev, final']),
  (['--config.data.source=elvp'], ['data.source', 'did you mean elpv?']),
  (['--config.data.region=mask'], ['no defect mask']),
  (['--config.data.region=box', '--config.data.box=0,0,99,99'], ['reaches beyond']),
  (['--config.data.region=box'], ['data.box']),
])
def test_mistakes_in_the_command(command, capsys, tmp_path, arguments, parts):
  assert_refused(command(*arguments), capsys, tmp_path, [], *parts)


@pytest.mark.parametrize(('config', 'parts'), [
  ('configs/vae_spilt.py', ['configs/vae_spilt.py: no such config file', 'did you mean configs/vae_split.py?']),
  ('configs/vae_split.py:tyni', ['tyni', 'known: tiny']),
  ('configs/vae_split.py:size=64', ['size', 'no such name']),
])
def test_mistakes_in_the_config(command, capsys, tmp_path, config, parts):
  assert_refused(command(config=config), capsys, tmp_path, [], *parts)


# Photos


def no_photos(root):
  root.mkdir()


def no_layout(root):
  write(root / 'photos' / '1.png', bumps(0))


def empty_class(root):
  (root / 'ng' / 'dent').mkdir(parents=True)


def one_photo(root):
  make_photos(root, pool=1, dev=2)


def other_class(root):
  write(root / 'ok' / '1.png', bumps(0))


def one_bad(data):
  """A folder of which one photo holds other bytes."""
  def make(root):
    photo = make_photos(root, pool=4)[2]
    photo.write_bytes(data(photo.read_bytes()))
  return make


def one_pixel(root):
  write(make_photos(root, pool=4)[2], np.zeros((1, 1), np.uint8))


def other_mask(root):
  for number, photo in enumerate(make_photos(root, pool=4)):
    mask = np.zeros((32, 32) if number != 1 else (16, 40), np.uint8)
    mask[4:9, 4:9] = 255
    write(root / 'ground_truth' / 'dent' / f'{photo.stem}_mask.png', mask)


def same_photo(root):
  for photo in make_photos(root, pool=4):
    write(photo, bumps(0))


BAD = names('pool', 4)[2]


@pytest.mark.parametrize(('make', 'parts'), [
  (lambda root: None, ['data.path', 'does not exist']),
  (no_photos, ['data.path', 'ok/, ng/']),
  (no_layout, ['data.path', 'ok/, ng/']),
  (empty_class, ['data.path', 'holds no photos']),
  (one_photo, ['1 photo of dent in part pool', 'at least 2']),
  (other_class, ["no class 'dent'", 'good']),
  (one_bad(lambda data: b''), [BAD, 'is empty (0 bytes)']),
  (one_bad(lambda data: data[:len(data) // 2]), [BAD, 'truncated']),
  (one_bad(lambda data: b'just words, no pixels\n' * 9), [BAD, 'is not a PNG, JPEG, BMP, TIFF']),
  (one_pixel, [BAD, '1 x 1 px']),
  (same_photo, ['all photos are the same image']),
])
def test_mistakes_in_photos(command, capsys, tmp_path, tmp_path_factory, make, parts):
  root = tmp_path_factory.mktemp('bad') / 'set'
  make(root)
  assert_refused(command(path=root), capsys, tmp_path, [], *parts)


@pytest.mark.parametrize('region', ['mask', 'full'])
def test_a_mask_of_another_size_whatever_the_region(command, capsys, tmp_path, tmp_path_factory, region):
  root = tmp_path_factory.mktemp('bad') / 'set'
  other_mask(root)
  status = command(f'--config.data.region={region}', path=root)
  assert_refused(status, capsys, tmp_path, [], names('pool', 4)[1], '32 x 32 px', '40 x 16 px')


# Workdirs


def test_workdirs_that_cannot_be_used(command, capsys, tmp_path):
  (tmp_path / 'file').write_text('mine')
  (tmp_path / 'thesis').mkdir()
  (tmp_path / 'thesis' / 'chapter.tex').write_text('mine')
  (tmp_path / 'broken').mkdir()
  (tmp_path / 'broken' / 'config.json').write_text('{')
  before = sorted(tmp_path.rglob('*'))
  for workdir, part in (('file', 'not a folder'), ('file/run', 'not a folder'), ('thesis', 'holds chapter.tex'),
                        ('broken', 'not readable as a config'), ('/proc/run', 'cannot be written')):
    assert_refused(command(f'--workdir={workdir}'), capsys, tmp_path, before, workdir, part)


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_a_workdir_without_permission(command, capsys, tmp_path):
  (tmp_path / 'locked').mkdir(mode=0o500)
  before = sorted(tmp_path.rglob('*'))
  assert_refused(command('--workdir=locked/run'), capsys, tmp_path, before, 'no permission')


# As processes: nothing beside the one line comes from Python, JAX or TensorFlow.


@pytest.mark.parametrize('arguments', [
  ['--config=configs/vae_split.py:tiny', '--config.streams.E1.params=enc/.*'],
  ['--config=configs/vae_split.py:tiny', '--config.data.source=folder', '--config.data.path=nowhere'],
])
def test_the_process_says_one_line(tmp_path, run_env, arguments):
  done = subprocess.run([sys.executable, '-m', 'defect_jax.main', *arguments], cwd=tmp_path, env=run_env, text=True,
                        capture_output=True, timeout=120)
  assert (done.returncode, done.stdout) == (2, '')
  assert done.stderr.startswith('error: ') and done.stderr.count('\n') == 1
  assert list(tmp_path.iterdir()) == []
