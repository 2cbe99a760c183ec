"""New defect photos by latent-diffusion inpainting: each is a photo in which only a marked area is made anew.

  python -m defect_jax.main --config=configs/inpaint.py --config.count=24                 pits in metal surfaces
  python -m defect_jax.main --config=configs/inpaint.py --config.photos=photos
  python -m defect_jax.main --config=configs/inpaint.py --config.weights=runs/mine --config.photos=photos \
    --config.defects=scratch,dent --config.count=5000
  python -m defect_jax.main --config=configs/inpaint.py:crop --config.weights=FOLDER --config.photos=photos \
    --config.geometry.crop=512,512
  python -m defect_jax.main --config=configs/inpaint.py:tiny                             seconds: noise, to try it

weights is `default`, a small pipeline that comes with this package and knows pitting on ball screws; a run of
configs/inpaint_train.py, which teaches one your product; a folder with a diffusers inpainting pipeline; or, with
network, its name on the hub, such as stable-diffusion-v1-5/stable-diffusion-inpainting (which wants
`--config.sampler.guidance=7.5`). The set is made in the run's folder set/: the photos in images/, their masks/, crops/
and differences/, a manifest, and beside it report.html.
"""

from ml_collections import ConfigDict

from defect_jax.config import parse_arg
from defect_jax.schema import defaults
from defect_jax.tasks.keys import inpaint


def get_config(arg: str | None = None) -> ConfigDict:
  """`masked` (the mask's surroundings, scaled, the default) or `crop` (the crop at its own resolution), and `tiny`."""
  options = parse_arg(arg, mode=('masked', 'crop'), tiny=False)
  config = defaults(inpaint.table())
  config.geometry.mode = options.mode
  if options.tiny:
    config.weights = 'random'
    config.count = 8
    config.geometry.crop = (64, 64)
    config.sampler.steps = 3
  return config
