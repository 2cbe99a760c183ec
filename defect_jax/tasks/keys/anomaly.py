"""Keys of a config that finds anomalies."""

from ml_collections import ConfigDict

from defect_jax import detectors
from defect_jax.registry import DETECTORS
from defect_jax.rules import Boolean, Choice, Integer, Names, Number, Optional, Text
from defect_jax.schema import Key, Table
from defect_jax.tasks.keys import common, vae


class _Score(Choice):
  """The name of an anomaly map, or of a score as tables have it."""

  def __init__(self) -> None:
    self._maps, scores = detectors.names()
    super().__init__(*self._maps, *scores)

  def __str__(self) -> str:
    return (f'one of {", ".join(self._maps)}, or one of these with _{", _".join(detectors.REDUCTIONS)} behind it, as '
            'the table of the page has them')


_TRAINING = ('batch', 'dtype', 'average', 'model', 'streams', 'control', 'targets', 'steps')


def table() -> Table:
  network, data = vae.table(), vae.data()
  del data['fold']
  return common.head('anomaly', 64, 'Tiles scored at once.', 4096) | {
      'mode': common.MODE,
      'vae': Key(None, Optional(Text()), path=True,
                 text='Workdir of a VAE or of an anomaly run; none: a VAE is trained in the folder vae/ of the run.'),
      'detector': Key(detectors.DEFAULT[0], Choice(*DETECTORS), added=True,
                      text='What photos are judged by; a score.map of another one chooses that.'),
      'detectors': Key(detectors.COMPARED, Names(*DETECTORS, least=0), added=True,
                       text='Measured beside it. A VAE is trained only if it is among them.'),
      'photos': common.PHOTOS,
      'data': data | {
          'part': Key('pool', Choice('pool'), text='Its good photos are trained on.'),
          'defects': Key((), Names(least=0), text='Classes that are to be found; none named: all but good.'),
          'few_shot': Key(0, Integer(0), 'photos', 'Good ones that are drawn by the seed; 0: all.'),
          'region': Key('full', Choice('full', 'box'), text='box: data.box of every photo.')},
      'tiles': {
          'on': Key(None, Optional(Boolean()), open=True, text='False: the whole photo, fitted to data.size. True: '
                    'tiles of data.size. Left open: tiles where photos are twice as long as wide and more.'),
          'reduce': Key(None, Optional(Integer(1, 64)), open=True, text='How many times smaller photos are made before '
                        'they are cut. Left open: so that the shorter side is a tile, else 1.'),
          'overlap': Key(0.25, Number(0, 0.9), text='Of neighbouring tiles, as a share of their side.'),
          'most': Key(20000, Integer(2), 'tiles', 'Trained on, at most.')},
      'score': {
          'map': Key(detectors.DEFAULT[1], _Score(), text="residual: the thesis's, with reduce=mean. normalised: over "
                     "each pixel's spread on good. knn_max: map and reduce in one, as the page's table has them."),
          'reduce': Key(detectors.REDUCTION, Choice(*detectors.REDUCTIONS), text='top: mean of the largest share '
                        "score.top of the pixels. peak: top against the photo's own median."),
          'top': Key(0.01, Number(above=0, high=1), text='Share of the pixels.'),
          'blur': Key(1.0, Number(0, 16), 'px', 'Sigma of the Gaussian on image minus reconstruction, with its sign.'),
          'smooth': Key(0.0, Number(0, 64), 'px', 'Sigma of the Gaussian on the maps.'),
          'layers': Key(3, Integer(1, 5), text="Of VGG16's five, for lpips."),
          'features': Key(True, Boolean(), text='Whether evaluate also gives lpips and knn, most of its time.')},
      'threshold': {
          'quantile': Key(0.95, common.FRACTION, text='Share of good photos that shall pass.'),
          'value': Key(None, Optional(Number()), text='A threshold of your own.')},
      'baselines': {
          'pca': Key(32, Integer(1, 4096), text='Components.'),
          'bank': Key(4000, Integer(1, 10**6), text='Patches of good photos.')},
      'measure': {'part': Key(
          None, Optional(Choice('synthetic', 'dev', 'final')), open=True, later=True,
          text='Photos that are tested, also afterwards in the same workdir. synthetic: good ones, with defects pasted '
               'on them. final: to be opened once. Left open: dev, or synthetic where there are no defective photos.')},
      'heatmaps': Key(True, Boolean(), text='Whether predict writes one for each photo.'),
      'train': {key: network[key] for key in _TRAINING}}


def check(config: ConfigDict) -> None:
  """Raises UserError for values that do not go together."""
  if config.mode == 'predict':
    common.check_named(config, 'photos')
  vae.check(config.train)
  detectors.choose(config.detector, detectors.score_of(config.score.map, config.score.reduce)[0])


def settle(config: ConfigDict) -> list[str]:
  """See settling.settle."""
  from defect_jax.tasks.keys import settling  # which takes as long as all else before a mistake is refused
  return settling.settle(config, config.data, elpv={'fit': 'crop'}, own={'fit': 'pad'}, otherwise='kfold',
                         taken=(settling.GOOD,), tiles=config.tiles)
