"""Anomaly detection without labels: detectors of good photos, heat maps, and a threshold from good photos alone.

  python -m defect_jax.main --config=configs/anomaly.py
  python -m defect_jax.main --config=configs/anomaly.py:tiny                     seconds: 32 px, 60 steps
  python -m defect_jax.main --config=configs/anomaly.py --config.mode=predict --config.vae=runs/anomaly \
      --config.photos=PHOTOS --workdir=runs/scored

`score.map` chooses the detector (normalised: the VAE; knn, pca_normalised, mean_image_normalised: those without one);
`detectors` are measured beside it, and a VAE is trained only if it is among them.
Of your own photos (`data.path`) all good ones are trained on by the detector that stays. `data.split` says how the
threshold and the figures are had:
- kfold: `data.folds` further detectors each hold some groups out; what they say of these gives the threshold, and good
  and defective photos are measured by them. A VAE is trained for each, so this takes six times as long.
- folders: train/good is trained on, val/good gives the threshold (without it folds of train/good), test/ is measured.
- hash, as for the solar cells: good photos of the pool are trained on, good photos of dev give the threshold, and those
  of `measure.part` are tested with all defective ones of that part. While dev itself is measured, every other group of
  its good photos gives the threshold.
Where there are no defective photos, defects are pasted on good ones to see what would be found. The same command with
`--config.measure.part=synthetic` or `dev` measures the other way afterwards, in the same workdir and without training;
what was measured before stays in measured/.
The threshold comes with an interval of the false-alarm rate, in which photos of one group count as fewer; what it is
worth on unseen workpieces is measured by experiments/threshold_study.py.

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

from configs import vae_split
from defect_jax.config import parse_arg
from defect_jax.schema import defaults
from defect_jax.tasks.keys import anomaly


def get_config(arg: str | None = None) -> ConfigDict:
  """`tiny`: everything small, to see in seconds whether a machine and a set of photos work."""
  options = parse_arg(arg, tiny=False)
  network = vae_split.get_config('tiny' if options.tiny else None)
  config = defaults(anomaly.table())
  config.data.size = network.data.size
  config.train = train = ConfigDict({key: network[key] for key in config.train})
  train.model.linear = True
  train.targets.mse_of_variance = 0.01
  # Slow, since the linear paths begin near the end: five times these rates undid what they begin with.
  for name, rate in (('E1', 0.0004), ('E2', 0.0004), ('D', 0.001)):
    train.streams[name].lr = rate
  if not options.tiny:
    train.batch = 64
    train.average = 0.98
    train.model.latent = 32
    # Both targets are just out of reach in these steps: with ones that are reached, what slows the streams down near
    # them cost 0.004 of AUROC.
    train.targets.kld = 130.0
    train.steps.update(total=300, log=10, eval=100, checkpoint=100)
  return config
