"""An inpainting pipeline that knows the product, trained from scratch on real photos: autoencoder, UNet, text encoder.

  python -m defect_jax.main --config=configs/inpaint_train.py
  python -m defect_jax.main --config=configs/inpaint_train.py:tiny      seconds: to see that it works
  python -m defect_jax.main --config=configs/inpaint_train.py --config.data.path=PHOTOS --workdir=runs/mine

It is saved as diffusers saves pipelines, in the run's folder pipeline/, and
`--config=configs/inpaint.py:masked --config.weights=runs/mine/pipeline` makes defects by it. Beside the weights
classes.json says what they were taught, by which that task tells what they do not know.

It learns from square areas: around each defect mask, or anywhere in photos without masks. First the autoencoder is
trained, then the areas are encoded once, then UNet and text encoder learn to make an area anew of which a mask, a text
and the surroundings are known.
"""

from ml_collections import ConfigDict

from defect_jax.config import parse_arg
from defect_jax.schema import defaults
from defect_jax.tasks.keys import inpaint_train


def get_config(arg: str | None = None) -> ConfigDict:
  """`large`: for a GPU; `tiny`: everything small, to see in seconds whether a machine and a set of photos work."""
  options = parse_arg(arg, large=False, tiny=False)
  config = defaults(inpaint_train.table())
  data, model = config.data, config.model
  if options.large:
    data.areas = 12288
    config.batch = 32
    # Latents at half the side, not a quarter, lose less of thin defects.
    model.autoencoder.update(widths=(32, 64), blocks=1, latent=4)
    model.unet.widths = (64, 128, 256)
    config.autoencoder.batch = 16
    config.autoencoder.steps.update(total=4000, log=50, eval=1000, checkpoint=1000)
    config.optimizer.warmup = 200
    config.steps.update(total=6000, log=50, eval=1000, checkpoint=1000)
  if options.tiny:
    config.batch = 8
    data.size = 32
    data.areas = 64
    model.autoencoder.widths = (8, 16)
    model.unet.widths = (32, 32)
    model.unet.attention = (False, True)
    config.autoencoder.steps.update(total=20, log=5, eval=10, checkpoint=10)
    config.optimizer.warmup = 5
    config.steps.update(total=40, log=5, eval=20, checkpoint=10)
    config.measure.images = 8
    config.measure.batch = 8
    config.measure.steps = 3
  return config
