"""The tables of small studies, from made summaries."""

import json
import subprocess
import sys

import pytest

from defect_jax.runs.folder import Workdir
from experiments import command, samplers_study, step_response, targets_study


def summary(steps, kld=16.0, mse=0.01, ripple=0.01, collapsed=False):
  return {'steps_to_targets': steps, 'kld': kld, 'kld_ripple': ripple, 'mse': mse, 'mse_target': 0.02,
          'collapsed': collapsed, 'detail_kept': 0.875, 'mse_ripple': 0.5, 'active_units': 16, 'dev_mse': None}


@pytest.mark.parametrize(('changed', 'reached'), [
    ({}, True), ({'steps': None}, False), ({'ripple': 0.06}, False), ({'collapsed': True}, False)])
def test_a_run_is_at_its_targets_if_it_stays_there_steadily_without_collapse(changed, reached):
  assert targets_study.at_targets(summary(**{'steps': 400} | changed)) is reached


def test_all_seeds_are_one_row():
  cells = {'seed_0': summary(400), 'seed_1': summary(321, 16.25, 0.02), 'seed_2': summary(None, 5.0)}
  row, = targets_study.published(cells, ', conventional training').rows
  assert row == ['solar cells, seeds 0 to 2, conventional training', '2 of 3', '321 to 400', '5.00 to 16.25',
                 '0.50 to 1.00', '0.88 to 0.88']
  row, = targets_study.published({'seed_0': summary(None)}, '').rows
  assert row[1:3] == ['0 of 1', 'never']


def test_both_regions_of_a_defect_are_one_row(tmp_path):
  cells = {name: summary(None if name == 'crack_full' else 400) for name in targets_study.photo_cells(tmp_path)}
  rows = targets_study.published(cells, '').rows
  assert [row[:3] for row in rows] == [
      ['blowhole, square around the mask / whole photo', 'yes / yes', '400 / 400'],
      ['crack, likewise', 'yes / no', '400 / never'], ['break, likewise', 'yes / yes', '400 / 400'],
      ['pitting, likewise', 'yes / yes', '400 / 400']]


def test_a_study_of_targets_has_its_cells_as_jobs(tmp_path):
  run = targets_study.study('name', 'configs/vae_split.py', targets_study.seed_cells(2), tmp_path)
  assert [job.workdir for job in run.jobs] == [tmp_path / 'seed_0', tmp_path / 'seed_1']
  assert run.run(lambda jobs: {job.workdir: job.settings['seed'] for job in jobs}) == {'seed_0': 0, 'seed_1': 1}


def test_temperatures_are_named_if_there_are_several():
  figures = {'kid': 0.25, 'kid_ci': (0.125, 0.5), 'novelty': 0.5, 'memorised_fraction': None, 'diversity': 0.75,
             'images_per_second': 99.6}
  one = samplers_study.table({'prior, 1.0': figures})
  assert one.columns == ['sampler', 'KID (95 % interval)', 'novelty', 'memorised', 'diversity', 'images/s']
  assert one.rows == [['prior', '0.25 (0.12 to 0.50)', '0.50', '–', '0.75', '100']]
  two = samplers_study.table({'prior, 1.0': figures, 'prior, 0.5': figures}, leave_out=['images_per_second'])
  assert two.columns[0] == 'sampler, temperature' and [row[0] for row in two.rows] == ['prior, 1.0', 'prior, 0.5']
  assert 'images/s' not in two.columns


def test_steps_are_counted_from_each_change_until_both_losses_stay(tmp_path):
  workdir = Workdir(tmp_path)
  rows = [{'step': step, 'train/kld': 10.0 if 100 < step <= 150 else 16.0, 'train/mse': 0.01, 'target/kld': 16.0,
           'target/mse': 0.01} for step in range(10, 401, 10)]
  requests = [{'step': step, 'request': 1} for step in (100, 250)]
  workdir.metrics_jsonl.write_text(''.join(json.dumps(row) + '\n' for row in [*rows[:10], requests[0], *rows[10:25],
                                                                              requests[1], *rows[25:]]))
  kept, changes = step_response.read(workdir)
  assert kept == rows and changes == [100, 250]
  # After the first change the KLD is wrong for 50 steps, and 5 % of 16 is 0.8: with 6 nats missing in 6 of the 50 steps
  # of a mean it is 0.72 too low, in 7 of them 0.84. So the mean of steps 45 to 94 is the first that will do.
  assert step_response.responses(kept, changes) == [94, 50]


def test_tiny_figures_are_not_published(monkeypatch, capsys):
  monkeypatch.setattr(sys, 'argv', ['targets_study', '--tiny', '--publish'])
  with pytest.raises(SystemExit):
    command.run(lambda own: pytest.fail('it began'), targets_study.FLAGS)
  assert 'tiny jobs have no figures to publish' in capsys.readouterr().err


def test_a_command_says_what_it_is_for_and_refuses_stray_arguments():
  def call(*arguments):
    return subprocess.run([sys.executable, '-m', 'experiments.results', *arguments], capture_output=True, text=True)
  shown, stray = call('--help'), call('stray')
  assert shown.returncode == 0 and '--[no]check' in shown.stdout and 'The tables of docs/results.md' in shown.stdout
  assert (stray.returncode, stray.stderr) == (2, 'error: stray: stray argument\n')
