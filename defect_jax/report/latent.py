"""Figures of a run's latent space."""

import dataclasses

import numpy as np

from defect_jax.report import plots


@dataclasses.dataclass(frozen=True)
class Latent:
  """Attributes:
    means, dev_means: `[N, Z]`, posterior means of training and held-out photos; the latter may be None.
    kld: `[Z]`, mean KLD of each dimension at the end, nats.
    traversals: `[K, O, S, S, C]`, images along dimensions `[K]`, set to offsets `[O]`.
  """
  means: np.ndarray
  dev_means: np.ndarray | None
  kld: np.ndarray
  dimensions: np.ndarray
  offsets: np.ndarray
  traversals: np.ndarray


def figures(latent, rows, history, log_n):
  """(title, Figure, caption) of each figure."""
  measured = [row for row in rows if 'latent/active_units' in row]
  steps, total = np.array([row['step'] for row in measured]), len(history['train/kld'])
  yield 'KLD of each dimension', plots.bars(latent.kld, label='KLD, nats', across='latent dimension'), (
      'At the end. A dimension near 0 is unused; a few tall ones among many unused mean a code of few features.')
  if not measured:
    return
  parts = {'mutual information': 'latent/mutual_information', 'KL(q(z) || p(z))': 'latent/marginal_kl'}
  series = {name: (steps, np.array([row[key] for row in measured])) for name, key in parts.items()}
  yield 'What the KLD is made of', plots.lines(series, label='nats', steps_total=total, level=(log_n, 'log N')), (
      'Their sum is the KLD. Mutual information tells photos apart and can reach log N; the rest is the distance of '
      'all photos’ latents from the prior, so the holes that prior samples fall into.')
  names = sorted((key for key in measured[0] if key.startswith('latent_kld/')), key=lambda key: int(key[11:]))
  over_time = np.array([[row[name] for name in names] for row in measured])
  yield 'KLD of each dimension over time', plots.heat(steps, over_time.T, label='latent dimension', unit='nats'), (
      'Dark rows are unused. A row that goes dark has collapsed.')
  active = {'active units': (steps, np.array([row['latent/active_units'] for row in measured], float))}
  yield 'Active units', plots.lines(active, label='dimensions', steps_total=total,
                                    bounds=(-0.3, 1.05 * len(names))), (
      f'Dimensions whose posterior mean differs from photo to photo, of {len(names)}. Should stay up.')
  yield 'Where the photos lie', plots.scatter(_principal(latent), label='second principal component'), (
      'Posterior means on the two principal components of the training photos. Held-out photos should fall among '
      'them; one heap with the training photos far outside it has learnt them by heart.')


def _principal(latent):
  """{'training photos', 'dev photos'}: points `[n, 2]`."""
  center = latent.means.mean(0)
  _, _, axes = np.linalg.svd(latent.means - center, full_matrices=False)
  axes = axes[:2] if len(axes) > 1 else np.concatenate([axes, np.zeros_like(axes)])
  points = {'training photos': (latent.means - center) @ axes.T}
  if latent.dev_means is not None:
    points['dev photos'] = (latent.dev_means - center) @ axes.T
  return points
