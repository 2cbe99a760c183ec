"""The detector of an anomaly run: fitted to good photos, saved, and opened to score photos."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from ml_collections import ConfigDict

from defect_jax import detectors, losses
from defect_jax.data import parts, regions, tiles
from defect_jax.data.samples import Sample
from defect_jax.detectors import base as kinds
from defect_jax.detectors import scores
from defect_jax.detectors import threshold as thresholds
from defect_jax.errors import UserError
from defect_jax.registry import DETECTORS
from defect_jax.runs import artefacts, atomic, folder
from defect_jax.trained import base
from defect_jax.trained.vae import VaePredictor, open_vae

DETECTOR = artefacts.Artefact('detector.json')
STATE = artefacts.Artefact('detector.safetensors')  # arrays of detectors without a VAE
NETWORK = artefacts.Artefact('vae')  # workdir of the VAE that the run trained
_FIGURES = ('image_auroc', 'image_auroc_ci', 'image_aupr', 'image_f1_max', 'pixel_auroc', 'aupro')


@dataclasses.dataclass(frozen=True)
class Setup:
  """What a config says of detectors: the only place that reads these keys."""
  detector: str  # by which photos are judged, with `score`
  compared: tuple[str, ...]  # kinds that are measured
  score: scores.Score
  tiling: tiles.Tiling
  batch: int  # this and the next two: see scores.Scorer
  smooth: float
  top: float
  fit: kinds.Settings
  features: bool  # whether maps on VGG16 are compared
  quantile: float  # of the scores of good photos, which is the threshold
  threshold: float | None  # set by hand instead
  split: str  # how photos come to their parts

  @classmethod
  def of(cls, config: ConfigDict) -> Self:
    cut, score = config.tiles, config.score
    map_name, reduction = detectors.score_of(score.map, score.reduce)
    detector, map_name = detectors.choose(config.get('detector', detectors.DEFAULT[0]), map_name)
    compared = tuple(config.get('detectors', detectors.COMPARED))
    return cls(
        detector, compared if detector in compared else (detector, *compared), scores.Score.of(map_name, reduction),
        tiles.Tiling(regions.Geometry.of(config.data), cut.on, cut.reduce, cut.overlap), config.batch,
        score.smooth, score.top, kinds.Settings(
            config.seed, score.blur, score.layers, config.baselines.pca, config.baselines.bank),
        score.features or map_name in detectors.ON_FEATURES, config.threshold.quantile, config.threshold.value,
        config.data.split)

  def maps(self) -> dict[str, list[str]]:
    """{kind: names of its maps} of all that is compared, without kinds whose maps are all switched off."""
    switched_off = () if self.features else detectors.ON_FEATURES
    return {kind: names for kind in self.compared
            if (names := [name for name in detectors.maps_of(kind) if name not in switched_off])}

  def settings(self, maps: Iterable[str], network: kinds.Network | None) -> kinds.Settings:
    """What detectors that make these maps are fitted with."""
    return dataclasses.replace(self.fit, network=network, features=not set(maps).isdisjoint(detectors.ON_FEATURES))

  def by_quantile(self, good_scores: Sequence[float], groups: Sequence[str] | None) -> thresholds.Threshold:
    """The threshold by the scores of good photos, of which none was seen by the detector that scored it."""
    what = 'good photos of the part dev' if self.split == 'hash' else 'good photos that their detector has not seen'
    return thresholds.from_good(good_scores, self.quantile, what, groups)

  def scorer(self, fitted: Iterable[kinds.Detector], wanted: Sequence[scores.Score]) -> scores.Scorer:
    """Gives photos these scores by detectors that make their maps."""
    names = tuple(dict.fromkeys(score.map for score in wanted))
    return scores.Scorer(kinds.maps_function(fitted, names), self.tiling, self.batch, wanted, self.smooth, self.top)


@dataclasses.dataclass(frozen=True)
class DetectorPredictor:
  """A detector with its threshold."""
  workdir: folder.Workdir
  config: ConfigDict
  setup: Setup  # what it was fitted with
  detector: kinds.Detector
  good_scores: Sequence[float]  # of the good photos that the threshold comes from
  scale: float  # value of the map that heat maps show at full strength: the median of the good photos' maxima
  good_groups: Sequence[str] | None = None  # of the same photos; None: each is its own

  kind: ClassVar[str] = 'anomaly'
  step: ClassVar[int] = 0
  classes = notes = ()

  @property
  def threshold(self) -> thresholds.Threshold:
    value, good = self.setup.threshold, self.good_scores
    return (self.setup.by_quantile(good, self.good_groups) if value is None else
            thresholds.by_hand(value, good, self.good_groups))

  @property
  def tiling(self) -> tiles.Tiling:
    return self.setup.tiling

  @property
  def about(self) -> dict[str, Any]:
    """The score, and nulls for figures that take labels."""
    return dict.fromkeys(_FIGURES) | {'score': self.setup.score.name, 'scores': {}}

  @functools.cached_property
  def digest(self) -> str:
    """By what it says of its good photos."""
    return parts.digest(' '.join(f'{score:.5g}' for score in self.good_scores)).hex()

  def predict(self, samples: Iterable[Sample], heatmaps: bool) -> Iterator[base.Prediction]:
    """Scores of photos of any size, with their maps."""
    del heatmaps  # the score needs the map anyway
    score = self.setup.score
    for photo in self._scorer(samples):
      yield base.Prediction(photo.sample, photo.scores[score.name], None, photo.maps[score.map], self.scale)

  def functions(self) -> dict[str, base.Function]:
    """anomaly_map: of tiles, not smoothed."""
    name, shape = self.setup.score.map, self.tiling.geometry
    return {'anomaly_map': base.Function(
        lambda detector, tiles: detector.maps(tiles, [name])[name], self.detector,
        jax.ShapeDtypeStruct((shape.size, shape.size, shape.channels), jnp.float32))}

  def save(self) -> None:
    """Writes detector.json; the arrays of detectors without a VAE go into detector.safetensors beside it."""
    state = self.detector.state()
    order = np.argsort(self.good_scores, kind='stable')
    kept: dict[str, Any] = {'good_scores': [self.good_scores[place] for place in order]}
    if self.good_groups is not None:
      kept['good_groups'] = [self.good_groups[place] for place in order]
    if self.detector.NEEDS_NETWORK:
      kept |= state | {'network': base.digest(getattr(self.detector, 'params', ()))}
    else:
      arrays = safetensors.numpy.save(state)
      atomic.write_atomic(self.workdir.path(STATE), arrays)
      kept['arrays'] = hashlib.sha256(arrays).hexdigest()
    text = json.dumps(atomic.plain(kept | {'scale': self.scale}), allow_nan=False)
    atomic.write_atomic(self.workdir.path(DETECTOR), text + '\n')

  @functools.cached_property
  def _scorer(self):
    return self.setup.scorer([self.detector], [self.setup.score])


def open_detector(root: Any, *, key: str = 'vae', threshold: float | None = None, quantile: float | None = None,
                  at_once: int | None = None) -> DetectorPredictor:
  """The detector of an anomaly run, with `quantile` and `at_once` instead of its own threshold.quantile and batch.

  key: the config's key that messages name. threshold: set by hand; without it and a quantile the run's own counts.
  Raises UserError if the run has no detector yet, or its VAE or files are others than it was fitted with.
  """
  workdir, config = base.read_run(root, key, ('anomaly',))
  own = Setup.of(config)
  threshold = own.threshold if threshold is None and quantile is None else threshold
  setup = dataclasses.replace(own, threshold=threshold, quantile=quantile or own.quantile, batch=at_once or own.batch)
  kind = DETECTORS[setup.detector]
  try:
    kept = json.loads(workdir.path(DETECTOR).read_text())
    state = {'spread': np.float32(kept['spread'])} if kind.NEEDS_NETWORK else _arrays(workdir.path(STATE), kept)
  except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
    raise UserError(f'{key}: {root} has no usable detector.json ({error}); run it to its end first') from error
  network = open_network(root, config.data, config.tiles) if kind.NEEDS_NETWORK else None
  detector = kind.restore(state, setup.settings([setup.score.map], network))
  if network and kept.get('network') not in (None, base.digest(getattr(detector, 'params', ()))):
    raise UserError(f'{key}: the VAE of {root} was trained anew since; run the same in another --workdir')
  return DetectorPredictor(workdir, config, setup, detector, kept['good_scores'], kept['scale'],
                           kept.get('good_groups'))


def _arrays(path, kept):
  data = path.read_bytes()
  if hashlib.sha256(data).hexdigest() != kept['arrays']:
    raise ValueError(f'{path.name} is damaged or of another fit')
  return safetensors.numpy.load(data)


def anomaly_config(root: Any) -> ConfigDict | None:
  """The config of an anomaly run; None for the workdir of anything else."""
  config = folder.Workdir(root).read_config()
  return config if config is not None and config.get('task') == 'anomaly' else None


def vae_folder(root: Any) -> Path:
  """The workdir of the VAE of an anomaly run, which may have taken another run's; any other folder as it is."""
  config = anomaly_config(root)
  if config is None:
    return Path(root)
  return vae_folder(config.vae) if config.vae else folder.Workdir(root).path(NETWORK)


def network_of(vae: VaePredictor) -> kinds.Network:
  """A VAE as detectors take it: it reconstructs from the posterior mean."""
  def reconstruct(params, tiles):
    # The constants of standardising are compiled in: XLA divides by a constant another way than by an argument.
    posterior = vae.vae.encode(params['encoder'], vae.normalizer, tiles)
    return vae.vae.decode(params['decoder'], vae.normalizer, posterior.mean), losses.kld(*posterior)

  return kinds.Network(vae.params, reconstruct)


def open_network(root: str, data: ConfigDict, cut: ConfigDict) -> kinds.Network:
  """The VAE of a workdir, its own or that of an anomaly run, for a config's `data` and, `cut`, its `tiles`.

  Raises UserError if the VAE was trained for other images, or on photos that it must not have seen.
  """
  saved, vae = anomaly_config(root), open_vae(vae_folder(root))
  for key in ('on', 'reduce'):
    if saved and saved.tiles[key] != cut[key]:
      raise UserError(f'tiles.{key} = {cut[key]}: {root} was trained with {saved.tiles[key]}; set it so')
  own = vae.config.data
  if (own.size, own.channels) != (data.size, data.channels):
    raise UserError(f'vae: {root} takes images of {own.size} px and {own.channels} channels, data.size = {data.size} '
                    f'and data.channels = {data.channels}; set them alike')
  for key in ('region', 'box', 'fit'):
    if own[key] != data[key]:
      raise UserError(f'data.{key} = {data[key]}: {root} was trained with {own[key]}; set it so')
  if own.split != data.split:
    raise UserError(f'vae: {root} was trained with data.split={own.split}, so perhaps on photos that the threshold '
                    f'or the test is about, by data.split={data.split}; set them alike')
  if own.part != 'pool':
    raise UserError(f'vae: {root} was trained on photos of the part {own.part}, which the threshold or the test is '
                    'about; train it on pool')
  if tuple(own.defects) != ('good',):
    raise UserError(f'vae: {root} was trained on photos of {", ".join(own.defects)}, so takes them for normal; train '
                    'it with --config.data.defects=good')
  return network_of(vae)
