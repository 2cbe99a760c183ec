"""An inpainting pipeline that knows the product, trained from scratch on real photos: autoencoder, UNet, text encoder.

  python -m defect_jax.main --config=configs/inpaint_train.py
  python -m defect_jax.main --config=configs/inpaint_train.py:tiny      seconds: to see that it works
  python -m defect_jax.main --config=configs/inpaint_train.py --config.data.source=folder --config.data.path=PHOTOS \
      --config.data.classes=scratch,dent,good --workdir=runs/mine

It is saved as diffusers saves pipelines, in the run's folder pipeline/, and
`--config=configs/inpaint.py:masked --config.weights=runs/mine/pipeline` makes defects by it.

It learns from square areas: around each defect mask, or anywhere in photos without masks. First the autoencoder is
trained, then the areas are encoded once, then UNet and text encoder learn to make an area anew of which a mask, a text
and the surroundings are known.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from defect_jax.config import parse_arg


def get_config(arg=None):
  """`large`: for a GPU; `tiny`: everything small, to see in seconds whether a machine and a set of photos work."""
  arg = parse_arg(arg, large=False, tiny=False)
  config = ConfigDict()
  config.task = 'inpaint_train'
  config.seed = 0
  config.batch = 16
  config.dtype = 'float32'  # or bfloat16, on accelerators

  # A pipeline to go on from, as in configs/inpaint.py; none: from scratch. full moves its UNet (and its text encoder),
  # lora small matrices of a rank beside its attention, saved apart in the run's folder lora/.
  config.weights = placeholder(str)
  config.tune = ConfigDict({'method': 'full', 'text': False, 'rank': 8, 'scale': 1.0})

  config.data = data = ConfigDict()
  data.source = 'elpv'  # or folder
  data.path = placeholder(str)  # of folder: MVTec AD layout, or ok/ and ng/
  data.part = 'pool'
  data.classes = ('defective', 'good')  # to learn; good photos are where defects are tried out
  data.cell_type = 'mono'  # of elpv: mono, poly, all
  data.few_shot = 0  # photos of each defect class; 0: all of the part
  data.size = 64  # side of an area, and what the pipeline is made for
  data.context = (1.5, 4.0)  # side of an area over its defect, from and to, where there are masks
  data.share = (0.5, 1.0)  # side of an area over the photo's shorter side, where there are none
  data.areas = 3072  # drawn once; half of them of defects
  data.max_broken = 0.01  # share of photos that may be unreadable; they are reported and skipped
  data.flip_horizontal = True
  data.flip_vertical = True

  # What is made anew: the defect and some pixels around, in a share `coarse` of the areas an ellipse around it; where
  # none is marked a blob, diameter over the area's side from and to: the most salient of `tries` blobs, and all of the
  # salient part it touches. Good areas have masks of defects.
  config.masks = ConfigDict({'size': (0.25, 0.6), 'dilate': (1, 5), 'coarse': 0.5, 'tries': 32})
  config.prompts = ('a close-up photo of a {defect} on a metal surface',)
  config.text_drop = 0.1  # how often the text is left out, which guidance needs

  config.model = model = ConfigDict()
  model.autoencoder = ConfigDict({'widths': (16, 32, 64), 'blocks': 1, 'latent': 6})
  model.unet = ConfigDict({'widths': (64, 128, 128), 'blocks': 1, 'attention': (False, True, True), 'heads': 4})
  model.text = ConfigDict({'width': 64, 'blocks': 1, 'heads': 4, 'length': 16})

  config.autoencoder = ConfigDict({'lr': 0.002, 'batch': 8, 'lpips': 0.01, 'kld': 1e-7})
  config.autoencoder.steps = ConfigDict({'total': 1200, 'log': 10, 'eval': 200, 'checkpoint': 200})
  # average: of the running mean of the parameters, which is what is saved. outside: weight of the loss outside masks.
  # accumulate: pieces of a batch one after the other; again: computes in the backward pass anew what else is kept. Both
  # save memory.
  config.optimizer = ConfigDict({'lr': 0.001, 'warmup': 50, 'clip': 1.0, 'average': 0.995, 'outside': 0.1,
                                 'accumulate': 1, 'again': False})
  config.steps = ConfigDict({'total': 2600, 'log': 10, 'eval': 650, 'checkpoint': 100})

  # Defects made in good photos against real ones of the part, each as a square around what is marked, `margin` times
  # its size.
  config.measure = ConfigDict({'part': 'dev', 'images': 120, 'steps': 15, 'guidance': 3.0, 'batch': 20, 'margin': 1.25,
                               'size': 64})
  config.save = ConfigDict({'dtype': 'float32'})

  if arg.large:
    data.areas = 12288
    config.batch = 32
    # Latents at half the side, not a quarter, lose less of thin defects.
    model.autoencoder = ConfigDict({'widths': (32, 64), 'blocks': 1, 'latent': 4})
    model.unet.widths = (64, 128, 256)
    config.autoencoder.batch = 16
    config.autoencoder.steps = ConfigDict({'total': 4000, 'log': 50, 'eval': 1000, 'checkpoint': 1000})
    config.optimizer.warmup = 200
    config.steps = ConfigDict({'total': 6000, 'log': 50, 'eval': 1000, 'checkpoint': 1000})
  if arg.tiny:
    config.batch = 8
    data.size = 32
    data.areas = 64
    model.autoencoder.widths = (8, 16)
    model.unet.widths = (32, 32)
    model.unet.attention = (False, True)
    config.autoencoder.steps = ConfigDict({'total': 20, 'log': 5, 'eval': 10, 'checkpoint': 10})
    config.optimizer.warmup = 5
    config.steps = ConfigDict({'total': 40, 'log': 5, 'eval': 20, 'checkpoint': 10})
    config.measure.images = 8
    config.measure.batch = 8
    config.measure.steps = 3
  return config
