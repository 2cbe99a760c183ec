"""Whether made images show what a classifier's photos show: as much of a photo, at its scale, in its colours."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from defect_jax.data import depth, parts, splits
from defect_jax.data.regions import Geometry
from defect_jax.errors import UserError
from defect_jax.imagesets import manifest

WHOLE = ('inpaint',)  # methods whose images are photos of the source's size
_ALIKE = 1.25  # factor between the sides of a photo and of an image made of it, at most; photos are cut by a little
_COLOUR = 0.01  # mean difference between the channels of a photo above which it is in colour
_LOOKED_AT = 50  # photos whose colours are looked at, at most
_SQUARE = 0.95  # shorter over longer side from which all of a photo and its central square are alike


def refuse_unfit(root: str | Path, images: Sequence[manifest.Made], found: splits.Splits, geometry: Geometry) -> None:
  """Raises UserError, with the setting that fits, for a set whose images show something else than a classifier of
  `geometry` sees of its photos `found`: close-ups, fewer pixels, another fit, grey ones among photos in colour."""
  known, records = manifest.read_known(root), found.train.records
  if known and (of_vae := {'region': known.region} | dict(known.geometry)).get('region'):
    _refuse_other_view(root, of_vae, geometry, records)
  files = [parts.Record(image.file, image.label, image.file, Path(root) / image.file) for image in images]
  taken = [(image, header) for image, header in zip(images, depth.headers_of(files), strict=True)
           if header]  # of the others it is told where they are read
  squares = [header for image, header in taken if image.method not in WHOLE]
  if squares and (side := min(min(header.size) for header in squares)) < geometry.size:
    raise UserError(f'made.sets: {root} has images of {side} px, which would be blurred beside photos of '
                    f'{geometry.size} px (data.size); set --config.data.size={side}, or train the VAE with '
                    f'--config.data.size={geometry.size}')
  _refuse_other_sizes(root, [header for image, header in taken if image.method in WHOLE], records)
  if any(header.channels == 1 for _, header in taken) and geometry.channels == 3 and _in_colour(found.train):
    raise UserError(f'made.sets: {root} has grey images, and the photos are in colour (data.channels=3); set '
                    '--config.data.channels=1, or train the VAE with --config.data.channels=3')


def _refuse_other_view(root, of_vae, geometry, records):
  """Refuses images of another part of a photo than the classifier looks at."""
  if of_vae['region'] == 'mask':
    raise UserError(f'made.sets: {root} shows squares around defects (data.region=mask of its VAE), and the '
                    f'classifier looks at more of a photo (data.region={geometry.region}); train the VAE with '
                    f'--config.data.region={geometry.region}')
  own = {'region': geometry.region, 'box': geometry.box and list(geometry.box), 'fit': geometry.fit}
  if of_vae['region'] == own['region'] == 'full':
    of_vae = {**of_vae, 'box': own['box']}  # which neither looks at
  if of_vae.get('fit') != own['fit'] and _are_square(of_vae, records):
    of_vae = {**of_vae, 'fit': own['fit']}
  others = {key: of_vae[key] for key in own if key in of_vae and _plain(of_vae[key]) != own[key]}
  if others:
    now = ', '.join(f'data.{key}={_text(own[key])}' for key in others)
    raise UserError(f'made.sets: {root} shows another part of photos ({_settings(others, "data.")} of its VAE) than '
                    f'the classifier looks at ({now}); set {_settings(others, "--config.data.")}, or train the VAE '
                    f'with {_settings({key: own[key] for key in others}, "--config.data.")}')


def _are_square(of_vae, records):
  """Whether the fit makes no difference to what is looked at."""
  if of_vae['region'] == 'box':
    sizes = [of_vae['box'][2:]] if of_vae.get('box') else []
  else:
    sizes = [header.size for header in depth.headers_of(records) if header]
  return all(min(size) >= _SQUARE * max(size) for size in sizes)


def _refuse_other_sizes(root, made, records):
  """Refuses images that were made of whole photos of other sizes than the classifier's."""
  sizes = [header.upright for header in depth.headers_of(records) if header]
  if not made or not sizes:
    return
  low, high = np.min(sizes, 0) / _ALIKE, np.max(sizes, 0) * _ALIKE
  for header in made:
    height, width = header.upright
    if not (low <= (height, width)).all() or not ((height, width) <= high).all():
      height_of, width_of = sizes[0]
      raise UserError(f'made.sets: {root} has images of {width} x {height} px, made of other photos than the '
                      f'classifier is trained on, such as of {width_of} x {height_of} px: close-ups or another scale; '
                      'make them of these, by --config.photos of configs/inpaint.py')


def _in_colour(found):
  """Whether the photos are, all in all."""
  some = found.images()[::max(1, len(found) // _LOOKED_AT)]
  return bool(len(some)) and float(np.ptp(some, -1).mean()) > _COLOUR


def _settings(values, start):
  return ' '.join(f'{start}{key}={_text(value)}' for key, value in values.items())


def _text(value):
  return ','.join(map(str, value)) if isinstance(value, list | tuple) else value


def _plain(value):
  return list(value) if isinstance(value, tuple) else value
