"""The first hour of a new user, row by row: what was refused or passed over without a word works now, or is said.

Each test is one row of the log. Rows about detectors that find more, about speed and about the inpainting of other
people's weights are due with these.
"""

import csv
import json
import os
import re
import signal

import numpy as np
import pytest
from absl import flags
from made_photos import bumps, write
from PIL import Image

from defect_jax import main
from defect_jax.config import from_command_line
from defect_jax.data import coverage, listing, regions, seen, tiles
from defect_jax.data.samples import Traits
from defect_jax.detectors import choose
from defect_jax.diffusion import taught
from defect_jax.evaluation import forecast, looked_at
from defect_jax.report import advice, predictions, targets
from defect_jax.report.answers import Facts
from defect_jax.runs import start
from defect_jax.runs.folder import Workdir
from defect_jax.schema import flatten


def facts(config=(), **summary):
  return Facts(summary, dict(config), lambda changes: ' '.join(f'--config.{key}={value}'
                                                               for key, value in changes.items()))


def said(task, code, config=(), **summary):
  """(state, sentence, command) of the rule with that code."""
  found, verdict = advice.of(task, facts(config, **summary))
  answer = next(one for one in found if one.code == code)
  assert (code in verdict['reasons']) is (answer.state is False)
  return answer.state, answer.sentence, answer.command


def photos(root, folders, side=24):
  """A folder with so many photos in each subfolder."""
  for number, (folder, count) in enumerate(folders.items()):
    for row in range(count):
      write(root / folder / f'{row:02}.png', bumps(100 * number + row, side))
  return root


def command(*arguments):
  """Exit status of the command in this process."""
  flags.FLAGS.unparse_flags()
  flags.FLAGS['workdir'].value = None
  handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
  try:
    return main.main(arguments)
  finally:
    for number, handler in handlers.items():
      signal.signal(number, handler)


def detect(path, workdir):
  """Exit status of a detector by PCA, with nothing but the path of the photos."""
  return command('--config=configs/anomaly.py:tiny', f'--config.data.path={path}', '--config.detector=pca',
                 '--config.detectors=', f'--workdir={workdir}')


def settled(tmp_path, path, *more, config='classifier'):
  _, asked, _ = from_command_line([f'--config=configs/{config}.py', f'--config.data.path={path}', *more])
  return start.settled(asked, Workdir(tmp_path / 'run'))


@pytest.mark.parametrize(('folders', 'words'), [
  ({'good': 6, 'defective': 6}, 'good'), ({'OK': 6, 'NOK': 6}, 'OK'), ({'.': 6}, '6 photos')])
def test_the_path_and_nothing_else(tmp_path, folders, words):
  config, lines = settled(tmp_path, photos(tmp_path / 'p', folders), config='anomaly')
  assert config.data.source in ('classes', 'photos') and words in ' '.join(lines)
  assert lines[1].startswith('to have it otherwise: --config.data.source=')


def test_all_classes_that_are_not_good_and_days_are_groups(tmp_path):
  root = photos(tmp_path / 'p', {'ok': 6, 'ng/monday': 3, 'ng/tuesday': 3})
  config, _ = settled(tmp_path, root)
  assert tuple(config.data.defects) == ('ng',)
  listed = listing.list_photos('auto', root)
  assert len({record.group for record in listed if record.label == 'ng'}) == 2


def test_home_is_expanded(monkeypatch, tmp_path):
  monkeypatch.setenv('HOME', str(tmp_path))
  _, config, _ = from_command_line(['--config=configs/vae_split.py', '--config.data.path=~/photos'])
  assert config.data.path == str(tmp_path / 'photos')


@pytest.mark.parametrize(('arguments', 'words'), [
  (['--targets.kld=8'], '--config.targets.kld='), (['--config.targets.kdl=8'], 'targets.kld'),
  (['--config.targets.kld=-1'], 'targets.kld = -1.0: must be'), (['--config.targets.kld=low'], 'must be a number'),
  (['--config.data.path=/nowhere'], '/nowhere')])
def test_mistakes_get_one_line(arguments, words, tmp_path, capsys, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert command('--config=configs/vae_split.py', f'--workdir={tmp_path / "run"}', *arguments) == 2
  error = capsys.readouterr().err
  assert error.count('\n') == 1 and words in error and not (tmp_path / 'run').exists()


def test_a_mistyped_config_is_told_its_nearest(capsys):
  assert command('--config=configs/vae_splitt.py') == 2
  assert 'configs/vae_split.py' in capsys.readouterr().err


def test_one_photo_of_a_class_is_refused(tmp_path, capsys):
  root = photos(tmp_path / 'p', {'ok': 5, 'ng': 1})
  assert command('--config=configs/classifier.py:tiny', f'--config.data.path={root}',
                    f'--workdir={tmp_path / "run"}') == 2
  assert capsys.readouterr().err.count('\n') == 1


def test_masks_without_class_folder_and_as_jpeg(tmp_path):
  root = photos(tmp_path / 'p', {'ok': 4, 'ng': 4})
  for row in range(4):
    mask = np.zeros((24, 24), np.uint8)
    mask[4:12, 4:12] = 255
    (root / 'masks').mkdir(exist_ok=True)
    Image.fromarray(mask).save(root / 'masks' / f'{row:02}.jpg', quality=90)
  listed = listing.list_photos('auto', root)
  marked = [record for record in listed if record.annotation and record.label == 'ng']
  assert len(marked) == 4 and marked[0].annotation.read((24, 24))[4:12, 4:12].all()


def test_what_is_looked_at_of_photos_that_are_not_square(tmp_path):
  for row in range(4):
    write(tmp_path / 'p' / 'ng' / f'{row}.png', np.full((126, 50), 90 + row, np.uint8))
    write(tmp_path / 'p' / 'ok' / f'{row}.png', np.full((126, 50), 190 + row, np.uint8))
  _, lines = settled(tmp_path, tmp_path / 'p', config='vae_split')
  assert any('the central square alone is looked at: 40% of a photo' in line for line in lines)
  config, lines = settled(tmp_path, tmp_path / 'p', config='anomaly')
  assert config.tiles.on and any('strips: cut into tiles' in line for line in lines)
  assert coverage.lines(list(listing.list_photos('auto', tmp_path / 'p')), 'pad') == []


def test_defects_of_6_px_at_64_px_are_lost(tmp_path):
  mask = np.zeros((1024, 1024), np.uint8)
  mask[500:504, 400:496] = 255  # 96 px long
  write(tmp_path / 'ng' / 'scratch' / '0.png', np.full((1024, 1024), 90, np.uint8))
  write(tmp_path / 'ground_truth' / 'scratch' / '0_mask.png', mask)
  seen_of = looked_at.of(list(listing.list_photos('folder', tmp_path, split='none')),
                         tiles.Tiling(regions.Geometry(size=64, channels=1)))
  assert seen_of['defect_seen_px'] == 6.0
  state, words, command = said('vae', 'lost_in_scaling', looked_at=seen_of)
  assert state is False and '6 px of the 64 px' in words and command == '--config.data.size=128'


def test_known_by_heart_and_parts_in_any_pose():
  assert said('vae', 'known_by_heart', known_ratio=33., known_how='held_out')[0] is False
  assert 'lie in any pose' in said('vae', 'any_pose', mixture={'any_pose': {'ng': 0.14}})[1]


def test_two_products_in_one_folder():
  found = {'mixed_products': {'ng': {'counts': [15, 10], 'examples': [['a'], ['b']]}}}
  assert said('vae', 'mixed_products', mixture=found)[0] is False
  assert said('anomaly', 'mixed_products', mixture=found)[0] is False


def test_one_advice_for_targets_that_cannot_be_reached():
  images = np.random.default_rng(0).random((25, 8, 8, 1)).astype(np.float32)
  goals = {'kld': 0.01, 'mse': 0.0001 * float(images.var(0).mean())}
  outlook = forecast.forecast(images, goals['mse'])
  foretold = ' '.join(forecast.sentences(outlook, goals, 16, 1.))
  run = facts({'targets.mse_of_variance': 0.0001, 'control.policy': 'pi'}, kld=0.02, mse=0.05, kld_target=0.01,
              mse_target=goals['mse'], forecast={'least_kld': outlook.least_kld, 'of_half': outlook.least_kld})
  step = targets.next_step(run)
  assert 'raise targets.kld to 3.22' in foretold and step.sentence.startswith('raise targets.kld: ')
  assert '3.22 nats' in step.sentence and step.command == '--config.targets.kld=3.4'


def test_a_score_of_the_pages_table_is_taken():
  assert choose('vae', 'knn') == ('neighbours', 'knn')


def test_prompts_that_weights_were_not_taught():
  known = taught.Taught(('good', 'pitting'))
  assert taught.unknown(known, ['a close-up photo of a {defect}'], ['ng']) == ['ng']
  assert taught.unknown(known, ['a close-up photo of a {defect}'], ['pitting']) == []
  assert 'were taught pitting' in taught.line(known, ['scratch'])
  assert said('inpaint', 'kind_unknown_to_weights', {'defects': ('scratch',)}, unknown_kinds=['scratch'])[0] is False


def test_shares_beside_the_part_and_copies_have_advice():
  _, config, _ = from_command_line(['--config=configs/inpaint.py', '--config.masks.kind=real'])
  state, words, remedy = said('inpaint', 'off_the_part', flatten(config), beside_part=11 / 24, changes_seen=24,
                              beside_images=[*range(11)])
  assert state is False and '46 %' in words and remedy == '--config.masks.moved=False'
  _, config, _ = from_command_line(['--config=configs/generate.py:interpolate'])
  state, words, remedy = said('generate', 'copies', flatten(config), images=100, memorised_fraction=0.43, novelty=0.5)
  assert state is False and '43 %' in words and remedy


def test_photos_that_were_trained_on_are_counted_apart():
  rows = [{'verdict': 'ng', 'trained_on': '1'}] * 16 + [{'verdict': 'ok', 'trained_on': '0'}] * 4
  assert next(predictions.about_known(rows)).startswith('16 of the photos were trained on (0 ok, 16 ng)')


def test_a_photo_of_far_more_pixels_gets_a_note():
  known = seen.Seen(frozenset(), 16, [Traits((300, 350), 8, 0.5)])
  assert 'times the pixels of any trained on' in known.note(Traits((11800, 11780), 8, 0.5))


@pytest.fixture(scope='module')
def detector(tmp_path_factory):
  """A detector of good photos alone, by PCA: its folder and what it printed."""
  root = tmp_path_factory.mktemp('first')
  photos(root / 'p', {'.': 24}, side=32)
  with pytest.MonkeyPatch.context() as patch:
    lines = []
    patch.setattr('builtins.print', lambda *words, **_: lines.extend(map(str, words)))
    assert detect(root / 'p', root / 'run') == 0
  return root, lines


def test_a_detector_of_good_photos_alone_is_measured_on_pasted_defects(detector):
  root, _ = detector
  summary = json.loads((root / 'run' / 'summary.json').read_text())
  assert summary['measured_on'] == 'pasted' and summary['image_auroc'] is not None
  text = (root / 'run' / 'report.html').read_text()
  assert 'pasted' in text and text.index('Can I use it?') < text.index('Threshold')
  assert not re.search(r'(<td>–</td>\s*){5}', text)  # no rows of dashes


def test_the_first_and_the_last_line_name_the_page(detector):
  root, lines = detector
  said_lines = [line for words in lines for line in words.split('\n') if line]
  assert said_lines[0] == said_lines[-1] == f'page: {root / "run" / "report.html"}'


def test_run_twice_it_says_so_and_names_the_page(detector, capsys):
  root, _ = detector
  assert detect(root / 'p', root / 'run') == 0
  out = capsys.readouterr().out
  assert 'finished already' in out and out.rstrip().endswith('report.html')


def test_one_photo_is_scored_and_its_heat_map_has_its_name(detector, capsys):
  root, _ = detector
  assert command('--config=configs/predict.py', f'--config.run={root / "run"}',
                    f'--config.photos={root / "p" / "00.png"}', f'--workdir={root / "one"}') == 0
  with open(root / 'one' / 'predictions.csv', newline='') as file:
    row, = csv.DictReader(file)
  assert row['heatmap'] == 'heatmaps/00.png' and row['trained_on'] == '1'
  assert '0 photos/s' not in capsys.readouterr().out


def test_stopped_is_stopped(tmp_path, monkeypatch):
  append = Workdir.append_metrics

  def stopping(workdir, row):
    workdir.stop_requested = True
    append(workdir, row)
  monkeypatch.setattr(Workdir, 'append_metrics', stopping)
  assert detect(photos(tmp_path / 'p', {'.': 24}, side=32), tmp_path / 'run') == 3
  assert json.loads((tmp_path / 'run' / 'status.json').read_text())['state'] == 'stopped'
  assert 'It was stopped.' in (tmp_path / 'run' / 'report.html').read_text()


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_a_folder_that_cannot_be_written(tmp_path, capsys):
  (tmp_path / 'closed').mkdir(mode=0o500)
  assert command('--config=configs/vae_split.py:tiny', f'--workdir={tmp_path / "closed" / "run"}') == 2
  assert 'cannot be written' in capsys.readouterr().err
