"""What augmentation_study computes from its cells, and that its cells draw the photos that their jobs draw."""

import csv
import subprocess
import sys
import types

import numpy as np
import pytest

import defect_jax.sweeps.jobs
from defect_jax.config import UserError
from defect_jax.data import dataset, parts
from experiments import augmentation_cells as cells


@pytest.fixture
def study(experiment, monkeypatch):
  module = experiment('augmentation_study')
  flags = types.SimpleNamespace(arms=['+classic', '+vae_split'], seeds=3, part='dev', model='resnet', root='x',
                                at_once=1)
  monkeypatch.setattr(module, 'FLAGS', flags)
  return module


def rows(scores):
  """Rows of predictions.csv: 4 good photos, then 4 defective ones, with these scores."""
  return {f'{number}.png': {'score': str(score), 'truth': 'good' if number < 4 else 'defect'}
          for number, score in enumerate(scores)}


FAIR = rows([0.1, 0.2, 0.3, 0.6, 0.9, 0.8, 0.3, 0.2])  # recalls 3/4 and 2/4
ALONE = {file: file for file in FAIR}  # each photo its own group
BETTER = rows([0.1, 0.2, 0.3, 0.4, 0.9, 0.8, 0.7, 0.2])  # 4/4 and 3/4


class Own:
  """A cell in which every photo is its own group."""

  def groups(self):
    return ALONE


def test_arms_are_compared_with_classic_augmentation(study, monkeypatch):
  asked = []

  class Cell(Own):
    def classify(self, arm, ratio, model, part):
      asked.append((arm, ratio, model, part))
      return {}, BETTER if arm == '+vae_split' else FAIR
  monkeypatch.setattr(study, 'cell', lambda name, photos, seed, candidates: Cell())
  base, arm = study.compare('elpv', [25], [1.], [8])
  assert 'differences' not in base and base['figures']['balanced_accuracy'] == pytest.approx(5 / 8)
  assert arm['figures']['balanced_accuracy'] == pytest.approx(7 / 8)
  assert arm['differences']['balanced_accuracy']['mean'] == pytest.approx(1 / 4)
  assert set(asked) == {('+classic', None, 'resnet', 'dev'), ('+vae_split', 1., 'resnet', 'dev')} and len(asked) == 6
  shown = list(study.lines([base, arm]))
  assert len(shown) == 4 and shown[2].endswith('| – | – | – |') and '| +25.0 (' in shown[3]
  assert '| +classic |' in shown[2] and '| +vae_split, best of 8 |' in shown[3]
  assert '| +classic, 25 photos |' in shown[3]
  assert shown[0].count('|') == shown[1].count('|') == shown[2].count('|') == shown[3].count('|')


def test_more_real_photos_are_compared_with_fewer_and_nothing_is_told_twice(study, monkeypatch):
  class Cell(Own):
    def __init__(self, photos):
      self.photos = photos

    def classify(self, arm, *_):
      return {}, BETTER if (self.photos, arm) == (50, '+classic') else FAIR
  monkeypatch.setattr(study, 'cell', lambda name, photos, seed, candidates: Cell(photos))
  found = list(study.compare('elpv', [25, 50], [1., 2.], [1]))
  told = [(row['photos'], row['arm'], row['ratio'], row.get('against')) for row in found]
  assert told == [(25, '+classic', None, None), (25, '+vae_split', 1., '+classic, 25 photos'),
                  (25, '+vae_split', 2., '+classic, 25 photos'), (50, '+classic', None, '+classic, 25 photos'),
                  (50, '+vae_split', 1., '+classic, 50 photos'), (50, '+vae_split', 2., '+classic, 50 photos')]
  gains = [row['differences']['balanced_accuracy']['mean'] for row in found[1:]]
  assert gains == pytest.approx([0, 0, 1 / 4, -1 / 4, -1 / 4])


def test_seeds_that_were_measured_on_different_photos_are_not_mixed(study, monkeypatch):
  class Cell(Own):
    def __init__(self, seed):
      self.found = dict(list(FAIR.items())[seed:])

    def classify(self, *_):
      return {}, self.found
  monkeypatch.setattr(study, 'cell', lambda name, photos, seed, candidates: Cell(seed))
  with pytest.raises(UserError, match='different photos'):
    study.measured('elpv', 25, '+classic', 1., None)


def test_arms_that_were_measured_on_different_photos_are_not_compared(study, monkeypatch):
  class Cell(Own):
    def classify(self, arm, *_):
      return {}, FAIR if arm == '+classic' else {f'other {file}': row for file, row in FAIR.items()}

    def groups(self):
      return ALONE | {f'other {file}': file for file in FAIR}
  monkeypatch.setattr(study, 'cell', lambda name, photos, seed, candidates: Cell())
  with pytest.raises(UserError, match=r'different photos, such as 0\.png'):
    list(study.compare('elpv', [25], [1.], [None]))


def test_a_measured_photo_that_is_gone_is_told_of(study, monkeypatch):
  class Cell:
    def classify(self, *_):
      return {}, FAIR

    def groups(self):
      return {file: file for file in list(FAIR)[1:]}
  monkeypatch.setattr(study, 'cell', lambda name, photos, seed, candidates: Cell())
  with pytest.raises(UserError, match=r'different photos, such as 0\.png; put the photos back'):
    study.measured('elpv', 25, '+classic', 1., None)


def test_photos_of_one_workpiece_are_drawn_together(study, monkeypatch):
  def interval(groups):
    class Cell:
      def classify(self, arm, *_):
        return {}, BETTER if arm == '+vae_split' else FAIR

      def groups(self):
        return groups
    monkeypatch.setattr(study, 'cell', lambda name, photos, seed, candidates: Cell())
    _, arm = study.compare('elpv', [25], [1.], [None])
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
  # All good photos of the pool, and the six that sets.open_set draws by that seed.
  pool = [record for record in dataset.list_photos('elpv') if record.part == 'pool']
  wanted = parts.choose_few([record for record in pool if record.label == 'defective'], 6, 2)
  assert sorted(row['group'] for row in listed if row['path'].startswith('test/defective')) == wanted
  assert len(listed) == 6 + sum(record.label == 'good' for record in pool)
  assert all((tmp_path / 'photos' / row['path']).is_file() for row in listed)
  again = dataset.list_photos('folder', tmp_path / 'photos')
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
  every_defect = [record for record in dataset.list_photos('elpv')
                  if (record.part, record.label) == ('pool', 'defective')]
  shown = [{path.stem for path in (cell.root / 'photos/test/defective').iterdir()} for cell in (few, every)]
  assert len(shown[0]) == 6 and shown[0] < shown[1] and len(shown[1]) == len(every_defect)


@pytest.fixture
def ran(monkeypatch):
  """(workdir, settings) of every job that a cell starts; none is run."""
  started = []
  monkeypatch.setattr(defect_jax.sweeps.jobs, 'run',
                      lambda config, workdir, settings: started.append((workdir, settings)))
  monkeypatch.setattr(cells, 'rows', lambda workdir: {})
  return started


def test_a_filter_has_sets_and_classifiers_of_its_own(ran, tmp_path):
  for candidates in (None, 1):
    cell = cells.Cell(tmp_path, {'source': 'elpv', 'defects': ('defective',)}, 6, 2, 10, False, candidates)
    for arm in ('+classic', '+vae_split'):
      cell.classify(arm, 1., 'resnet', 'dev')
  settings = {workdir.name: of for workdir, of in ran}
  assert list(settings) == ['resnet+classic', 'vae_split', 'vae_split_images', 'resnet+vae_split_ratio_1',
                       'vae_split_images_best_of_1', 'resnet+vae_split_ratio_1_best_of_1']
  assert settings['vae_split_images_best_of_1'] == settings['vae_split_images'] | {'sampler.candidates': 1}
  assert settings['resnet+vae_split_ratio_1_best_of_1']['made.sets'] == str(tmp_path / 'vae_split_images_best_of_1/set')


def test_defects_are_inpainted_in_real_masks_where_there_are_any(ran, tmp_path):
  cell = cells.Cell(tmp_path, {'source': 'elpv', 'defects': ('defective',)}, 6, 2, 10, False)
  (tmp_path / 'photos').mkdir()
  cell.made('inpaint')
  (tmp_path / 'photos/ground_truth').mkdir()
  cell.made('inpaint')
  (trained, made), again = ran[:2], ran[2:]
  assert again == [trained, (made[0], made[1] | {'masks.kind': 'real'})]


def test_what_has_no_made_images_is_the_same_job_for_every_ratio(ran, tmp_path):
  cell = cells.Cell(tmp_path, {'source': 'elpv', 'defects': ('defective',)}, 6, 2, 10, False)
  for ratio in (1., 5.):
    cell.classify('+classic', ratio, 'resnet', 'dev')
  assert ran[0] == ran[1] and 'made.ratio' not in ran[0][1]


def test_what_is_measured_on_final_was_trained_in_the_run_on_dev(ran, tmp_path):
  cell = cells.Cell(tmp_path, {'source': 'elpv', 'defects': ('defective',)}, 6, 2, 10, False)
  cell.classify('+classic', 1., 'resnet', 'final')
  (dev, trained), (final, measured) = ran
  assert (dev, final) == (tmp_path / 'dev/resnet+classic', tmp_path / 'final/resnet+classic')
  assert 'classifier' not in trained and measured['classifier'] == dev
  # Asked for each time, so that a run on dev of other settings is refused.
  cell.classify('+classic', 1., 'resnet', 'final')
  assert ran[2:] == ran[:2]


def test_probabilities_are_sorted_by_file():
  labels, chances = cells.probabilities({'b': {'score': '0.25', 'truth': 'good'}, 'a': {'score': '1', 'truth': 'x'}})
  assert labels.tolist() == [1, 0] and np.array_equal(chances, [[0, 1], [0.75, 0.25]])


@pytest.mark.parametrize('flag, values, reason', [
    ('photos', ['ten'], '--photos=ten: wants numbers with commas'),
    ('photos', ['25', '-1'], '--photos=25,-1: wants numbers from 0 on'),
    ('ratios', ['nan'], '--ratios=nan: wants numbers from 0 on'),
    ('candidates', ['0'], '--candidates=0: wants numbers from 1 on'),
    ('arms', ['+gan'], '--arms: [+]gan is none of them; there are real, [+]classic'),
    ('sets', ['tiles'], '--sets: tiles is none of them; there are elpv, magnetic_tile')])
def test_what_cannot_be_compared_is_refused_before_it_begins(study, flag, values, reason, monkeypatch):
  usual = {'tiny': False, 'sets': ['elpv'], 'photos': ['25'], 'ratios': ['1'], 'candidates': ['config']}
  flags = usual | {flag: values}
  vars(study.FLAGS).update(flags)
  monkeypatch.setattr(study, 'compare', lambda *_: pytest.fail('it began'))
  with pytest.raises(UserError, match=reason):
    study.main([])


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
