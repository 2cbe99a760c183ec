"""Targets as a config states them; those that cannot be reached are warned of."""

import pytest

from defect_jax.training.targets import absolute


def targets(caplog, variance=0.01, count=25, losses=('kld', 'mse'), **stated):
  with caplog.at_level('WARNING'):
    found = absolute(stated, losses, variance, count)
  return found, [record.getMessage() for record in caplog.records]


def test_targets_are_absolute_or_a_share_of_the_variance(caplog):
  assert targets(caplog, kld=16., mse=None, mse_of_variance=0.02) == ({'kld': 16., 'mse': pytest.approx(2e-4)}, [])
  assert targets(caplog, kld=16., mse=3e-4, mse_of_variance=None) == ({'kld': 16., 'mse': 3e-4}, [])


def test_both_mse_targets(caplog):
  found, (warning,) = targets(caplog, kld=16., mse=3e-4, mse_of_variance=0.02)
  assert found['mse'] == 3e-4 and 'targets.mse = 0.0003 is used, targets.mse_of_variance = 0.02 is not' in warning


@pytest.mark.parametrize(('chosen', 'figures'), [
  ({'mse': 0.02, 'mse_of_variance': None}, ['0.02', '0.01']), ({'mse': None, 'mse_of_variance': 1.}, ['0.01'])])
def test_an_mse_no_less_than_the_variance(caplog, chosen, figures):
  _, (warning,) = targets(caplog, kld=16., **chosen)
  assert 'variance about the mean image' in warning and all(figure in warning for figure in figures)


def test_a_kld_too_low_to_tell_the_photos_apart(caplog):
  _, (warning,) = targets(caplog, kld=3.2, mse=None, mse_of_variance=0.02)
  assert 'targets.kld = 3.2' in warning and 'log(25) = 3.22' in warning
  assert targets(caplog, count=24, kld=3.2, mse=None, mse_of_variance=0.02)[1] == [warning]  # no second one


def test_other_losses_of_streams_have_targets_but_sums_have_none(caplog):
  found, _ = targets(caplog, losses=('elbo', 'lpips', 'mse'), kld=16., mse=3e-4, mse_of_variance=None, lpips=0.02)
  assert found == {'kld': 16., 'mse': 3e-4, 'lpips': 0.02}
