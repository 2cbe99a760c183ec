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

from ml_collections import ConfigDict, FieldReference
from ml_collections.config_dict import placeholder

from defect_jax.config import parse_arg


def get_config(arg=None):
  """`masked` (the mask's surroundings, scaled, the default) or `crop` (the crop at its own resolution), and `tiny`."""
  arg = parse_arg(arg, mode=('masked', 'crop'), tiny=False)
  config = ConfigDict()
  config.task = 'inpaint'
  config.seed = 0
  config.batch = 4  # images made at once
  config.dtype = 'float32'  # or bfloat16
  config.weights = FieldReference('default')  # or a folder, a name on the hub, random
  config.lora = placeholder(str)  # a file or folder of LoRA weights that are merged into them
  config.count = 1000
  config.variants = 1  # images of a photo in a row; with one mask for all, each photo is encoded once

  # The photos that are changed, in MVTec layout, as ok/ and ng/, or just a folder of them; never of the part final.
  # `default`, for the default weights alone: metal surfaces that these have made from nothing, to see how it works.
  config.photos = FieldReference('default')
  config.part = 'pool'
  config.classes = ('good',)

  # Every defect in turn with every prompt.
  config.defects = ('pitting',)
  config.prompts = ('a close-up photo of a {defect} on a metal surface',)
  config.negative_prompt = placeholder(str)

  # Boxes are left,top,width,height in pixels of the photo. The crop may be width,height only: it is laid around the
  # target area, or anywhere. The target area is all that may change: a box, width,height anywhere in the crop, or none
  # for all of the crop. Masks fade over `feather` pixels; `padding` is what masked shows around them at least.
  config.geometry = ConfigDict({'mode': arg.mode, 'crop': (256, 256), 'target': placeholder(tuple), 'feather': 4,
                                'padding': 32})
  # box: all of the target area. polygon: x1,y1,x2,y2,... in pixels of the photo. png: a file of the photo's size.
  # real: the defect's masks among the photos. random: blobs.
  config.masks = ConfigDict({'kind': 'random', 'polygon': placeholder(tuple), 'file': placeholder(str)})
  config.masks.size = (0.1, 0.4)  # of blobs: diameter over the target area's shorter side, from and to
  # Of real masks: moved anywhere, turned, and scaled by a factor from and to; or False: each stays where it lies in its
  # own photo, for defects that belong to a place, such as chipped edges.
  config.masks.moved = True
  config.masks.scale = (0.7, 1.3)

  # ddim, dpmsolver++, euler or pndm. A strength below 1 begins closer to the photo; content is what the mask holds in
  # the beginning: noise, or the original.
  config.sampler = ConfigDict({'name': 'dpmsolver++', 'steps': 20, 'guidance': 4.0, 'strength': 1.0,
                               'content': 'noise'})

  # Candidates made for each mask, of which one is kept: of those that by VGG16's features read as the asked defect and
  # are as near to real ones as `quantile` of these are to those of other groups, the surest. Where none does, the next
  # of `places` is tried: another target area, mask and noise in the same photo. Takes real defects with masks among the
  # photos; the manifest records the reasons, and by `passed` 0 that no candidate read as asked.
  config.filter = ConfigDict({'candidates': 1, 'places': 1, 'quantile': 0.95})

  # Made defects against real ones of the same classes, each as a square around its mask, scaled to `size`.
  config.measure = ConfigDict({'part': 'dev', 'size': 64})

  # A share of a set that several processes make, each with a --workdir of its own: process from 0 on, and one `set`.
  config.share = ConfigDict({'process': 0, 'processes': 1})
  config.set = placeholder(str)
  if arg.tiny:
    config.weights = 'random'
    config.count = 8
    config.geometry.crop = (64, 64)
    config.sampler.steps = 3
  return config
