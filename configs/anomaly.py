"""Anomaly detection without labels: a VAE of good photos, scores, heat maps, and a threshold from good photos alone.

  python -m defect_jax.main --config=configs/anomaly.py
  python -m defect_jax.main --config=configs/anomaly.py:tiny                     seconds: 32 px, 60 steps
  python -m defect_jax.main --config=configs/anomaly.py --config.mode=predict --config.vae=runs/anomaly \
      --config.photos=PHOTOS --workdir=runs/scored

Good photos of the pool are trained on, good photos of dev give the threshold, and those of `measure.part` are tested
with all defective ones of that part. While dev itself is measured, every other group of its good photos gives the
threshold.

What was tried on dev (solar cells; image AUROC of the best score). A VAE of convolutions alone, of 16 to 64 dimensions,
is far from a PCA of as many components (0.84 to 0.87 against 0.89 to 0.91), since what varies in the photos is nearly
linear and it cannot follow in thousands of steps; so `train.model.linear` lets it begin as that PCA. From there on the
last step's parameters are now a little too bright, now too dark (0.87 to 0.92, with the seed); their running mean
(`train.average`) has 0.92 for all seeds. Noise on the encoder's input (`data.blotch`) helps the convolutions alone, not
the linear paths. Tiles of the cells and LPIPS are worse than the whole cell. Dividing the residual by each pixel's
spread on good cells is what helps most; blurring it by a pixel before its sign is dropped adds 0.005, to PCA as well.
Small defects in textures (magnetic tiles) want small tiles, many dimensions and convolutions alone:
experiments/anomaly_study.py has what the sets are run with.
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
  score.blur = 1.0  # px, sigma of the Gaussian that image minus reconstruction is blurred with, sign and all
  score.smooth = 0.0  # px, sigma of the Gaussian that maps are blurred with
  score.layers = 3  # of VGG16's five, for lpips
  score.features = True  # whether evaluate tells lpips and knn too, which take most of its time

  config.threshold = ConfigDict()
  config.threshold.quantile = 0.95  # share of good photos that shall pass
  config.threshold.value = placeholder(float)  # a threshold of your own
  config.baselines = ConfigDict({'pca': 32, 'bank': 4000})  # components; patches of good photos
  config.measure = ConfigDict({'part': 'dev'})  # synthetic: defects pasted on good dev photos; final: opened once
  config.heatmaps = True  # predict writes one for each photo

  config.train = ConfigDict({key: train[key] for key in ('batch', 'dtype', 'average', 'model', 'streams', 'control',
                                                         'targets', 'steps')})
  config.train.model.linear = True
  config.train.targets.mse_of_variance = 0.01
  # Slow, since the linear paths begin near the end: five times these rates undid what they begin with.
  for name, rate in (('E1', 0.0004), ('E2', 0.0004), ('D', 0.001)):
    config.train.streams[name].lr = rate
  if not arg.tiny:
    config.train.batch = 64
    config.train.average = 0.98
    config.train.model.latent = 32
    # Both targets are just out of reach in these steps: with ones that are reached, what slows the streams down near
    # them cost 0.004 of AUROC.
    config.train.targets.kld = 130.0
    config.train.steps = ConfigDict({'total': 300, 'log': 10, 'eval': 100, 'checkpoint': 100})
  return config
