"""VAE on 25 defect photos: the KLD moves the encoder (E1), the MSE moves encoder (E2) and decoder (D).

  python -m defect_jax.main --config=configs/vae_split.py
  python -m defect_jax.main --config=configs/vae_split.py:tiny        seconds: 16 photos of 32 px, 60 steps
  python -m defect_jax.main --config=configs/vae_split.py --config.data.source=folder --config.data.path=PHOTOS \
      --config.data.defects=crack,hole

The targets. A set of N photos holds log N nats of information on which photo it is: 3.2 for 25. A KLD below that cannot
tell them apart; what is above it is distance between the aggregated posterior and the prior, so holes from which prior
samples look like nothing. 16 nats are one for each of 16 dimensions. The MSE target is a share of the photos' variance
about their mean image, since the same absolute error is strict for one set and loose for another. At 12 % every crack
of the solar cells is smoothed away; 2 % still lost too much of one draw of ten (detail_kept 0.81).

Expect on 2 CPU cores: both losses at their targets after 320 to 660 steps, the whole job in about 50 seconds.
"""

from ml_collections import ConfigDict, FieldReference
from ml_collections.config_dict import placeholder

from defect_jax.config import parse_arg


def get_config(arg=None):
  """`tiny`: everything small, to see in seconds whether a machine and a set of photos work."""
  arg = parse_arg(arg, tiny=False)
  config = ConfigDict()
  config.task = 'vae'
  config.seed = 0
  config.batch = 25
  config.dtype = 'float32'  # of the convolutions; bfloat16 on accelerators
  # Decay a step of a running mean of the parameters, which then is what comes out; 0: the parameters of the last step.
  config.average = 0.0

  config.data = data = ConfigDict()
  data.source = 'elpv'  # or folder
  data.path = placeholder(str)  # of folder: MVTec AD layout, or ok/ and ng/
  data.part = 'pool'
  data.defects = ('defective',)  # classes to learn; good is one
  data.cell_type = 'mono'  # of elpv: mono, poly, all
  data.few_shot = 25  # 0: all photos of the part
  data.size = 64
  data.channels = 1
  data.region = 'full'  # box: data.box of every photo; mask: a square around each defect mask
  data.context = 2.0  # side of that square over the mask's longer side
  data.box = placeholder(tuple)  # left, top, width, height
  data.fit = 'crop'  # or pad, of what is not square
  data.max_broken = 0.01  # share of photos that may be unreadable; they are reported and skipped
  data.resident_mb = 2048.0  # larger sets are streamed instead of kept on the device
  data.augment = ConfigDict({'flip_horizontal': False, 'flip_vertical': False, 'shift': 0, 'brightness': 0.0})
  # Above 0: noise on what the encoder sees, clean photos as the decoder's target, for anomaly detection.
  data.blotch = ConfigDict({'strength': 0.0, 'grain': 8})

  config.model = model = ConfigDict()
  model.patch = 4  # px; networks work on patches
  model.widths = (32, 64, 128)  # channels, from patches to a side that is halved at each
  model.blocks = 0  # residual blocks a stage
  model.latent = 16
  model.activation = 'silu'
  model.linear = False  # True: matrices beside the convolutions, which begin as a PCA of the photos

  config.streams = streams = ConfigDict()
  streams.E1 = ConfigDict({'loss': 'kld', 'params': 'encoder/.*', 'optimizer': 'adam_shared', 'lr': 0.002})
  streams.E2 = ConfigDict({'loss': 'mse', 'params': 'encoder/.*', 'optimizer': 'adam_shared', 'lr': 0.002})
  # The decoder follows a code that changes under it, so it must be the faster: at the encoder's rate the MSE was not
  # back within 400 steps of a lower KLD target.
  streams.D = ConfigDict({'loss': 'mse', 'params': 'decoder/.*', 'optimizer': 'adam_shared', 'lr': 0.006})

  config.control = control = ConfigDict()
  control.policy = 'pi'  # constant, threshold, proportional, pi, dual: see defect_jax/training/control.py
  control.beta = 1.0  # weight of the KLD in the loss elbo
  control.weights = ConfigDict({'kld': 1.0, 'mse': 1.0, 'lpips': 1.0})
  control.slope = 2.0  # of proportional
  control.proportional = 8.0
  control.integral = 0.1
  control.speed = ConfigDict({'kld': 12.0, 'mse': 1.5, 'lpips': 1.5})
  control.smoothing = 0.9
  control.slew = 0.008

  config.targets = targets = ConfigDict()
  targets.kld = 16.0  # nats an image
  targets.mse = placeholder(float)  # absolute; wins over the next one where both are set
  # Share of the training photos' variance about their mean image; `none` is possible.
  targets.mse_of_variance = FieldReference(0.015)
  targets.lpips = placeholder(float)  # where a stream has that loss, see vae_perceptual.py

  config.steps = ConfigDict({'total': 2000, 'log': 10, 'eval': 100, 'checkpoint': 500})

  if arg.tiny:
    config.batch = data.few_shot = 16
    data.size = 32
    model.widths = (8, 16, 32)
    config.steps = ConfigDict({'total': 60, 'log': 10, 'eval': 30, 'checkpoint': 30})
  return config
