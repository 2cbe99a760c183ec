"""Detectors: anomaly maps of tiles by what was fitted to good photos, one kind a file.

This file alone is imported for the check of a config, so it has no JAX.
"""

from defect_jax.errors import UserError, nearest
from defect_jax.registry import DETECTORS

# Maps of the kinds of this package, as their classes have them; a kind from outside brings its own.
_MAPS = {
    'vae': ('residual', 'normalised', 'ssim', 'lpips', 'kld'), 'pca': ('pca', 'pca_normalised'),
    'mean_image': ('mean_image', 'mean_image_normalised'), 'neighbours': ('knn',)}
ON_FEATURES = ('lpips', 'knn')  # maps that take VGG16's features, which are most of the time
PER_TILE = ('kld',)  # one value per tile: says nothing of pixels, and only its maximum is a score
REDUCTIONS = ('mean', 'max', 'top', 'peak')
REDUCTION = 'top'  # where nothing is said
DEFAULT = 'vae', 'normalised'  # detector and map
COMPARED = ('vae', 'pca', 'mean_image', 'neighbours')


def maps_of(detector: str) -> tuple[str, ...]:
  """Names of the anomaly maps of a kind."""
  return _MAPS.get(detector) or tuple(DETECTORS[detector].MAPS)


def names() -> tuple[list[str], list[str]]:
  """The anomaly maps of all kinds, and the scores that tables have of them: a map and how it is reduced."""
  maps = [name for kind in DETECTORS for name in maps_of(kind)]
  return maps, [f'{name}_{reduction}' for name in maps if name not in PER_TILE for reduction in REDUCTIONS]


def score_of(name: str, reduction: str) -> tuple[str, str]:
  """Map and reduction of the two keys of a config, of which the first may name a score of the tables: 'knn_max'.

  Raises UserError where they contradict each other.
  """
  map_name, _, own = name.rpartition('_')
  maps, scores = names()
  if name in maps or name not in scores:
    return name, reduction
  if reduction not in (own, REDUCTION):
    raise UserError(f'score.reduce = {reduction!r}: score.map = {name!r} says {own}; leave score.reduce out')
  return map_name, own


def owner_of(map_name: str) -> str:
  """The detector that makes a map, '' for an unknown one."""
  return next((kind for kind in DETECTORS if map_name in maps_of(kind)), '')


def choose(detector: str, map_name: str) -> tuple[str, str]:
  """The detector and the map that score photos, of the ones a config names.

  Where only the map is named (the detector is the default), it chooses its detector. Where only the detector is named
  (the map is the default), its map of that kind is taken, else its first.
  """
  maps = maps_of(detector)
  if map_name in maps:
    return detector, map_name
  if map_name == DEFAULT[1]:
    normalised = f'{detector}_{map_name}'
    return detector, normalised if normalised in maps else maps[0]
  owner = owner_of(map_name)
  if detector == DEFAULT[0] and owner:
    return owner, map_name
  raise UserError(f'score.map = {map_name!r}: the detector {detector} has {", ".join(maps)}{nearest(map_name, maps)}')
