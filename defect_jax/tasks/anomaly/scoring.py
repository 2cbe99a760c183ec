"""Scores of photos: which there are, and how photos get them."""

import dataclasses

from defect_jax.detectors import reconstruction, residuals

_ONE_A_TILE = 'kld'  # a figure of a tile, so of its map only the largest is told, and it says nothing of pixels


@dataclasses.dataclass(frozen=True)
class Score:
  """One figure a photo: an anomaly map (of detector.OF_VAE or OF_BASELINES) and how it is reduced."""
  map: str
  reduction: str

  @property
  def name(self):
    """As tables have it."""
    return self.map if self.map == _ONE_A_TILE else f'{self.map}_{self.reduction}'

  @property
  def of_pixels(self):
    return self.map != _ONE_A_TILE


def on_features(config):
  """Whether VGG16's features are to be computed."""
  return config.score.features or config.score.map in reconstruction.ON_FEATURES


def every(config):
  """Every Score of the VAE and of the baselines that a config asks for."""
  names = [name for name in (*reconstruction.OF_VAE, *reconstruction.OF_BASELINES)
           if on_features(config) or name not in reconstruction.ON_FEATURES]
  return [Score(name, reduction) for name in names
          for reduction in (residuals.REDUCTIONS if name != _ONE_A_TILE else ('max',))]


def chosen(config):
  """The Score that a config names."""
  return Score(config.score.map, 'max' if config.score.map == _ONE_A_TILE else config.score.reduce)


@dataclasses.dataclass(frozen=True)
class Scored:
  """A photo with its maps {name: `[h, w]`}, smoothed, and its scores {name: number}; shown: reading.Shown."""
  shown: object
  maps: dict
  scores: dict


def scored(found, shown, scores, settings):
  """Scored of every photo, in order.

  Args:
    found: detector.Detector. shown: iterable of reading.Shown that can be used. scores: list of Score.
    settings: {'smooth', 'top'}: px, and the share of pixels of the reduction 'top'.
  """
  maps_of = found.maps_of(tuple(dict.fromkeys(score.map for score in scores)))
  for one, _, maps in found.scan(((one, one.image) for one in shown), maps_of):
    maps = {name: residuals.smooth(of, settings['smooth']) for name, of in maps.items()}
    yield Scored(one, maps, {score.name: residuals.reduce(maps[score.map], score.reduction, settings['top'])
                             for score in scores})
