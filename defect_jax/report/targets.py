"""What to change so that a VAE meets its targets and keeps what is to be seen: a table whose first row that applies
says it. None of the rows is against the forecast."""

import math
import re
from collections.abc import Callable
from typing import Any

from defect_jax.report import verdict
from defect_jax.report.answers import SKIP, Answer, Facts, Rule, answers
from defect_jax.report.verdict import number, percent

STEADY = 'pi'  # the policy that holds both targets without tuning


def next_step(facts: Facts) -> Answer:
  """The first row that applies to a run of a VAE."""
  return answers('vae', facts, [next(row for row in ROWS if row.state(facts) != SKIP)])[0]


def _held(facts: Facts) -> bool:
  return facts['steps_to_targets'] is not None


def _has_targets(facts: Facts) -> bool:
  return None not in (facts['kld_target'], facts['mse_target'])


def least_kld(facts: Facts, key: str = 'least_kld') -> float:
  """By the forecast: nats below which the MSE target, or half of it, is not plausible; 0 where it is not known."""
  return (facts['forecast'] or {}).get(key) or 0.


def too_low(facts: Facts) -> bool:
  """Whether the KLD target does not allow for the MSE target, and the run shows it."""
  return _has_targets(facts) and facts['kld_target'] < least_kld(facts) and (
      facts['collapsed'] or 'mse' in verdict.missed(facts.summary))


def needed(facts: Facts, key: str = 'least_kld') -> dict[str, Any]:
  """The setting of the KLD target that does."""
  return {'targets.kld': math.ceil(10 * least_kld(facts, key) + 1) / 10}


def stricter(facts: Facts) -> dict[str, Any]:
  """Settings: half the MSE target, and the KLD that the forecast asks for at it."""
  key = 'targets.mse' if facts.config.get('targets.mse') is not None else 'targets.mse_of_variance'
  if facts.config.get(key) is None:
    return {}
  more = {} if (facts['kld_target'] or 0) >= least_kld(facts, 'of_half') else needed(facts, 'of_half')
  return {key: facts.config[key] / 2} | more


def _slower(facts: Facts) -> dict[str, Any]:
  return {name: value / 2 for name, value in facts.config.items() if re.fullmatch(r'streams\.\w+\.lr', name)}


def _longer(facts: Facts) -> dict[str, Any]:
  return {'steps.total': 2 * facts.config['steps.total']} if 'steps.total' in facts.config else {}


def _target(applies: Callable[[Facts], Any], sentence: str | Callable[[Facts], str], changes: Any = lambda facts: {},
            state: bool = False) -> Rule:
  return Rule('targets', ('vae',), lambda facts: state if applies(facts) else SKIP,
              lambda facts, _: sentence if isinstance(sentence, str) else sentence(facts), changes)


ROWS = (
    _target(lambda facts: facts.config.get('control.policy') != STEADY and _has_targets(facts) and (
        facts['collapsed'] or not _held(facts) or verdict.swings(facts.summary)),
            lambda facts: f'set control.policy to {STEADY}, which holds both targets; '
            f'{facts.config.get("control.policy")} does not promise it.', lambda _: {'control.policy': STEADY}),
    _target(too_low, lambda facts: f'raise targets.kld: for an MSE this low these photos need a KLD of '
            f'{least_kld(facts):.2f} nats or more, and the target is {number(facts["kld_target"])}.', needed),
    _target(lambda facts: facts['collapsed'], 'raise targets.kld and lower targets.mse: the targets leave the latents '
            'nothing to say.', lambda facts: {'targets.kld': 2 * (facts['kld_target'] or 8.)} | stricter(facts)),
    _target(lambda facts: 'mse' in verdict.missed(facts.summary), 'train longer (steps.total); if MSE has levelled '
            'off, raise targets.kld or give the model more width.', _longer),
    _target(lambda facts: 'kld' in verdict.missed(facts.summary), lambda facts: 'train longer (steps.total); if KLD '
            f'has levelled off, move targets.kld towards {number(facts["kld"])}, where this MSE puts it.', _longer),
    _target(lambda facts: verdict.swings(facts.summary), 'lower the lr of the streams, or ask for less: a higher '
            'targets.mse.', _slower),
    _target(lambda facts: _has_targets(facts) and not _held(facts), 'train longer (steps.total), so that the targets '
            'hold for some time.', _longer),
    _target(lambda facts: facts['detail_kept'] is not None and facts['detail_kept'] < verdict.DETAIL,
            lambda facts: f'lower the MSE target, say to {number(facts["mse"] / 2)}, until at least '
            f'{percent(verdict.DETAIL)} of the fine detail is kept.', stricter),
    _target(lambda facts: facts['usable'] is False, 'the targets need no change; what speaks against using it, and '
            'what to do about that, stands above.', state=True),
    _target(lambda _: True, 'nothing needs to change; look at the residuals below for a defect that is missing all '
            'the same.', state=True),
)
