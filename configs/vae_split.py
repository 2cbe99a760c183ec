"""VAE on 25 defect photos: the KLD moves the encoder (E1), the MSE moves encoder (E2) and decoder (D).

  python -m defect_jax.main --config=configs/vae_split.py
  python -m defect_jax.main --config=configs/vae_split.py:tiny        seconds: 16 photos of 32 px, 60 steps
  python -m defect_jax.main --config=configs/vae_split.py --config.data.path=PHOTOS

The targets. A set of N photos holds log N nats of information on which photo it is: 3.2 for 25. A KLD below that cannot
tell them apart; what is above it is distance between the aggregated posterior and the prior, so holes from which prior
samples look like nothing. 16 nats are one for each of 16 dimensions. The MSE target is a share of the photos' variance
about their mean image, since the same absolute error is strict for one set and loose for another. At 12 % every crack
of the solar cells is smoothed away; 2 % still lost too much of one draw of ten (detail_kept 0.81).

Expect on 2 CPU cores: both losses at their targets after 320 to 660 steps, the whole job in about 50 seconds.
"""

from ml_collections import ConfigDict

from defect_jax.config import parse_arg
from defect_jax.schema import defaults
from defect_jax.tasks.keys import vae


def get_config(arg: str | None = None) -> ConfigDict:
  """`tiny`: everything small, to see in seconds whether a machine and a set of photos work."""
  options = parse_arg(arg, tiny=False)
  config = defaults(vae.table())
  # The decoder follows a code that changes under it, so it must be the faster: at the encoder's rate the MSE was not
  # back within 400 steps of a lower KLD target.
  config.streams = ConfigDict({
      'E1': {'loss': 'kld', 'params': 'encoder/.*', 'optimizer': 'adam_shared', 'lr': 0.002},
      'E2': {'loss': 'mse', 'params': 'encoder/.*', 'optimizer': 'adam_shared', 'lr': 0.002},
      'D': {'loss': 'mse', 'params': 'decoder/.*', 'optimizer': 'adam_shared', 'lr': 0.006}})
  if options.tiny:
    config.batch = config.data.few_shot = 16
    config.data.size = 32
    config.model.widths = (8, 16, 32)
    config.steps.update(total=60, log=10, eval=30, checkpoint=30)
  return config
