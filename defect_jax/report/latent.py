"""Figures of a run's latent space."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from defect_jax.report import page, plots


@dataclasses.dataclass(frozen=True)
class Latent:
  """Posterior means of training and held-out photos, the mean KLD of each dimension at the end (nats), and images along
  some dimensions, set to some offsets."""
  means: Float[np.ndarray, 'n z']
  dev_means: Float[np.ndarray, 'm z'] | None
  kld: Float[np.ndarray, 'z']
  dimensions: Int[np.ndarray, 'k']
  offsets: Float[np.ndarray, 'o']
  traversals: Float[np.ndarray, 'k o s s c']


def figures(latent: Latent, metrics: page.Metrics, history: Mapping[str, Float[np.ndarray, 'steps']], log_n: float
            ) -> Iterator[tuple[str, Figure, str]]:
  """(title, figure, caption) each; for the arguments see report.vae.write."""
  measured, total = [row for row in metrics if 'latent/active_units' in row], len(history['train/kld'])
  yield 'KLD of each dimension', plots.bars(latent.kld, label='KLD, nats', across='latent dimension'), (
      'At the end. A dimension near 0 is unused; a few tall ones among many unused mean a code of few features.')
  if not measured:
    return
  series = page.columns(measured, {'mutual information': 'latent/mutual_information',
                                   'KL(q(z) || p(z))': 'latent/marginal_kl'})
  yield 'What the KLD is made of', plots.lines(series, label='nats', steps_total=total, level=(log_n, 'log N')), (
      'Their sum is the KLD. Mutual information tells photos apart and can reach log N; the rest is the distance of '
      'all photos’ latents from the prior, so the holes that prior samples fall into.')
  names = sorted((key for key in measured[0] if key.startswith('latent_kld/')), key=lambda key: int(key[11:]))
  steps, active = page.column(measured, 'latent/active_units')
  over_time = np.array([[row[name] for row in measured] for name in names])
  yield 'KLD of each dimension over time', plots.heat(steps, over_time, label='latent dimension', unit='nats'), (
      'Dark rows are unused. A row that goes dark has collapsed.')
  yield 'Active units', plots.lines({'active units': (steps, active)}, label='dimensions', steps_total=total,
                                    bounds=(-0.3, 1.05 * len(names))), (
      f'Dimensions whose posterior mean differs from photo to photo, of {len(names)}. Should stay up.')
  yield 'Where the photos lie', plots.scatter(_principal(latent), label='second principal component'), (
      'Posterior means on the two principal components of the training photos. Held-out photos should fall among '
      'them; one heap with the training photos far outside it has learnt them by heart.')


def _principal(latent):
  """{'training photos', 'dev photos'}: points `[n, 2]`."""
  center = latent.means.mean(0)
  axes = np.linalg.svd(latent.means - center, full_matrices=False)[2]
  axes = np.concatenate([axes, np.zeros_like(axes)])[:2]  # of a single dimension the second is none
  points = {'training photos': (latent.means - center) @ axes.T}
  if latent.dev_means is not None:
    points['dev photos'] = (latent.dev_means - center) @ axes.T
  return points
