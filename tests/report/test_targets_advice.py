"""What to change so that a VAE meets its targets: row by row."""

import pytest

from defect_jax.report import targets
from defect_jax.report.answers import Facts

SUMMARY = {'kld': 16.0, 'mse': 0.0004, 'kld_target': 16.0, 'mse_target': 0.0004, 'kld_ripple': 0.01, 'mse_ripple': 0.03,
           'steps_to_targets': 300, 'collapsed': False, 'detail_kept': 0.9, 'usable': True,
           'forecast': {'least_kld': 3.2, 'of_half': 3.2}}
CONFIG = {'control.policy': 'pi', 'steps.total': 1000, 'streams.E1.lr': 0.002, 'streams.D.lr': 0.006,
          'targets.mse': None, 'targets.mse_of_variance': 0.02, 'targets.kld': 16.0}


def _next(changes=(), config=()):
  facts = Facts(SUMMARY | dict(changes), CONFIG | dict(config),
                lambda changed: ' '.join(f'{key}={value:g}' if key != 'control.policy' else f'{key}={value}'
                                         for key, value in changed.items()))
  return targets.next_step(facts)


@pytest.mark.parametrize(('changes', 'policy', 'words', 'command'), [
  ({'steps_to_targets': None, 'kld': 20.0}, 'threshold', 'set control.policy to pi', 'control.policy=pi'),
  ({'collapsed': True}, 'constant', 'set control.policy to pi', 'control.policy=pi'),
  ({'kld_ripple': 0.3}, 'proportional', 'set control.policy to pi', 'control.policy=pi'),
  # The forecast's least KLD of 3.2 nats, with a tenth to spare.
  ({'kld_target': 0.01, 'kld': 0.02, 'mse': 0.01, 'steps_to_targets': None}, 'pi', 'raise targets.kld: for an MSE this '
   'low these photos need a KLD of 3.20 nats or more, and the target is 0.01.', 'targets.kld=3.3'),
  ({'collapsed': True}, 'pi', 'raise targets.kld and lower', 'targets.kld=32 targets.mse_of_variance=0.01'),
  ({'steps_to_targets': None, 'mse': 0.001}, 'pi', 'train longer (steps.total); if MSE has levelled off',
   'steps.total=2000'),
  ({'steps_to_targets': None, 'kld': 20.0}, 'pi', 'train longer (steps.total); if KLD has levelled off, move '
                                                  'targets.kld towards 20', 'steps.total=2000'),
  ({'kld_ripple': 0.3}, 'pi', 'lower the lr', 'streams.E1.lr=0.001 streams.D.lr=0.003'),
  ({'steps_to_targets': None}, 'pi', 'train longer (steps.total), so that the targets hold', 'steps.total=2000'),
  ({'detail_kept': 0.3}, 'pi', 'lower the MSE target, say to 0.0002', 'targets.mse_of_variance=0.01'),
  ({'usable': False}, 'pi', 'the targets need no change; what speaks against using it', ''),
  ({}, 'threshold', 'nothing needs to change', '')])
def test_the_first_row_that_applies(changes, policy, words, command):
  found = _next(changes, {'control.policy': policy})
  assert found.sentence.startswith(words) and found.command == command


def test_a_lower_mse_target_is_not_against_the_forecast():
  """Where half the MSE needs more nats than the KLD target has, that is raised too."""
  found = _next({'detail_kept': 0.3, 'forecast': {'least_kld': 15.0, 'of_half': 20.05}}, {'targets.mse': 0.0004})
  assert found.command == 'targets.mse=0.0002 targets.kld=20.2'


def test_an_mse_that_is_met_needs_no_more_nats_whatever_the_forecast_says():
  assert _next({'kld_target': 2.0, 'kld': 2.0}).sentence.startswith('nothing needs to change')


def test_unknown_figures():
  facts = Facts({}, {}, lambda changes: 'command')
  assert targets.next_step(facts).state is True
