"""What augmentation_study computes from its cells, and that its cells draw the photos that their jobs draw."""

import csv
import re
import subprocess
import sys

import numpy as np
import pytest

from defect_jax.config import UserError
from defect_jax.data import listing, parts
from defect_jax.imagesets import writer
from experiments import augmentation_cells as cells
from experiments import augmentation_comparison as comparison
from experiments import augmentation_study as study
from experiments import command


def rows(scores):
  """Rows of predictions.csv: 4 good photos, then 4 defective ones, with these scores."""
  return {f'{number}.png': {'score': str(score), 'truth': 'good' if number < 4 else 'defect'}
          for number, score in enumerate(scores)}


FAIR = rows([0.1, 0.2, 0.3, 0.6, 0.9, 0.8, 0.3, 0.2])  # recalls 3/4 and 2/4
ALONE = {file: file for file in FAIR}  # each photo its own group
BETTER = rows([0.1, 0.2, 0.3, 0.4, 0.9, 0.8, 0.7, 0.2])  # 4/4 and 3/4


def asked(arm, photos=25, ratio=None, candidates=None):
  return comparison.Asked(photos, arm, ratio, candidates)


def measured(rows, groups=ALONE):
  return comparison.measured([rows] * 3, groups)


def test_all_is_asked_for_and_nothing_twice(tmp_path):
  plan = study.Plan(tmp_path, tmp_path, arms=['+classic', '+cutpaste', '+vae_split'], photos=[25, 50], ratios=[1., 2.],
                    candidates=[8])
  few = [asked('+classic'), asked('+cutpaste', ratio=1.), asked('+vae_split', ratio=1., candidates=8),
         asked('+cutpaste', ratio=2.), asked('+vae_split', ratio=2., candidates=8)]
  assert plan.asked() == few + [each._replace(photos=50) for each in few]


def test_a_study_measures_every_arm_with_every_seed(tmp_path):
  plan = study.Plan(tmp_path, tmp_path, arms=['+classic', '+vae_split'], seeds=3, part='final', model='vgg16')
  jobs = study.study(plan).jobs
  assert [(job.workdir.parent.parent.name, job.workdir.name) for job in jobs] == [
      (f'seed_{seed}', name) for name in ('vgg16+classic', 'vgg16+vae_split_ratio_1') for seed in range(3)]
  assert {job.settings['measure.part'] for job in jobs} == {'final'}


def test_arms_are_compared_with_classic_augmentation():
  base, arm = comparison.compare('elpv', {
      asked('+classic'): measured(FAIR), asked('+vae_split', ratio=1., candidates=8): measured(BETTER)})
  assert 'differences' not in base and base['figures']['balanced_accuracy'] == pytest.approx(5 / 8)
  assert arm['figures']['balanced_accuracy'] == pytest.approx(7 / 8)
  assert arm['differences']['balanced_accuracy']['mean'] == pytest.approx(1 / 4)
  shown = comparison.table([base, arm]).markdown().splitlines()
  assert len(shown) == 4 and shown[2].endswith('| – | – | – |') and '| +25.0 (' in shown[3]
  assert '| +classic |' in shown[2] and '| +vae_split, best of 8 |' in shown[3]
  assert '| +classic, 25 photos |' in shown[3]
  assert len({line.count('|') for line in shown}) == 1
  published = comparison.published([base, arm]).rows
  assert published[0] == ['classic augmentation (the baseline)', '0.625', '0.625', '0.571', '0.750', '–']
  assert published[1][0] == 'and images of the VAE by E1, E2, D' and published[1][-1].startswith('+25.0 (')


def test_more_real_photos_are_compared_with_fewer():
  arms = [('+classic', None), ('+vae_split', 1.), ('+vae_split', 2.)]
  compared = list(comparison.compare('elpv', {
      asked(arm, photos, ratio): measured(BETTER if (photos, arm) == (50, '+classic') else FAIR)
      for photos in (25, 50) for arm, ratio in arms}))
  assert [(row['photos'], row['arm'], row['ratio'], row.get('against')) for row in compared] == [
      (25, '+classic', None, None), (25, '+vae_split', 1., '+classic, 25 photos'),
      (25, '+vae_split', 2., '+classic, 25 photos'), (50, '+classic', None, '+classic, 25 photos'),
      (50, '+vae_split', 1., '+classic, 50 photos'), (50, '+vae_split', 2., '+classic, 50 photos')]
  gains = [row['differences']['balanced_accuracy']['mean'] for row in compared[1:]]
  assert gains == pytest.approx([0, 0, 1 / 4, -1 / 4, -1 / 4])


def test_seeds_that_were_measured_on_different_photos_are_not_mixed():
  with pytest.raises(UserError, match='different photos'):
    comparison.measured([FAIR, dict(list(FAIR.items())[1:])], ALONE)


def test_arms_that_were_measured_on_different_photos_are_not_compared():
  others = {f'other {file}': row for file, row in FAIR.items()}
  with pytest.raises(UserError, match=r'different photos, such as 0\.png'):
    list(comparison.compare('elpv', {asked('+classic'): measured(FAIR),
                                     asked('+vae_split'): measured(others, {file: file for file in others})}))


def test_a_measured_photo_that_is_gone_is_reported():
  with pytest.raises(UserError, match=r'different photos, such as 0\.png; put the photos back'):
    measured(FAIR, {file: file for file in list(FAIR)[1:]})


def test_photos_of_one_workpiece_are_drawn_together():
  def interval(groups):
    _, arm = comparison.compare('elpv', {asked('+classic'): measured(FAIR, groups),
                                         asked('+vae_split'): measured(BETTER, groups)})
    return arm['differences']['balanced_accuracy']['interval']
  # Of four good and four defective photos one each differs; of two pairs of each a half of one.
  assert interval(ALONE) != interval({file: str(number // 2) for number, file in enumerate(FAIR)})
  assert interval({file: str(number // 4) for number, file in enumerate(FAIR)}) == pytest.approx((1 / 4, 1 / 4))


def test_a_cell_has_the_photos_that_its_jobs_draw(tmp_path):
  cell = cells.Cell(tmp_path, {'source': 'elpv', 'defects': ('defective',)}, 6, 2, 10, True)
  cell.export(tmp_path / 'photos')
  with open(tmp_path / 'photos/index.csv', newline='') as file:
    listed = list(csv.DictReader(file))
  groups = [row['group'] for row in listed]
  assert all(parts.part_of(group) == 'pool' for group in groups)
  # All good photos of the pool, and the six that dataset.load draws by that seed.
  pool = [record for record in listing.list_photos('elpv') if record.part == 'pool']
  wanted = parts.choose_few([record for record in pool if record.label == 'defective'], 6, 2)
  assert sorted(row['group'] for row in listed if row['path'].startswith('test/defective')) == wanted
  assert len(listed) == 6 + sum(record.label == 'good' for record in pool)
  assert all((tmp_path / 'photos' / row['path']).is_file() for row in listed)
  again = listing.list_photos('folder', tmp_path / 'photos')
  assert {record.part for record in again} == {'pool'} and {record.label for record in again} == {'good', 'defective'}


def test_configs_are_named_with_and_without_tiny():
  for tiny, wanted in ((False, ['configs/a.py', 'configs/a.py:b']),
                       (True, ['configs/a.py:tiny', 'configs/a.py:b,tiny'])):
    cell = cells.Cell(None, {}, 1, 0, 1, tiny)
    assert [cell.config('a.py'), cell.config('a.py:b')] == wanted


def test_a_cell_of_all_photos_has_all_of_them(tmp_path):
  data = {'source': 'elpv', 'defects': ('defective',)}
  few, every = (cells.Cell(tmp_path / f'{photos}', data, photos, 2, 10, True) for photos in (6, 0))
  for cell in (few, every):
    cell.export(cell.root / 'photos')
  every_defect = [record for record in listing.list_photos('elpv')
                  if (record.part, record.label) == ('pool', 'defective')]
  shown = [{path.stem for path in (cell.root / 'photos/test/defective').iterdir()} for cell in (few, every)]
  assert len(shown[0]) == 6 and shown[0] < shown[1] and len(shown[1]) == len(every_defect)


def jobs_of(job):
  """{name of the workdir: job} of a job and of those it needs."""
  return {name: each for need in job.needs for name, each in jobs_of(need).items()} | {job.workdir.name: job}


def cell_of(root, candidates=None):
  return cells.Cell(root, {'source': 'elpv', 'defects': ('defective',)}, 6, 2, 10, False, candidates)


def test_a_filter_has_sets_and_classifiers_of_its_own(tmp_path):
  usual, one = (jobs_of(cell_of(tmp_path, candidates).classifier('+vae_split', 1., 'resnet', 'dev'))
                for candidates in (None, 1))
  assert list(usual) == ['vae_split', 'vae_split_images', 'resnet+vae_split_ratio_1']
  assert list(one) == ['vae_split', 'vae_split_images_best_of_1', 'resnet+vae_split_ratio_1_best_of_1']
  assert one['vae_split'] == usual['vae_split']
  images = one['vae_split_images_best_of_1']
  assert images.settings == usual['vae_split_images'].settings | {'sampler.candidates': 1}
  assert one['resnet+vae_split_ratio_1_best_of_1'].settings['made.sets'] == (images.workdir / 'set',)
  assert cell_of(tmp_path, 1).classifier('+classic', None, 'resnet', 'dev').workdir.name == 'resnet+classic'


def test_defects_are_inpainted_in_real_masks_where_there_are_any(tmp_path):
  settings = []
  for name in ('bare', 'masked'):
    for number in range(8):
      for kind in ('train/good', 'test/crack', 'ground_truth/crack')[:3 if name == 'masked' else 2]:
        (tmp_path / name / kind).mkdir(parents=True, exist_ok=True)
        suffix = '_mask' * kind.startswith('ground')
        (tmp_path / name / kind / f'{number}{suffix}.png').write_bytes(writer.encode_png(np.zeros((8, 8), np.uint8)))
    cell = cells.Cell(tmp_path / 'cell', {'source': 'folder', 'path': tmp_path / name, 'defects': ('crack',)}, 0, 0, 10,
                      False)
    settings.append(cell.images('inpaint').settings)
  assert settings[1] == settings[0] | {'masks.kind': 'real'} != settings[0]


def test_what_has_no_made_images_is_the_same_job_for_every_ratio(tmp_path):
  job, again = (cell_of(tmp_path).classifier('+classic', ratio, 'resnet', 'dev') for ratio in (1., 5.))
  assert job == again and 'made.ratio' not in job.settings


def test_what_is_measured_on_final_was_trained_in_the_run_on_dev(tmp_path):
  final = cell_of(tmp_path).classifier('+vae_split', 1., 'resnet', 'final')
  dev, = final.needs
  assert [job.workdir for job in (dev, final)] == [
      tmp_path / part / 'resnet+vae_split_ratio_1' for part in ('dev', 'final')]
  assert dev == cell_of(tmp_path).classifier('+vae_split', 1., 'resnet', 'dev')
  assert final.settings['classifier'] == dev.workdir and 'made.sets' in dev.settings
  assert 'made.sets' not in final.settings and 'classifier' not in dev.settings


def test_probabilities_are_sorted_by_file():
  labels, probabilities = cells.probabilities({'b': {'score': '0.25', 'truth': 'good'},
                                               'a': {'score': '1', 'truth': 'x'}})
  assert labels.tolist() == [1, 0] and np.array_equal(probabilities, [[0, 1], [0.75, 0.25]])


@pytest.mark.parametrize('flag, values, reason', [
    ('photos', ['ten'], '--photos=ten: wants numbers with commas'),
    ('photos', ['25', '-1'], '--photos=25,-1: wants numbers from 0 on'),
    ('ratios', ['nan'], '--ratios=nan: wants numbers from 0 on'),
    ('candidates', ['0'], '--candidates=0: wants numbers from 1 on'),
    ('arms', ['+gan'], '--arms: [+]gan is none of them; there are real, [+]classic'),
    ('sets', ['tiles'], '--sets: tiles is none of them; there are elpv, magnetic_tile')])
def test_what_cannot_be_compared_is_refused_before_it_begins(flag, values, reason, monkeypatch, capsys):
  monkeypatch.setattr(study, 'run', lambda *_: pytest.fail('it began'))
  monkeypatch.setattr(sys, 'argv', ['study', f'--{flag}={",".join(values)}'])
  with pytest.raises(SystemExit):
    command.run(study.main, study.FLAGS)
  assert re.match(f'error: {reason}', capsys.readouterr().err)


@pytest.mark.parametrize('argument, reason', [('--photos=ten', '--photos=ten: wants numbers'),
                                              ('--seed=1', "Unknown command line flag 'seed'")])
def test_a_refusal_is_one_line(argument, reason, clean_env):
  done = subprocess.run([sys.executable, '-m', 'experiments.augmentation_study', argument], env=clean_env,
                        capture_output=True, text=True)
  assert done.returncode == 2 and done.stderr.startswith(f'error: {reason}') and done.stderr.count('\n') == 1


@pytest.mark.slow
def test_tiny_runs_to_its_table(tmp_path, clean_env):
  done = subprocess.run([sys.executable, '-m', 'experiments.augmentation_study', '--tiny', f'--root={tmp_path}'],
                        env=clean_env, capture_output=True, text=True, check=True)
  assert done.stdout.splitlines()[-1].startswith('| elpv | 10 | 1 | +cutpaste |')
  assert (tmp_path / 'dev.json').is_file() and (tmp_path / 'dev_elpv.png').is_file()
