"""What the study of answers runs, and its table."""

from pathlib import Path

from experiments import usable_study as study


def test_a_detector_is_asked_by_pasted_defects_and_measured_by_labels():
  runs = study.runs(Path('data'), Path('runs'), tiny=False)
  run = next(run for run in runs if (run.task, run.name, run.case) == ('anomaly', 'bsdata', 'PCA'))
  assert run.answered.settings['measure.part'] == 'synthetic' and run.measured.settings['measure.part'] == 'dev'
  assert run.answered.settings['data.path'] == Path('data/bsdata/ball_screw')
  assert run.answered.workdir != run.measured.workdir


def test_a_classifier_is_opened_for_final_and_nothing_else_looks_at_it():
  runs = study.runs(Path('data'), Path('runs'), tiny=False)
  final = [job for run in runs for job in (run.answered, run.measured)
           if job and job.settings.get('measure.part') == 'final']
  assert {job.config for job in final} == {'configs/classifier.py:vgg16'}
  assert all(job.settings['classifier'] == job.needs[0].workdir for job in final)
  assert not any(run.answered.settings.get('measure.part') == 'final' for run in runs)


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
                                       '0.25 variance of new photos rebuilt', '–']
  assert study.table(ROWS).rows[2][3:5] == ['not known', '–']
  assert study.contrast(ROWS) == {'vae': {'usable': 0.75, 'not usable': 0.25}}  # of detectors there is one kind alone
