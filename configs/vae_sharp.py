"""For making images: vae_split.py with an MSE target that leaves no visible noise in what the decoder makes.

  python -m defect_jax.main --config=configs/vae_sharp.py
  python -m defect_jax.main --config=configs/generate.py:mosaic --config.vae=runs/vae_sharp

What is wrong with an image of a VAE of 1.5 % of the variance is less its blur than its noise. KID sees that: 0.13 for
the training photos, 0.46 for their reconstructions; the photos with white noise of 1 % get 0.65, blurred by 0.3 px they
stay at 0.13 (python -m experiments.kid_sensitivity --vae=runs/vae_sharp). At 0.2 % the reconstructions come to 0.16.
Expect 3,000 steps, in 70 seconds on 2 CPU cores, both losses at their targets.
"""

from ml_collections import ConfigDict

from configs import vae_split


def get_config(arg: str | None = None) -> ConfigDict:
  """`tiny` as in vae_split.py."""
  config = vae_split.get_config(arg)
  config.targets.mse_of_variance = 0.002
  config.steps.total = 3 * config.steps.total // 2
  return config
