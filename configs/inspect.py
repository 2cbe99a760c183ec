"""What is in a folder of photos, in seconds and before anything is trained: layout, classes, masks, and what is wrong.

  python -m defect_jax.main --config=configs/inspect.py --config.photos=PHOTOS
  python -m defect_jax.main --config=configs/inspect.py --config.photos=PHOTOS --config.source=mvtec_ad

Opens each photo and each mask once and changes nothing. Writes report.html, with a look at each class, its masks drawn
in, what to mend, and the commands that fit these photos, ready to copy; and inspect.json for programs: `layout`,
`classes` (photos, masks and groups of each), `sizes`, `bit_depths`, `channels` (how many photos have which), `problems`
(file, kind, message) and `commands`. The same command again looks anew.
"""

from ml_collections import ConfigDict

from defect_jax.config import parse_arg
from defect_jax.schema import defaults
from defect_jax.tasks.keys import inspect


def get_config(arg: str | None = None) -> ConfigDict:
  """`tiny`: fewer photos on the page."""
  config = defaults(inspect.table())
  if parse_arg(arg, tiny=False).tiny:
    config.shown = 4
  return config
