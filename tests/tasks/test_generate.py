"""The generate job on the VAE of the small job: its set, its figures, its refusals."""

import dataclasses
import json
import re
import shutil
import signal

import imagecodecs
import jax
import numpy as np
import pytest
from absl import flags
from made_photos import bumps, names, write

from defect_jax import main
from defect_jax.augmentation import samplers
from defect_jax.augmentation.decoding import DecodingProduction
from defect_jax.evaluation import generation
from defect_jax.imagesets import manifest
from defect_jax.trained.vae import open_vae


@pytest.fixture
def generate(finished, cache, monkeypatch, tmp_path):
  """Runs the job in this process: (workdir name, further arguments) -> exit status."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv('DEFECT_JAX_CACHE', str(cache))
  handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

  def call(name, *arguments, vae=finished[0], config='configs/generate.py:tiny'):
    flags.FLAGS.unparse_flags()
    flags.FLAGS['workdir'].value = None
    return main.main([f'--config={config}', f'--workdir={tmp_path / name}', f'--config.vae={vae}', *arguments])

  yield call
  for number, handler in handlers.items():
    signal.signal(number, handler)


def pixels(root):
  return {path.name: imagecodecs.png_decode(path.read_bytes()).astype(int) for path in (root / 'set/images').iterdir()}


def test_images_are_decodings_around_the_photos_that_the_manifest_names(generate, finished, tmp_path, check_outputs):
  assert generate('run', '--config.sampler.name=posterior', '--config.sampler.temperature=1e-6',
                  '--config.count=21') == 0
  vae = open_vae(finished[0])
  photos = vae.photos()
  made = manifest.read_manifest(tmp_path / 'run/set')
  assert [image.index for image in made] == list(range(21)) and {image.source_part for image in made} == {'pool'}
  recon = np.asarray(vae.decode(vae.encode(photos.images()).mean))
  found = pixels(tmp_path / 'run')
  for image in made:
    row = photos.files.index(image.source)
    assert image.source_sha256 == photos.sha256[row] and image.label == photos.labels[row]
    levels = np.clip(recon[row, ..., 0], 0, 1) * 255
    assert np.abs(found[image.file.partition('/')[2]] - levels).max() <= 1
  summary = json.loads((tmp_path / 'run/summary.json').read_text())
  assert summary['images'] == 21 and summary['kid'] is None  # 3 photos held out, KID takes 100
  assert '21 images' in (tmp_path / 'run/report.html').read_text()
  check_outputs(tmp_path / 'run')


def test_a_mosaic_names_both_photos_and_shows_them(generate, finished, tmp_path):
  assert generate('run', '--config.sampler.name=mosaic', '--config.sampler.temperature=1e-6', '--config.count=12') == 0
  vae = open_vae(finished[0])
  files = vae.photos().files
  recon = np.asarray(vae.decode(vae.encode(vae.photos().images()).mean))[..., 0]
  found = pixels(tmp_path / 'run')
  for image in manifest.read_manifest(tmp_path / 'run/set'):
    assert image.source != image.other_source
    first, second = (recon[files.index(file)] for file in (image.source, image.other_source))
    ratio = np.clip(first.mean() / second.mean(), 0.5, 2)
    made = found[image.file.partition('/')[2]] / 255
    unlike = np.minimum(np.abs(made - np.clip(first, 0, 1)), np.abs(made - np.clip(second * ratio, 0, 1)))
    assert np.mean(unlike < 1.5 / 255) > 0.7  # all but the seam


def test_an_image_is_the_same_in_a_batch_of_another_size(generate, tmp_path):
  assert generate('one', '--config.count=8') == generate('two', '--config.count=8', '--config.batch=3') == 0
  one, two = pixels(tmp_path / 'one'), pixels(tmp_path / 'two')
  assert one.keys() == two.keys()
  assert max(np.abs(one[name] - two[name]).max() for name in one) <= 1


def test_candidates_are_kept_for_what_the_manifest_says(generate, finished, tmp_path):
  assert generate('run', '--config.sampler.name=posterior', '--config.count=10', '--config.sampler.candidates=4') == 0
  photos = open_vae(finished[0]).photos().images()
  found, kept = pixels(tmp_path / 'run'), set()
  for image in manifest.read_manifest(tmp_path / 'run/set'):
    written = np.float32(found[image.file.partition('/')[2]][None, ..., None] / 255)
    distance = float(generation.nearest_of_images(written, photos)[0])
    record = image.filter
    # The file has 256 levels, what was judged had not.
    assert record['lpips_to_nearest'] == pytest.approx(distance, abs=0.02) and record['candidates'] == 4
    assert record['new'] == (record['lpips_to_nearest'] >= record['least_lpips'])
    kept.add(record['kept'])
  assert len(kept) > 1 and kept <= {0, 1, 2, 3}


def test_a_finished_set_is_left_as_it_is(generate, tmp_path, capsys):
  assert generate('run', '--config.count=5') == 0
  before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'run/set').rglob('*')}
  assert generate('run', '--config.count=5') == 0
  assert 'finished already' in capsys.readouterr().out
  assert {path: path.stat().st_mtime_ns for path in (tmp_path / 'run/set').rglob('*')} == before


@pytest.mark.parametrize(('arguments', 'reason'), [
  (['--config.count=0'], 'count = 0'),
  (['--config.sampler.name=gmm', '--config.sampler.components=30'], 'sampler.components = 30: more than the'),
  (['--config.sampler.neighbours=30'], 'sampler.neighbours = 30'),
  (['--config.sampler.name=gauss'], 'sampler.name'),
  (['--config.vae=none'], 'vae: is not set'),
  (['--config.vae=nowhere'], 'nowhere holds no run')])
def test_refusals_leave_nothing(generate, tmp_path, capsys, arguments, reason):
  assert generate('run', *arguments) == 2
  err = capsys.readouterr().err
  assert err.startswith('error: ') and reason in err and err.count('\n') == 1
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(('part', 'reason'), [
  ('final', 'trained on photos of the part final'),
  ('dev', 'trained on photos of the part dev')])
def test_a_vae_of_another_part_is_refused(generate, finished, tmp_path, capsys, part, reason):
  shutil.copytree(finished[0], tmp_path / 'vae')
  config = json.loads((tmp_path / 'vae/config.json').read_text())
  config['data']['part'] = part
  (tmp_path / 'vae/config.json').write_text(json.dumps(config))
  assert generate('run', vae=tmp_path / 'vae') == 2
  err = capsys.readouterr().err
  assert reason in err and err.count('\n') == 1 and not (tmp_path / 'run').exists()


def test_a_set_is_not_gone_on_with_by_another_vae(generate, finished, tmp_path, capsys):
  shutil.copytree(finished[0], tmp_path / 'vae')
  assert generate('run', '--config.count=4', vae=tmp_path / 'vae') == 0
  (tmp_path / 'run/summary.json').unlink()
  newest = max((tmp_path / 'vae/checkpoints').iterdir(), key=lambda path: int(path.name))
  shutil.rmtree(newest)  # the VAE as it was some steps before
  assert generate('run', '--config.count=4', vae=tmp_path / 'vae') == 2
  assert re.search('image 0 was made by .* step 40, and now it would be made by .* step 32', capsys.readouterr().err)


def test_vaes_of_one_config_are_told_apart(finished):
  vae = open_vae(finished[0])
  bias = vae.params | {'decoder': jax.tree.map(lambda leaf: leaf + 1e-3, vae.params['decoder'])}
  assert vae.digest == open_vae(finished[0]).digest != dataclasses.replace(vae, params=bias).digest


def test_an_image_of_two_photos_names_both_and_their_classes(finished):
  vae = open_vae(finished[0])
  photos = vae.photos()
  photos = dataclasses.replace(vae.photos(), labels=['dent' if row % 2 else 'hole' for row in range(len(photos))])
  sampler = samplers.make('interpolate', vae.encode(photos.images()), temperature=1., neighbours=2, components=1,
                          seed=0, brightness=photos.images().mean((1, 2, 3)))
  make = DecodingProduction(vae.decode, sampler, photos, 0, {'class': 'none', 'model': 'vae'})
  _, lineages = make(np.arange(40, dtype=np.uint32))
  classes = dict(zip(photos.files, photos.labels, strict=True))
  for made in lineages:
    shown = {classes[made['source']], classes[made['other_source']]}
    assert made['source'] != made['other_source'] and made['class'] == ' '.join(sorted(shown))
  assert {made['class'] for made in lineages} == {'dent', 'hole', 'dent hole'}


def test_photos_that_the_vae_was_not_trained_on_are_refused(generate, finished, tmp_path, photos, capsys):
  shutil.copytree(photos, tmp_path / 'photos')
  shutil.copytree(finished[0], tmp_path / 'vae')
  config = tmp_path / 'vae/config.json'
  config.write_text(config.read_text().replace(str(photos), str(tmp_path / 'photos')))
  assert generate('as_it_was', '--config.count=4', vae=tmp_path / 'vae') == 0
  write(tmp_path / 'photos' / names('pool', 1)[0], bumps(1000))
  assert generate('run', '--config.count=4', vae=tmp_path / 'vae') == 2
  assert 'the photos are others than those' in capsys.readouterr().err and not (tmp_path / 'run').exists()


def test_files_that_are_not_of_the_run_are_refused(generate, tmp_path, capsys):
  (tmp_path / 'run/set/images').mkdir(parents=True)
  (tmp_path / 'run/set/images/000001.png').write_bytes(b'mine')
  assert generate('run') == 2
  assert 'no run' in capsys.readouterr().err
  assert (tmp_path / 'run/set/images/000001.png').read_bytes() == b'mine'
