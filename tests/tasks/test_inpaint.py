"""The inpaint job: photos of every kind keep depth and mode, broken ones are skipped, mistakes are one line."""

import json
import shutil
import signal
import subprocess
import sys
import types
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from absl import flags
from PIL import Image

from defect_jax import main
from defect_jax.augmentation import selection
from defect_jax.data import listing, parts
from defect_jax.evaluation import inpainting as evaluation
from defect_jax.imagesets import manifest
from defect_jax.report import inpaint as report

ROOT = Path(__file__).resolve().parents[2]


def names(part, suffix):
  return (name for number in range(10000) if parts.part_of(name := f'{number:03d}{suffix}') == part)


@pytest.fixture(scope='module')
def mixed(tmp_path_factory):
  """A plain folder: 8 and 16 bit, grey and colour, one too small, one broken, one of each other part."""
  root, rng = tmp_path_factory.mktemp('photos'), np.random.default_rng(0)
  grey, deep = rng.integers(0, 256, (80, 96), np.uint8), rng.integers(0, 65536, (72, 90, 3), np.uint16)
  png, tif = names('pool', '.png'), names('pool', '.tif')
  Image.fromarray(grey).save(root / next(png))
  Image.fromarray(np.stack([grey] * 3, -1) // 2).save(root / next(png))
  (root / next(png)).write_bytes(imagecodecs.png_encode(deep[..., 0].copy()))
  tifffile.imwrite(root / next(tif), deep, photometric='rgb')
  Image.fromarray(grey[:40]).save(root / next(png))
  (root / next(png)).write_bytes(b'\x89PNG\r\n\x1a\n broken')
  for part in ('dev', 'final'):
    Image.fromarray(grey).save(root / next(names(part, '.png')))
  return root


@pytest.fixture
def inpaint(cache, monkeypatch, tmp_path):
  """Runs the job in this process: (photos, workdir name, further arguments) -> exit status."""
  monkeypatch.chdir(tmp_path)
  handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

  def call(photos, name, *arguments):
    flags.FLAGS.unparse_flags()
    flags.FLAGS['workdir'].value = None
    return main.main(['--config=configs/inpaint.py:crop,tiny', f'--workdir={tmp_path / name}',
                      f'--config.photos={photos}', *arguments])

  yield call
  for number, handler in handlers.items():
    signal.signal(number, handler)


def test_photos_of_every_kind_are_augmented_and_broken_ones_listed(inpaint, mixed, tmp_path, caplog):
  assert inpaint(mixed, 'run', '--config.count=9', '--config.sampler.steps=1', '--config.defects=dent,scratch',
                 '--config.prompts=' + 'very ' * 80 + '{defect}', '--config.geometry.target=40,24') == 0
  assert 'is longer than the model reads; cut off:' in caplog.text
  made, root = manifest.read_manifest(tmp_path / 'run/set'), tmp_path / 'run/set'
  assert [image.label for image in made] == ['dent', 'scratch'] * 4 + ['dent']
  assert len({image.source for image in made}) == 6 and {image.source_part for image in made} == {'all'}
  assert {Path(image.file).suffix for image in made} == {'.png', '.tif'}
  assert {(image.method, image.model, image.sampler, image.steps) for image in made} == {
    ('inpaint', 'random', 'dpmsolver++', 1)}
  assert {image.changed_outside_mask for image in made} == {0} and {image.target[2:] for image in made} == {(40, 24)}
  for image in made:
    crop, whole = (tifffile.imread(root / file) if file.endswith('.tif') else imagecodecs.png_decode(
      (root / file).read_bytes()) for file in (image.crop_file, image.file))
    left, top, width, height = image.crop
    np.testing.assert_array_equal(crop, whole[top:top + height, left:left + width])
  summary = json.loads((tmp_path / 'run/summary.json').read_text())
  assert (summary['images'], summary['skipped'], summary['changed_outside_mask'], summary['kid']) == (9, 2, 0, None)
  assert any('is truncated' in line for line in summary['skipped_photos'])
  assert any('the crop (64, 64) is larger' in line for line in summary['skipped_photos'])
  page = (tmp_path / 'run/report.html').read_text()
  assert page.count('alt="original, augmented and difference"') == 3 and 'weights are random' in page
  checker = ROOT.parent / 'shared' / 'check_outputs.py'
  if checker.is_file():
    done = subprocess.run([sys.executable, checker, f'--photos={mixed}', tmp_path / 'run'], text=True,
                          capture_output=True)
    assert done.stdout == '0 faults\n'


def test_what_weights_do_not_know_is_said_before_anything_is_made(inpaint, mixed, tmp_path, capsys):
  assert inpaint(mixed, 'run', '--config.weights=default', '--config.defects=ng', '--config.count=2',
                 '--config.sampler.steps=1') == 0
  out = capsys.readouterr().out
  line = 'note: these weights were taught pitting and do not know ng'
  assert line in out and out.index(line) < out.index('2 images of')
  summary = json.loads((tmp_path / 'run/summary.json').read_text())
  assert summary['unknown_kinds'] == ['ng'] and summary['known_kinds'] == ['pitting']
  assert summary['usable'] is False and 'kind_unknown_to_weights' in summary['reasons']
  assert 'The weights were taught pitting, not ng' in (tmp_path / 'run/report.html').read_text()


def test_the_surfaces_of_the_package_are_there_to_try_it_on(inpaint, tmp_path):
  assert inpaint('default', 'run', '--config.geometry.crop=256,256', '--config.sampler.steps=1') == 0
  made = manifest.read_manifest(tmp_path / 'run/set')
  assert len({image.source for image in made}) == 8 and {image.source_part for image in made} == {'pool'}
  assert {image.changed_outside_mask for image in made} == {0}


def test_a_mask_that_is_not_moved_marks_the_corner_that_its_defect_lies_in(inpaint, tmp_path):
  root, rng = tmp_path / 'photos', np.random.default_rng(0)

  def write(folder, name, levels):
    (root / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels).save(root / folder / name)

  mask = np.zeros((60, 80), np.uint8)
  mask[-6:, :9] = 255
  for number in range(20):
    write('train/good', f'{number:02d}.png', rng.integers(0, 256, (120, 96), np.uint8))
    write('test/chip', f'{number:02d}.png', rng.integers(0, 256, (60, 80), np.uint8))
    write('ground_truth/chip', f'{number:02d}_mask.png', mask)
  assert inpaint(root, 'run', '--config.defects=chip', '--config.masks.kind=real', '--config.masks.moved=false',
                 '--config.geometry.feather=2', '--config.sampler.steps=1') == 0
  made = manifest.read_manifest(tmp_path / 'run/set')
  expected = np.zeros((120, 96), bool)
  expected[-12:, :round(9 * 96 / 80)] = True  # photos twice as high and 1.2 times as wide
  for image in made:
    marked = imagecodecs.png_decode((tmp_path / 'run/set' / image.mask).read_bytes()) > 0
    # The edge fades over two pixels, which are marked, too.
    assert marked[expected].all() and not marked[:-14].any() and not marked[:, 13:].any()
    assert image.crop == (0, 56, 64, 64) and image.changed_outside_mask == 0


def test_further_places_are_tried_for_images_that_do_not_pass(inpaint, mixed, tmp_path, monkeypatch):
  asked = []

  def select(candidates, defects):
    """Passes of each chunk of four the first image in all places, the second in its third, of the others the third is
    the surest in its second place, the fourth in its first."""
    asked.append([len(lot) for lot in candidates])
    place = (len(asked) - 1) % 3
    passes, sure = {0: (0,), 1: (0,), 2: (0, 1)}[place], {2: (0.1, 0.7, 0.5), 3: (0.6, 0.3, 0.2)}
    return [1] * len(defects), [{'passed': int(row in passes), 'artefact': (row, place) != (3, 0),
                                 'probability': sure.get(row, (0.4, 0.5, 0.6))[place]} for row in range(len(defects))]

  settings = ('--config.count=8', '--config.batch=4', '--config.sampler.steps=1', '--config.geometry.target=24,24')
  assert inpaint(mixed, 'plain', *settings) == 0
  monkeypatch.setattr(selection, 'by_real_defects', lambda *_, **__: select)
  assert inpaint(mixed, 'run', *settings, '--config.filter.candidates=2', '--config.filter.places=3') == 0
  plain, made = (manifest.read_manifest(tmp_path / name / 'set') for name in ('plain', 'run'))
  assert asked == [[2] * 4] * 6
  assert [(image.filter['place'], image.filter['passed']) for image in made] == [(0, 1), (2, 1), (1, 0), (0, 0)] * 2
  # The first place is that of a run without a filter, the others are other ones.
  assert [one.target == other.target for one, other in zip(plain, made, strict=True)] == [True, False, False, True] * 2
  assert [image.source for image in made] == [image.source for image in plain]
  summary = json.loads((tmp_path / 'run/summary.json').read_text())
  assert (summary['passed'], summary['changed_outside_mask']) == (4, 0)
  assert 'The filter passes 4 images' in (tmp_path / 'run/report.html').read_text()
  assert json.loads((tmp_path / 'plain/summary.json').read_text())['passed'] is None


def test_a_set_of_other_photos_is_not_gone_on_with(inpaint, mixed, tmp_path, capsys):
  shutil.copytree(mixed, tmp_path / 'others')
  for path in (tmp_path / 'others').iterdir():
    path.write_bytes(path.read_bytes() + b'\0')  # another file, which shows the same
  arguments = '--config.count=2', '--config.sampler.steps=1', f'--config.set={tmp_path}/set'
  assert inpaint(mixed, 'run', *arguments) == 0
  before = {path: path.read_bytes() for path in (tmp_path / 'set').rglob('*') if path.is_file()}
  assert inpaint(tmp_path / 'others', 'again', *arguments) == 2
  assert 'was made of' in (line := capsys.readouterr().err) and 'begin another run' in line
  assert {path: path.read_bytes() for path in (tmp_path / 'set').rglob('*') if path.is_file()} == before


def test_a_set_with_another_mask_is_not_gone_on_with(inpaint, mixed, tmp_path, capsys):
  mask, arguments = np.zeros((80, 96), np.uint8), ('--config.sampler.steps=1', '--config.masks.kind=png',
                                                   f'--config.masks.file={tmp_path}/mask.png')
  mask[30:40, 30:40] = 255
  Image.fromarray(mask).save(tmp_path / 'mask.png')
  assert inpaint(mixed, 'run', *arguments) == 0
  (tmp_path / 'run/summary.json').unlink()
  Image.fromarray(np.roll(mask, 1, 0)).save(tmp_path / 'mask.png')
  assert inpaint(mixed, 'run', *arguments) == 2
  assert 'image 0 was made with another mask' in capsys.readouterr().err
  Image.fromarray(mask).save(tmp_path / 'mask.png')
  assert inpaint(mixed, 'run', *arguments) == 0


def test_a_defect_without_photos_does_not_hide_the_others(tmp_path, caplog):
  mask = np.zeros((64, 64), np.uint8)
  mask[20:40, 20:40] = 255
  (tmp_path / 'test/dent').mkdir(parents=True)
  (tmp_path / 'ground_truth/dent').mkdir(parents=True)
  held_out = [number for number in range(99) if parts.part_of(f'test/dent/{number}.png') == 'dev'][:2]
  for number in held_out:
    Image.fromarray(mask // 2).save(tmp_path / f'test/dent/{number}.png')
    Image.fromarray(mask).save(tmp_path / f'ground_truth/dent/{number}_mask.png')
  for defects, wanted in ((('dent',), 2), (('dent', 'scratch'), 2), (('scratch',), 0)):
    found = evaluation.measure([], tmp_path, listing.list_photos('folder', tmp_path), defects, 'pool', 'dev', 64, 0)
    assert found['measured_against'] == f'{wanted} real defects of the part dev'
  assert caplog.text.count('against real defects of dent alone') == 1


def test_a_target_area_smaller_than_a_pixel_of_the_page_is_shown(tmp_path):
  photo = np.full((100, 2000), 100, np.uint8)
  for name in ('photo.png', 'made.png'):
    Image.fromarray(photo).save(tmp_path / name)
  made = types.SimpleNamespace(source='photo.png', file='made.png', bits=None,
                               crop=(900, 0, 100, 100), target=(1000, 50, 1, 1))
  shown = np.int64(report.figure(tmp_path, tmp_path, made))
  assert (shown[..., 0] - shown[..., 1]).max() > 200  # the red of the target area


@pytest.mark.slow
def test_two_processes_with_a_set_in_common_make_the_set_of_one(inpaint, mixed, tmp_path):
  count = ('--config.count=10', '--config.sampler.steps=1', '--config.geometry.mode=masked')
  assert inpaint(mixed, 'whole', *count) == 0
  for process in (1, 0):
    assert inpaint(mixed, f'run{process}', *count, f'--config.set={tmp_path}/common', '--config.share.processes=2',
                   f'--config.share.process={process}') == 0
  one, two = ({path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob('*') if path.is_file()}
              for root in (tmp_path / 'whole/set', tmp_path / 'common'))
  assert one == two


def masked_by(levels):
  def arguments(tmp_path):
    Image.fromarray(levels).save(tmp_path / 'mask.png')
    return ['--config.masks.kind=png', f'--config.masks.file={tmp_path}/mask.png']
  return arguments


@pytest.mark.parametrize(('arguments', 'reason'), [
  (['--config.weights=none'], 'weights: none are named; give --config.weights=default'),
  (['--config.weights=nowhere'], 'weights: there is no folder nowhere'),
  (['--config.sampler.steps=0'], 'sampler.steps = 0'), (['--config.sampler.steps=2000'], 'sampler.steps = 2000'),
  (['--config.sampler.strength=0.1'], 'sampler.strength = 0.1: of 3 steps none is left'),
  (['--config.geometry.crop=60,64'], 'geometry.crop = (60, 64): its sides must be multiples of 8'),
  (['--config.geometry.crop=512,512'], 'photos: none can be used'),
  (['--config.geometry.crop=0,0,64,64', '--config.geometry.target=60,0,16,16'], 'reaches beyond the crop'),
  (['--config.geometry.target=80,16'], 'is larger than the crop'),
  (['--config.geometry.target=300,0,16,16'], 'the target area (300, 0, 16, 16) reaches beyond it'),
  (masked_by(np.zeros((80, 96), np.uint8)), 'marks no pixel of the photo'),
  (masked_by(np.full((81, 96), 255, np.uint8)), 'px, the mask'),
  (['--config.masks.kind=polygon', '--config.masks.polygon=1,2,3,4'], 'masks.polygon'),
  (['--config.masks.kind=polygon', '--config.masks.polygon=1,2,3,900,7,7'], 'masks.polygon reaches beyond it'),
  (['--config.masks.kind=png'], 'masks.file: belongs to masks.kind = png'),
  (['--config.masks.kind=real'], 'masks.kind = real: there are no defect masks'),
  (['--config.masks.moved=false'], 'masks.moved = False: masks of the kind random lie nowhere yet'),
  (['--config.masks.moved=false', '--config.masks.kind=real', '--config.geometry.target=16,16'],
   'leave geometry.target out'),
  (['--config.masks.moved=false', '--config.masks.kind=real', '--config.geometry.feather=32'],
   'geometry.feather = 32: leaves nothing of a crop'),
  (['--config.masks.kind=polygon', '--config.masks.polygon=1,2,9,2,9,9', '--config.geometry.target=16,16'],
   'geometry.target = (16, 16): anywhere in the crop it would miss the mask'),
  (['--config.masks.kind=polygon', '--config.masks.polygon=1,2,9,2,9,9', '--config.geometry.target=20,20,16,16'],
   'the target area holds nothing of the mask'),
  (['--config.lora=nowhere'], 'lora: nowhere belongs to other weights than random ones'),
  (['--config.share.processes=2'], 'share.processes = 2: several processes fill one set'),
  (['--config.prompts=a {defect.x}'], 'prompts: '), (['--config.prompts=a {defect[x]}'], 'prompts: '),
  (['--config.prompts=a {thing}'], 'prompts: '), (['--config.classes=fine'], "classes: no class 'fine'"),
  (['--config.photos=none'], 'photos: is not set'),
  (['--config.photos=default', f'--config.weights={ROOT}'], 'photos = default: these are the surfaces that'),
  (['--config.photos=void'], 'photos: void does not exist'),
  (['--config.part=final'], 'part'), (['--config.part=dev'], 'measure.part = dev'),
  (['--config.masks.size=0.5,0.1'], 'masks.size'), (['--config.share.process=1'], 'share.process = 1')])
def test_mistakes_are_one_line_and_leave_nothing(inpaint, mixed, tmp_path, capsys, arguments, reason):
  arguments = arguments(tmp_path) if callable(arguments) else arguments
  assert inpaint(mixed, 'run', *arguments) == 2
  err = capsys.readouterr().err
  assert err.startswith('error: ') and reason in err and err.count('\n') == 1, err
  assert not (tmp_path / 'run').exists()


def test_photos_of_a_12_bit_camera_keep_its_range_and_light(inpaint, tmp_path, check_outputs, capsys):
  levels = np.random.default_rng(0).integers(60, 200, (4, 80, 96), np.uint8)
  levels[:, :4] = 255
  for name, values in (('8', levels), ('12', np.round(levels * (4095 / 255)).astype(np.uint16))):
    (tmp_path / name).mkdir()
    for number, value in enumerate(values):
      (tmp_path / name / f'{number}.png').write_bytes(imagecodecs.png_encode(value))
    assert inpaint(tmp_path / name, f'run{name}', '--config.count=2') == 0
  assert '12 of the 16 bits of a value are used, by the highest value seen in 4 photos, 4095' in capsys.readouterr().out
  for image in manifest.read_manifest(tmp_path / 'run12/set'):
    eight, twelve, mask = (imagecodecs.png_decode((tmp_path / run / 'set' / name).read_bytes()) for run, name in (
        ('run8', image.file), ('run12', image.file), ('run12', image.mask)))
    before = imagecodecs.png_decode((tmp_path / '12' / image.source).read_bytes())
    assert image.bits == 12 and image.changed_outside_mask == 0 and twelve.max() <= 4095
    np.testing.assert_array_equal(twelve[mask == 0], before[mask == 0])
    assert (twelve[mask > 0] != before[mask > 0]).mean() > 0.5
    # The same seed fills both alike: within a level of 8 bits.
    np.testing.assert_allclose(twelve[mask > 0] * (255 / 4095), eight[mask > 0], atol=1.01)
  check_outputs(tmp_path / 'run12', f'--photos={tmp_path / "12"}')
