"""What thesis_figure3 chooses and computes from the figures of its runs."""

import pytest

from experiments import thesis_figure3


def test_interval_is_students():
  mean, half = thesis_figure3.interval([1., 2., 3.])
  # Standard deviation 1, three values: t(0.975, 2) = 4.3027 by the tables, over the root of 3.
  assert mean == 2 and half == pytest.approx(4.3027 / 3**0.5, rel=1e-4)


def test_the_setting_with_the_lowest_kid_on_dev_is_taken(monkeypatch):
  asked = []

  def cell(method, setting, seed, part, sampler):
    asked.append((method, seed, part, sampler))
    return None, {'kid': abs(setting - 8), 'novelty': 1.0}
  monkeypatch.setattr(thesis_figure3, 'cell', cell)
  setting, tried = thesis_figure3.choose('proposed')
  assert setting == 8 and sorted(tried) == [4, 8, 16, 32]
  assert set(asked) == {('proposed', 0, 'dev', 'prior')}  # never the final part


def test_both_methods_try_as_many_settings():
  assert len({len(settings) for _, _, settings in thesis_figure3._METHODS.values()}) == 1
