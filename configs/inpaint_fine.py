"""configs/inpaint_train.py for defects that are thin or faint: an autoencoder that halves the side once, not twice.

  python -m defect_jax.main --config=configs/inpaint_fine.py --workdir=runs/fine --config.data.source=folder \
      --config.data.path=PHOTOS --config.data.classes=crack,good

What an autoencoder loses, no latent diffusion can make: `experiments.inpaint_classes` tells which classes are still
recognised in its reconstructions. The UNet has a level more for the larger latents, and its step takes 1.4 times as
long.
"""

from configs import inpaint_train
from defect_jax.config import parse_arg


def get_config(arg=None):
  """`tiny`: as of configs/inpaint_train.py."""
  config = inpaint_train.get_config(arg)
  config.model.autoencoder.latent = 4
  config.autoencoder.kld = 1e-8
  if not parse_arg(arg, tiny=False).tiny:
    config.model.autoencoder.widths = (16, 32)
    config.model.unet.widths = (32, 64, 128, 128)
    config.model.unet.attention = (False, False, True, True)
  return config
