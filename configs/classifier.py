"""Tells defective photos from good ones: a CNN trained on few real photos of a defect, and on made ones beside them.

  python -m defect_jax.main --config=configs/classifier.py
  python -m defect_jax.main --config=configs/classifier.py --config.data.path=PHOTOS     your own
  python -m defect_jax.main --config=configs/classifier.py:vgg16 --workdir=runs/on_vgg16
  python -m defect_jax.main --config=configs/classifier.py:tiny                  seconds: to see that it works
  python -m defect_jax.main --config=configs/classifier.py --config.made.sets=runs/generate/set --workdir=runs/with_made
  python -m defect_jax.main --config=configs/classifier.py --config.mode=predict --config.classifier=runs/classifier \
      --config.photos=PHOTOS --workdir=runs/predicted

Of your own photos all are trained on, each class as often as the others. What it is worth comes from cross-validation
(data.split=kfold): each photo is tested once, by one of data.folds classifiers that was trained without it and the
other photos of its group. Where the folder has train/ and test/ of all classes, test/ is measured instead
(data.split=folders). ELPV, and data.split=hash, train on photos of the pool, good ones and `data.few_shot` defective
ones, and measure on `measure.part`.

Made sets, of any number, are refused where an image comes from a photo that is held out, or from random weights, and
where they show something else than the photos: close-ups among whole photos, fewer pixels, grey ones among photos in
colour. The figures of cross-validation are without them, unless made.per_fold=True names sets that were made without
each fold (--config.data.split=kfold --config.data.fold=K of configs/vae_split.py).
"""

from ml_collections import ConfigDict

from defect_jax.config import parse_arg
from defect_jax.schema import defaults
from defect_jax.tasks.keys import classifier


def get_config(arg: str | None = None) -> ConfigDict:
  """`resnet`, a small residual network from scratch, or `vgg16`, a head on its frozen features; and `tiny`."""
  options = parse_arg(arg, kind=('resnet', 'vgg16'), tiny=False)
  config = defaults(classifier.table())
  config.model.kind = options.kind
  if options.kind == 'vgg16':
    config.model.dropout = 0.5
  if options.tiny:
    config.batch = 16
    config.data.size = 32
    config.data.good = 40
    config.model.widths = (8, 16)
    config.model.views = 2
    config.steps.update(total=40, log=10, eval=10, checkpoint=20)
  return config
