"""What thesis_figure3 chooses and computes from the figures of its runs."""

import types

import pytest


@pytest.fixture
def study(experiment):
  return experiment('thesis_figure3')


def test_interval_is_students(study):
  mean, half = study.interval([1., 2., 3.])
  # Standard deviation 1, three values: t(0.975, 2) = 4.3027 by the tables, over the root of 3.
  assert mean == 2 and half == pytest.approx(4.3027 / 3**0.5, rel=1e-4)


def test_the_setting_with_the_lowest_kid_on_dev_is_taken(study, monkeypatch):
  asked = []

  def cell(method, setting, seed, part, sampler):
    asked.append((method, seed, part, sampler))
    return None, {'kid': abs(setting - 8), 'novelty': 1.0}
  monkeypatch.setattr(study, 'cell', cell)
  monkeypatch.setattr(study, 'FLAGS', types.SimpleNamespace(at_once=1))
  setting, tried = study.choose('proposed', 'mosaic')
  assert setting == 8 and sorted(tried) == [4, 8, 16, 32]
  assert set(asked) == {('proposed', 0, 'dev', 'mosaic')}  # never the final part


def test_both_methods_try_as_many_settings(study):
  assert len({len(settings) for _, _, settings in study._METHODS.values()}) == 1
