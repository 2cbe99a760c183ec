"""What thesis_figure3 chooses and computes from the figures of its runs."""

import pytest

from experiments import thesis_figure3 as study


def test_interval_is_students():
  mean, half = study.interval([1., 2., 3.])
  # Standard deviation 1, three values: t(0.975, 2) = 4.3027 by the tables, over the root of 3.
  assert mean == 2 and half == pytest.approx(4.3027 / 3**0.5, rel=1e-4)


def test_the_setting_with_the_lowest_kid_on_dev_is_taken(tmp_path, monkeypatch):
  def measures(job, summaries):
    return {'kid': abs(job.needs[0].settings.get('targets.kld', 0.3) - 8), 'summary': summaries[job.workdir]}
  monkeypatch.setattr(study, 'measures', measures)
  run = study.tried(study.Budget(tmp_path))
  assert {(job.settings['seed'], job.settings['measure.part']) for job in run.jobs} == {(0, 'dev')}  # never final
  tried = run.run(lambda jobs: {job.workdir: job.config for job in jobs})
  on_dev = tried['proposed', 'mosaic']
  assert study.chosen(on_dev) == 8 and sorted(on_dev) == [4, 8, 16, 32]
  assert on_dev[4]['summary'] == 'configs/generate.py:mosaic'


def test_what_is_published_is_measured_on_final_with_the_chosen_setting(tmp_path):
  run = study.final({('proposed', 'prior'): 16.0, ('conventional', 'mosaic'): 0.1}, 2, study.Budget(tmp_path, 7))
  assert [(job.needs[0].settings.get('targets.kld'), job.needs[0].settings.get('control.beta'), job.settings['seed'])
          for job in run.jobs] == [(16.0, None, 0), (16.0, None, 1), (None, 0.1, 0), (None, 0.1, 1)]
  assert all(job.settings['measure.part'] == 'final' and job.settings['count'] == 7 for job in run.jobs)
  assert all(job.settings['vae'] == job.needs[0].workdir for job in run.jobs)


def test_both_methods_try_as_many_settings():
  assert len({len(settings) for _, _, settings in study.METHODS.values()}) == 1


def test_the_published_table():
  figures = {'kid': (0.25, 0.125), 'novelty': (0.5, 0.25), 'memorised_fraction': (0., 0.),
             'held_out_mse': (0.005, 0.001)}
  table = study.published({'proposed, mosaic': {'setting': 32.0, 'final': figures}})
  assert table.rows == [['split, mosaic', 'KLD 32', '0.25 ± 0.12', '0.50 ± 0.25', '0.00 ± 0.00', '0.0050 ± 0.0010']]
