"""How long the whole job takes: said once the first part has a rate, and again only if that was wrong."""

import pytest
from ml_collections import ConfigDict

from defect_jax.runs import forecast
from defect_jax.runs.folder import Workdir
from defect_jax.runs.progress import ProgressBar


@pytest.mark.parametrize(('seconds', 'words'), [
    (0.2, '1 s'), (89., '89 s'), (90., '2 min'), (372., '6 min'), (5400., '1.5 h'), (36000., '10.0 h')])
def test_durations(seconds, words):
  assert forecast.duration(seconds) == words


def test_it_is_said_by_the_first_rate_of_a_training_and_mended_by_a_whole_part(tmp_path, capsys):
  whole = forecast.Forecast(6, '5 folds and the detector that stays')
  inner = Workdir(tmp_path / 'vae', forecast=whole)
  inner.check(ConfigDict({'seed': 0}))
  inner.open()
  bar = ProgressBar(inner, 'step')
  bar.show(10, 300, rate=float('nan'))
  assert 'forecast' not in capsys.readouterr().out
  bar.show(20, 300, rate=90.)  # of a fifth of a second: too short to say anything
  bar.show(20, 300, rate=5.)  # 300 steps take a minute, six such trainings 6
  bar.show(30, 300, rate=15.)
  inner.close('finished')
  assert [line for line in capsys.readouterr().out.splitlines() if line.startswith('forecast')] == [
      'forecast: about 6 min in all: 5 folds and the detector that stays']
  whole.of_part(120.)  # twice as long as was said
  whole.of_part(60.)  # without what is compiled once: 2 minutes and 5 of one
  whole.of_part(900.)  # two parts have told
  assert capsys.readouterr().out.splitlines() == [
      'forecast: about 12 min in all: 5 folds and the detector that stays',
      'forecast: about 7 min in all: 5 folds and the detector that stays']


def test_a_part_that_took_as_long_as_was_said_is_not_told_of(capsys):
  whole = forecast.Forecast(3, 'all')
  whole.of_training(60.)
  whole.of_part(74.)  # less than a quarter more
  whole.of_part(74.)
  assert capsys.readouterr().out == 'forecast: about 3 min in all: all\n'
