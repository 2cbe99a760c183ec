"""What the study of answers runs, and its table."""

from pathlib import Path

from experiments import usable_study as study


def test_what_answers_looks_at_dev_and_what_is_measured_afterwards_at_final():
  runs = [run for run in study.runs(Path('data'), Path('runs'), tiny=False) if run.task != 'vae']
  assert {run.answered.settings['measure.part'] for run in runs} == {'dev'}
  assert {run.measured.settings['measure.part'] for run in runs} == {'final'}
  assert all(run.answered.workdir != run.measured.workdir for run in runs)


def test_a_classifier_is_opened_for_final():
  runs = [run for run in study.runs(Path('data'), Path('runs'), tiny=False) if run.task == 'classifier']
  assert all(run.measured.settings['classifier'] == run.answered.workdir for run in runs)
  assert runs[0].measured.needs == (runs[0].answered,)


def test_solar_cells_have_no_masks():
  cases = {run.case for run in study.runs(Path('data'), Path('runs'), tiny=False)
           if (run.task, run.name) == ('vae', 'elpv')}
  assert '25 photos' in cases and not any('mask' in case for case in cases)


ROWS = [{'task': 'vae', 'set': 'elpv', 'case': '25 photos', 'usable': False, 'reasons': ['known_by_heart'],
         'measured': 0.25, 'defects': None},
        {'task': 'vae', 'set': 'bsdata', 'case': 'all', 'usable': True, 'reasons': [], 'measured': 0.75,
         'defects': 0.5},
        {'task': 'anomaly', 'set': 'bsdata', 'case': 'PCA', 'usable': None, 'reasons': [], 'measured': 0.9,
         'defects': None}]


def test_the_table_and_the_means():
  assert study.table(ROWS).rows[0] == ['vae', 'elpv', '25 photos', 'no', 'known_by_heart',
                                       '0.25 of the variance rebuilt', '–']
  assert study.table(ROWS).rows[2][3:5] == ['not known', '–']
  assert study.contrast(ROWS) == {'vae': {'usable': 0.75, 'not usable': 0.25}}  # of detectors there is one kind alone
