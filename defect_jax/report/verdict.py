"""What the figures of a run mean, in plain sentences."""

import collections
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from defect_jax.evaluation.latent import BAND, WINDOW

RIPPLE = {'kld': 0.05, 'mse': 0.1}  # std / target up to which a loss counts as steady
DETAIL, BLURRED = 0.85, 0.6  # detail_kept at which thin cracks are still there, and below which dark areas are lost too
APART, HEART = 2.0, 5.0  # held-out over training error: up to which photos carry over, above which are known by heart
_NAMES = {'kld': 'KLD', 'mse': 'MSE'}
# Why novelty speaks for nothing, by a summary's reasons.
_OFF = {'off_the_part': 'defects lie beside the part', 'not_visible': 'images show no defect',
        'kind_unknown_to_weights': 'the weights do not know the kind',
        'samples_far_from_photos': 'the images are not like the photos'}
_UNITS = {'kld': ' nats', 'mse': ''}


def number(value: Any) -> str:
  """A figure for people: three digits, a dash for None and nan."""
  if value is None or (isinstance(value, float) and not math.isfinite(value)):
    return '–'
  if isinstance(value, bool):
    return 'yes' if value else 'no'
  if isinstance(value, float) and abs(value) < 1000:
    return f'{value:.3g}'
  return f'{value:.0f}' if isinstance(value, int | float) else str(value)


def percent(share: float) -> str:
  """Such as '1.2 %' and '91 %'."""
  return f'{100 * share:.2g} %' if abs(share) < 0.1 else f'{100 * share:.0f} %'


def copies(summary: Mapping[str, Any], source: str, kind: str) -> Iterator[str]:
  """A sentence on copies of a `source` among made images and on novelty beside real ones of a `kind` (in the plural),
  none where they were not measured (generation.measure)."""
  if summary['memorised_fraction'] is None:
    return
  novelty = summary['novelty']
  words = (f'novelty {novelty:.2f}, where 1 is as new as new real {kind} are' if novelty is not None else
           f'novelty cannot be measured, since half of the held-out {kind} or more are copies too')
  if off := [_OFF[reason] for reason in summary.get('reasons', ()) if reason in _OFF]:
    words += f', which is no praise here, since {" and ".join(off)}'
  yield f'{percent(summary["memorised_fraction"])} of the images are copies of a {source} by LPIPS; {words}.'


def verdict(summary: Mapping[str, Any], history: Mapping[str, Float[np.ndarray, 'steps']]) -> list[str]:
  """Judges a VAE run in sentences: targets, ripple, collapse, detail, dev photos, log N.

  Figures of the summary may be None. history: 'train/<loss>' of every step, and 'target/<loss>' where it changed.
  """
  summary = collections.defaultdict(lambda: None, summary)
  return [*filter(None, (_targets(summary, history), _ripple(summary), _collapse(summary), _detail(summary),
                         _dev(summary), _log_n(summary)))]


def running_mean(values: Float[np.ndarray, 'steps'], window: int = WINDOW) -> Float[np.ndarray, 'steps']:
  """Mean of each step and those before it, up to `window` of them, in float64."""
  total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
  last = np.arange(1, len(total))
  first = np.maximum(last - window, 0)
  return (total[last] - total[first]) / (last - first)


def within(name: str, value: Float[np.ndarray, '*n'], target: Float[np.ndarray, '*n']) -> Bool[np.ndarray, '*n']:
  """Whether a loss counts as at its target: KLD on both sides, MSE also where it is below."""
  ratio = np.asarray(value) / target
  return ratio <= 1 + BAND if name == 'mse' else np.abs(ratio - 1) <= BAND


def missed(summary: Mapping[str, Any]) -> list[str]:
  """Names of the losses whose final mean is not at its target."""
  pairs = [(name, summary.get(name), summary.get(f'{name}_target')) for name in _NAMES]
  return [name for name, value, target in pairs if None not in (value, target) and not within(name, value, target)]


def _targets(summary, history):
  if summary['kld_target'] is summary['mse_target'] is None:
    return 'No targets were set.'
  ends = ', '.join(_end(summary, name) for name in _NAMES)
  steps = len(history['train/kld'])
  if (since := summary['steps_to_targets']) is not None:
    return f'Both losses are at their targets from step {since} to the end, step {steps}: {ends}.'
  if off := missed(summary):
    names = ' and '.join(_NAMES[name] for name in off)
    return f'{names} {"are" if len(off) > 1 else "is"} not at target after {steps} steps: {ends}.'
  if steps < WINDOW:
    return f'Too short to judge, since targets count by means of {WINDOW} steps and there are {steps}: {ends}.'
  last, name = max((_last_outside(history, summary, name), name) for name in _NAMES)
  return (f'The targets are reached but not held: the mean {WINDOW}-step {_NAMES[name]} was off target as late as '
          f'step {last} of {steps}. On average {ends}.')


def _end(summary, name):
  """Such as 'KLD 33.2 nats (11 % above its target of 30)'."""
  value, target = summary[name], summary[f'{name}_target']
  figure = f'{_NAMES[name]} {number(value)}{_UNITS[name]}'
  if value is None or target is None:
    return f'{figure} (no target)'
  ratio = value / target
  if abs(ratio - 1) < 0.01:
    return f'{figure} (target {number(target)})'
  distance = times(ratio) if ratio >= 2 else f'{percent(abs(ratio - 1))} {"above" if ratio > 1 else "below"}'
  return f'{figure} ({distance} its target of {number(target)})'


def _last_outside(history, summary, name):
  """The last step whose mean of the steps before it is off target; 0 if none is."""
  target = history.get(f'target/{name}', summary[f'{name}_target'])
  if target is None:
    return 0
  steps = np.flatnonzero(~within(name, running_mean(history[f'train/{name}']), target))
  return int(steps[-1]) + 1 if len(steps) else 0


def _ripple(summary):
  figures = ' and '.join(f'{words} varies by {percent(summary[f"{name}_ripple"])}' for name, words in _NAMES.items()
                         if summary[f'{name}_ripple'] is not None)
  if not figures:
    return None
  beyond = ' and '.join(f'{_NAMES[name]} beyond the {percent(RIPPLE[name])}' for name in swings(summary))
  judged = f'{beyond} that count as steady' if beyond else 'steady'
  return f'Over the last tenth of the steps {figures} of the target: {judged}.'


def swings(summary: Mapping[str, Any]) -> list[str]:
  """Names of the losses whose ripple is more than counts as steady."""
  return [name for name in _NAMES if (summary.get(f'{name}_ripple') or 0) > RIPPLE[name]]


def _collapse(summary):
  active, latent = summary['active_units'], summary['latent_dim']
  units = f'{number(active)} of {number(latent)} latent dimensions'
  if not summary['collapsed']:
    return f'Not collapsed: {units} tell photos apart.'
  if active is not None and latent and active >= latent / 10:
    return (f'Collapsed: {units} tell photos apart, but the reconstructions are no closer to the photos than their '
            f'mean image is: MSE {number(summary["mse"])} of a variance of {number(summary["variance"])}.')
  return f'Collapsed: only {units} tell photos apart, so every reconstruction looks much the same.'


def _detail(summary):
  if (kept := summary['detail_kept']) is None:
    return None
  return f'Of the fine detail {percent(kept)} is kept: {detail_words(kept)}.'


def detail_words(kept: float) -> str:
  """What is left at that share of the fine detail, see latent.detail_kept."""
  return ('thin lines such as cracks survive in the reconstructions' if kept >= DETAIL else
          'dark areas survive, thin lines such as cracks hardly' if kept >= BLURRED else
          'thin lines such as cracks are smoothed away, and the defects with them')


def _dev(summary):
  mse, dev = summary['mse'], summary['dev_mse']
  if not mse or dev is None or summary['collapsed']:
    return None
  ratio = dev / mse
  words = ('the reconstructions carry over to photos that were not trained on' if ratio <= APART else
           'photos that were not trained on are clearly less well reconstructed' if ratio <= HEART else
           'the training photos are known by heart, and photos that were not trained on are not')
  return f'On dev photos the MSE is {number(dev)}, {times(ratio)} that of training: {words}.'


def _log_n(summary):
  kld, log_n = summary['kld'], summary['log_n']
  if None in (kld, log_n):
    return None
  if kld < log_n:
    return f'KLD is below log N = {number(log_n)} nats, too little to tell all training photos apart.'
  if kld > 2 * log_n:
    return (f'KLD is {times(kld / log_n)} log N = {number(log_n)} nats, which would do to tell the photos apart: they '
            'fill little of the prior, so its samples look worse than the reconstructions.')
  return f'KLD is not far above log N = {number(log_n)} nats, which tells the training photos apart.'


def times(ratio: float) -> str:
  """Such as '3.4 times'."""
  return f'{ratio:.2g} times' if ratio < 100 else f'{ratio:.0f} times'
