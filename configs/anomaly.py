"""Anomaly detection without labels: a VAE that is trained on good photos, scores, a threshold from good photos.

  python -m defect_jax.main --config=configs/anomaly.py
  python -m defect_jax.main --config=configs/anomaly.py:tiny                     seconds: 32 px, 60 steps
  python -m defect_jax.main --config=configs/anomaly.py --config.mode=predict --config.vae=runs/anomaly \
      --config.photos=PHOTOS --workdir=runs/predicted
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from configs import vae_split
from defect_jax.config import parse_arg


def get_config(arg=None):
  """`tiny`: everything small, to see in seconds whether a machine and a set of photos work."""
  arg = parse_arg(arg, tiny=False)
  train = vae_split.get_config('tiny' if arg.tiny else None)
  config = ConfigDict()
  config.task = 'anomaly'
  config.seed = 0
  config.batch = 64  # tiles scored at once
  config.mode = 'evaluate'  # on photos of known classes; or predict, on a folder of any photos
  config.vae = placeholder(str)  # workdir of a VAE or of an anomaly run; without one a VAE is trained in vae/
  config.photos = placeholder(str)  # of predict: the folder

  config.data = data = train.data
  data.defects = ()  # classes that are to be found; none named: all but good
  data.few_shot = 0

  config.tiles = ConfigDict()
  config.tiles.on = False  # False: the whole photo, fitted to data.size; True: tiles of data.size px
  config.tiles.reduce = 1  # how many times smaller photos are made before they are cut into tiles
  config.tiles.overlap = 0.25
  config.tiles.most = 20000  # tiles trained on, at most

  config.score = score = ConfigDict()
  score.map = 'normalised'  # residual (the thesis's, with mean), ssim, lpips, kld
  # mean; max; top: mean of the share score.top of the pixels, the largest; peak: top against the photo's own median.
  score.reduce = 'top'
  score.top = 0.01
  score.smooth = 0.0  # px, sigma of the Gaussian that maps are blurred with
  score.layers = 3  # of VGG16's five, for lpips
  score.features = True  # whether evaluate tells lpips and knn too, which take most of its time

  config.threshold = ConfigDict()
  config.threshold.quantile = 0.95  # share of good photos that shall pass
  config.threshold.value = placeholder(float)  # a threshold of your own
  config.baselines = ConfigDict({'pca': 32, 'bank': 4000})  # components; patches of good photos
  config.measure = ConfigDict({'part': 'dev'})  # synthetic: defects pasted on good dev photos; final: opened once
  config.heatmaps = True  # predict writes one for each photo

  config.train = ConfigDict({key: train[key] for key in ('batch', 'dtype', 'model', 'streams', 'control', 'targets',
                                                         'steps')})
  config.train.model.linear = True
  config.train.targets.mse_of_variance = 0.002
  if not arg.tiny:
    config.train.batch = 64
    config.train.model.latent = 32
    config.train.targets.kld = 130.0
    config.train.steps = ConfigDict({'total': 1500, 'log': 10, 'eval': 500, 'checkpoint': 500})
  return config
