"""What a VAE's latent space and reconstructions hold, by the definitions of the project's contract."""

import itertools
from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

ACTIVE_VARIANCE = 0.01  # Burda et al. 2016
BLUR = 2.0  # px
_DETAIL_SHARE = 0.02
Steps = Float[np.ndarray, 'steps']
Image = Float[np.ndarray, 'h w c']
WINDOW = 50  # steps
BAND = 0.05
_LEAST_INFORMATION = 0.05  # of log N


def active_units(means: Float[np.ndarray, 'n z']) -> int:
  """How many latent dimensions have a variance of the posterior mean of at least 0.01 over the photos."""
  return int(np.sum(np.var(means, axis=0) >= ACTIVE_VARIANCE))


def collapsed(active: int, latent: int, mse: float, variance: float) -> bool:
  """Whether fewer than 10 % of the units are active, or the MSE is above 0.95 of the variance about the mean image."""
  return bool(collapse_signs(active, latent, mse, variance, np.inf, 0.))


def collapse_signs(active: int, latent: int, mse: float, variance: float, information: float,
                   log_n: float) -> list[str]:
  """Signs of posterior collapse in words, none if all is well; information: mutual information of photo and z (nats),
  log_n: its maximum."""
  signs = [
    (active < 0.1 * latent, f'only {active} of {latent} latent dimensions are active'),
    (mse > 0.95 * variance,
     f'the MSE {mse:.3g} is that of the mean image (variance {variance:.3g}), so z tells the decoder nothing'),
    (information < _LEAST_INFORMATION * log_n,
     f'z holds {max(information, 0):.2g} nats on which photo it is, of log N = {log_n:.3g}'),
  ]
  return [words for present, words in signs if present]


def detail_kept(photos: Iterable[Image], recon: Iterable[Image], center: Image, blur: float = BLUR,
                masks: Iterable[Bool[np.ndarray, 'h w']] | None = None) -> float:
  """Share of the photos' fine detail that their reconstructions from the posterior means keep: 1 all, 0 none; median
  over photos. center: the mean training photo. blur: px, the sigma of what counts as coarse. masks: of each photo where
  its detail is looked at, None: where it is strongest."""
  masks = itertools.repeat(None) if masks is None else masks
  return float(np.median([_kept(_detail(photo - center, blur), _detail(image - center, blur), mask)
                          for (photo, image), mask in zip(zip(photos, recon, strict=True), masks, strict=False)]))


def _detail(image, blur):
  return image - ndimage.gaussian_filter(image, (blur, blur, 0))


def _kept(photo, image, mask):
  strong = np.abs(photo) >= np.quantile(np.abs(photo), 1 - _DETAIL_SHARE) if mask is None else mask
  return np.sum(photo[strong] * image[strong]) / np.sum(np.square(photo[strong]))


def steps_to_targets(kld: Steps, mse: Steps, kld_target: Steps | float, mse_target: Steps | float) -> int | None:
  """First step from which the mean of 50 steps stays at both targets to the end, or None."""
  if len(kld) < WINDOW:
    return None
  kernel = np.ones(WINDOW) / WINDOW
  windows = [np.convolve(values, kernel, 'valid') for values in (np.float64(kld), np.float64(mse))]
  kld_target, mse_target = (np.broadcast_to(target, len(kld))[WINDOW - 1:] for target in (kld_target, mse_target))
  at_targets = (np.abs(windows[0] / kld_target - 1) <= BAND) & (windows[1] <= (1 + BAND) * mse_target)
  if not at_targets[-1]:
    return None
  off = np.flatnonzero(~at_targets)
  return WINDOW + (int(off[-1]) + 1 if len(off) else 0)
