"""Tells defective photos from good ones: a CNN trained on few real photos of a defect, and on made ones beside them.

  python -m defect_jax.main --config=configs/classifier.py
  python -m defect_jax.main --config=configs/classifier.py:vgg16 --workdir=runs/on_vgg16
  python -m defect_jax.main --config=configs/classifier.py:tiny                  seconds: to see that it works
  python -m defect_jax.main --config=configs/classifier.py --config.made.sets=runs/generate/set --workdir=runs/with_made
  python -m defect_jax.main --config=configs/classifier.py --config.mode=predict --config.classifier=runs/classifier \
      --config.photos=PHOTOS --workdir=runs/predicted

Trained on photos of the pool, good ones and `data.few_shot` defective ones, each class as often as the others, and
measured on all photos of `measure.part` that are of these classes. Made sets, of any number, are refused where an image
comes from a photo of another part, or from random weights.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from defect_jax.config import parse_arg


def get_config(arg=None):
  """`resnet`, a small residual network from scratch, or `vgg16`, a head on its frozen features; and `tiny`."""
  arg = parse_arg(arg, kind=('resnet', 'vgg16'), tiny=False)
  config = ConfigDict()
  config.task = 'classifier'
  config.seed = 0
  config.batch = 32
  config.dtype = 'float32'  # of the convolutions; bfloat16 on accelerators
  config.mode = 'evaluate'  # on photos of known classes; or predict, on a folder of any photos
  config.classifier = placeholder(str)  # workdir of a classifier; without one it is trained
  config.photos = placeholder(str)  # of predict: the folder

  config.data = data = ConfigDict()
  data.source = 'elpv'  # or folder
  data.path = placeholder(str)  # of folder: MVTec AD layout, or ok/ and ng/
  data.more = ()  # further folders of real photos; elpv is one too
  data.defects = ('defective',)  # classes to tell from good; none named: all there are
  data.merge = False  # whether all defects are one class
  data.cell_type = 'mono'  # of elpv: mono, poly, all
  data.few_shot = 25  # defective photos of the pool to train on, of each set, drawn by the seed; 0: all
  data.good = 0  # good photos likewise
  data.size = 64
  data.channels = 1
  data.region = 'full'  # box: data.box of every photo
  data.context = 2.0
  data.box = placeholder(tuple)  # left, top, width, height
  data.fit = 'crop'  # or pad, of what is not square
  data.max_broken = 0.01  # share of photos that may be unreadable; they are reported and skipped
  data.resident_mb = 2048.0  # larger sets are refused
  data.augment = ConfigDict({'flip_horizontal': True, 'flip_vertical': True, 'turn': True, 'rotate': 0.0, 'shift': 4,
                             'brightness': 0.1, 'contrast': 0.2})

  config.made = ConfigDict()
  config.made.sets = ()  # folders of made images, such as runs/generate/set
  config.made.ratio = 1.0  # made images for each real photo of their class, of all sets together

  config.model = model = ConfigDict()
  model.kind = arg.kind
  model.widths = (16, 32, 64, 128)  # of resnet, channels by stage; the side is halved from stage to stage
  model.blocks = 1  # of resnet, a stage
  model.hidden = 0  # width of a hidden layer of the head; 0: none
  model.dropout = 0.2 if arg.kind == 'resnet' else 0.5
  model.views = 8  # of vgg16: how many augmented copies of each photo have their features computed, once

  config.optimizer = ConfigDict({'lr': 0.001, 'weight_decay': 0.01, 'average': 0.98})
  # Share of the training photos, by group, that early stopping and, from 10 of each class on, the temperature of the
  # probabilities come from, and how many evaluations may pass without a better one; share 0: no early stopping,
  # patience 0: all steps.
  config.validation = ConfigDict({'share': 0.2, 'patience': 8})
  # Predicts by the mean over mirrored copies, by the flips of data.augment: up to four times as long; so does a named
  # classifier whose config says so.
  config.mirrored = False
  # Share of photos that are defective where it is used, which probabilities take into account; none: each class is as
  # frequent as the others, or what the named classifier's config says. Of several classes of defects none makes most
  # photos defective before they are looked at: set it, to 0.5 or what is known.
  config.prevalence = placeholder(float)
  config.threshold = 0.5  # of predict: probability of a defect from which a photo is ng
  config.heatmaps = True  # predict writes one for each photo: where the probability would change
  config.measure = ConfigDict({'part': 'dev'})  # final: opened once
  config.steps = ConfigDict({'total': 600, 'log': 10, 'eval': 25, 'checkpoint': 100})

  if arg.tiny:
    config.batch = 16
    data.size = 32
    data.good = 40
    model.widths = (8, 16)
    model.views = 2
    config.steps = ConfigDict({'total': 40, 'log': 10, 'eval': 10, 'checkpoint': 20})
  return config
