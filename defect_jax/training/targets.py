"""The targets of a VAE's losses, as a config states them and as the controller takes them."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from absl import logging

from defect_jax.registry import LOSSES


def absolute(stated: Mapping[str, Any], losses: Iterable[str], variance: float, count: int) -> dict[str, float]:
  """Targets of KLD, MSE and those other losses that are no sums; warns of what cannot be reached as stated.

  stated: the config's group `targets`. losses: of the streams. variance: of the `count` photos about their mean.
  """
  mse, share = stated['mse'], stated['mse_of_variance']
  if mse is not None and share is not None:
    logging.warning('targets.mse = %g is used, targets.mse_of_variance = %g is not', mse, share)
  mse = share * variance if mse is None else mse
  if mse >= variance:
    logging.warning('targets: an MSE of %g is no less than the variance about the mean image, %g, which a collapsed '
                    'model reaches; lower it', mse, variance)
  if stated['kld'] < math.log(count):
    logging.warning('targets.kld = %g nats is below log(%d) = %.2f: too low to tell the photos apart, so the MSE may '
                    'not come down', stated['kld'], count, math.log(count))
  others = sorted(name for name in set(losses) - {'kld', 'mse'} if not LOSSES[name].is_sum)
  return {'kld': stated['kld'], 'mse': mse} | {name: stated[name] for name in others}
