"""What a pair of targets asks for, by the photos alone, before anything is trained.

A linear VAE whose decoder has variance s^2 keeps just the principal components of the data whose eigenvalue is above
s^2; all others collapse to the prior (Lucas, Tucker, Grosse and Norouzi 2019, Don't Blame the ELBO!, section 4). The
s^2 of an MSE target follows from reverse water-filling of a Gaussian source (Cover and Thomas, theorem 10.3.3), and so
does the least KLD that such data need for it. Photos are not Gaussian and networks not linear: N photos never need more
than log N nats to be told apart, so the forecast takes the lower of the two.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True)
class Forecast:
  """What photos ask for."""
  variance: float  # about their mean image, per pixel
  eigenvalues: Float[np.ndarray, 'k']  # of the covariance of whole images, largest first; sum: variance * pixels
  level: float  # s^2, the decoder's variance that gives the MSE target; 0 for a target that keeps everything
  dimensions: int  # how many eigenvalues lie above it
  rate: float  # least KLD of a Gaussian source at that MSE, nats
  log_n: float  # log of the number of photos, nats

  @property
  def least_kld(self) -> float:
    """Nats below which the MSE target is not plausible."""
    return min(self.rate, self.log_n)

  def kept_by_joint(self, beta: float) -> int:
    """How many dimensions a linear VAE trained on `losses.elbo` keeps: there the decoder's variance is beta."""
    return int(np.sum(self.eigenvalues > beta))


def forecast(images: Float[np.ndarray, 'n h w c'], mse_target: float, count: int | None = None) -> Forecast:
  """Forecast for photos in [0, 1] and an absolute MSE target; `count`: of how many photos these are a sample, None if
  these are all."""
  flat = np.float64(images).reshape(len(images), -1)
  flat = flat - flat.mean(0)
  # The Gram matrix of N photos has the nonzero eigenvalues of the covariance of its many pixels.
  eigenvalues = np.maximum(np.linalg.eigvalsh(flat @ flat.T / len(flat))[::-1], 0)[:max(1, len(flat) - 1)]
  pixels = flat.shape[1]
  level = _water_level(eigenvalues, mse_target * pixels)
  kept = eigenvalues[eigenvalues > level] if level else eigenvalues[eigenvalues > 0]
  rate = 0.5 * float(np.sum(np.log(kept / level))) if level else math.inf
  return Forecast(float(eigenvalues.sum() / pixels), eigenvalues, level, len(kept), rate, math.log(count or len(flat)))


def _water_level(eigenvalues, distortion):
  """The level s^2 with sum of min(eigenvalue, s^2) = distortion; the largest eigenvalue if no level reaches it."""
  if distortion >= eigenvalues.sum():
    return float(eigenvalues[0])
  # With the k largest above the level: level = (distortion - sum of the others) / k, valid if it separates them.
  for kept in range(len(eigenvalues), 0, -1):
    level = (distortion - eigenvalues[kept:].sum()) / kept
    if level <= eigenvalues[kept - 1]:
      return float(level)
  return float(eigenvalues[0])


def sentences(outlook: Forecast, targets: Mapping[str, float], latent: int, beta: float) -> Iterator[str]:
  """The Forecast in words, for targets {'kld', 'mse'}, a latent size and the weight of the KLD in joint training."""
  yield (f"a Gaussian linear model would need {outlook.dimensions} of the photos' {len(outlook.eigenvalues)} principal "
         f'components and {outlook.rate:.3g} nats for this MSE; {math.exp(outlook.log_n):.0f} photos never need more '
         f'than log N = {outlook.log_n:.2f} nats')
  if targets['kld'] < outlook.least_kld:
    yield (f'so a KLD of {targets["kld"]:.4g} nats is too low for this MSE, which may not come down: raise targets.kld '
           f'to {outlook.least_kld:.2f} or more, or raise the MSE target')
  else:
    yield f'so a KLD of {targets["kld"]:.4g} nats can carry this MSE'
  if latent < min(outlook.dimensions, 8):
    yield f'model.latent = {latent} is few for that many components'
  yield (f'joint training with beta {beta:g} would keep {outlook.kept_by_joint(beta)} components and let the others '
         'collapse')
