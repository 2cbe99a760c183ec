"""The detector of a job: its VAE, opened or trained, what else is fitted to good photos, and what is kept of it."""

import json

import jax
import numpy as np
from ml_collections import ConfigDict

from defect_jax.config import UserError
from defect_jax.data import dataset, tiles
from defect_jax.detectors import baselines, reconstruction, threshold
from defect_jax.models import features
from defect_jax.runs.artefacts import Artefact
from defect_jax.runs.atomic import plain, write_atomic
from defect_jax.runs.folder import Workdir
from defect_jax.tasks import vae as vae_task
from defect_jax.tasks.anomaly import photos, scoring
from defect_jax.trained import vae as trained

DETECTOR = Artefact('detector.json')
NETWORK = Artefact('vae')  # workdir of the VAE that a run trains for itself
HELD_OUT = 512  # tiles that a training watches, at most
_MEASURED = 2048  # tiles that spread and components come from, at most
_BANK_TILES = 512  # tiles that patches come from, at most
_SHARED = ('data', 'tiles', 'score', 'train')  # what a saved detector brings along


def open_vae(config):
  """trained.VaePredictor of `config.vae`, the workdir of a VAE or of an anomaly run; None where none is named."""
  if not config.vae:
    return None
  saved = _anomaly_config(config.vae)
  vae = trained.open_vae(network_of(config.vae))
  for key in ('on', 'reduce') if saved else ():
    if saved.tiles[key] != config.tiles[key]:
      raise UserError(f'tiles.{key} = {config.tiles[key]}: {config.vae} was trained with {saved.tiles[key]}; set it so')
  data = config.data
  if (vae.vae.size, vae.vae.channels) != (data.size, data.channels):
    raise UserError(f'vae: {config.vae} takes images of {vae.vae.size} px and {vae.vae.channels} channels, data.size = '
                    f'{data.size} and data.channels = {data.channels}; set them alike')
  for key in ('region', 'box', 'fit'):
    if vae.config.data[key] != data[key]:
      raise UserError(f'data.{key} = {data[key]}: {config.vae} was trained with {vae.config.data[key]}; set it so')
  if vae.config.data.part != 'pool':
    raise UserError(f'vae: {config.vae} was trained on photos of the part {vae.config.data.part}, which the threshold '
                    'or the test is about; train it on pool')
  if tuple(vae.config.data.defects) != ('good',):
    raise UserError(f'vae: {config.vae} was trained on photos of {", ".join(vae.config.data.defects)}, so takes them '
                    'for normal; train it with --config.data.defects=good')
  return vae


def network_of(root):
  """The workdir of the VAE of an anomaly run, which may have taken another's; any other folder as it is."""
  saved = _anomaly_config(root)
  if saved is None:
    return root
  return network_of(saved.vae) if saved.vae else Workdir(root).path(NETWORK)


def training_seconds(workdir):
  """Seconds that the training in the run's folder vae/ took; 0 where there was none."""
  summary = Workdir(workdir.path(NETWORK)).read_summary()
  return summary['seconds'] if summary else 0.


def _anomaly_config(root):
  """The config of an anomaly run; None for the workdir of anything else."""
  saved = Workdir(root).read_config()
  return saved if saved is not None and saved.get('task') == 'anomaly' else None


def saved_detector(config):
  """(config with data, tiles and score of the anomaly run that `config.vae` names, what its detector.json holds).

  (config, None) where it names another run or none. UserError where the run has no detector yet.
  """
  saved = _anomaly_config(config.vae) if config.vae else None
  if saved is None:
    return config, None
  try:
    kept = json.loads(Workdir(config.vae).path(DETECTOR).read_text())
  except (OSError, ValueError) as error:
    raise UserError(f'vae: {config.vae} has no usable detector.json ({error}); run it to its end first') from error
  return ConfigDict(config.to_dict() | {key: saved[key].to_dict() for key in _SHARED}), kept


def save(workdir, good_scores, spread, scale):
  """Writes detector.json.

  Args:
    good_scores: scores of the good photos that the threshold comes from. spread: `[S, S]`, see detector.Detector.
    scale: value of the map that heat maps show at full strength: the median of the good photos' largest values.
  """
  text = json.dumps(plain({'good_scores': sorted(good_scores), 'spread': spread, 'scale': scale}), allow_nan=False)
  write_atomic(workdir.path(DETECTOR), text + '\n')


def limit(config, good_scores):
  """threshold.Threshold by the scores of good photos that nothing was trained on, or as the config sets it."""
  if config.threshold.value is not None:
    return threshold.by_hand(config.threshold.value, good_scores)
  return by_quantile(config, good_scores)


def by_quantile(config, good_scores):
  """The Threshold that a score has by itself."""
  return threshold.from_good(good_scores, config.threshold.quantile, 'good photos of the part dev')


def tiles_of(config, records, view, most, notes):
  """Tiles `[n, S, S, C]` of records, at most so many."""
  shown = photos.usable(records, view, config.data.max_broken, notes)
  return tiles.draw((one.image for one in shown), view, most, config.seed)


def vae_config(config):
  """The config of the VAE that is trained: an ordinary one, on good photos."""
  data = config.data.to_dict() | {'defects': ('good',)}
  return ConfigDict(config.train.to_dict() | {'task': 'vae', 'seed': config.seed, 'data': data})


def train(config, workdir, good, held_out):
  """Trains a VAE on good tiles in the run's folder vae/, or finds it trained; trained.VaePredictor."""
  inner, wanted = Workdir(workdir.path(NETWORK), workdir), vae_config(config)
  inner.check(wanted)
  if not inner.finished():
    print(f'training a VAE on {len(good)} tiles of good photos, in {inner.root}', flush=True)
    with inner.running():
      inner.finish(vae_task.train(wanted, inner, _dataset(good), _dataset(held_out)))
    return trained.open_vae(inner.root)
  vae = trained.open_vae(inner.root)
  dataset.check_same(_dataset(good), None, vae.normalizer.mean)
  return vae


def _dataset(good):
  return dataset.InMemory(dataset.as_uint16(good))


def fit(config, vae, view, good):
  """detector.Detector without baselines, with the spread of good tiles `[N, S, S, C]`."""
  def recon(image):
    return vae.decode(vae.vae.encode(vae.params['encoder'], vae.normalizer, image).mean)

  spread = reconstruction.spread(recon, _some(config, good, _MEASURED), config.score.blur)
  return assemble(config, vae, view, {'vae': spread})


def assemble(config, vae, view, spread):
  """detector.Detector without baselines of what it is made of."""
  return reconstruction.Detector(vae, view, config.batch, config.score.layers, config.score.blur, spread)


def fit_baselines(config, found, good):
  """The detector with all baselines fitted to good tiles."""
  part = _some(config, good, _MEASURED)
  linear = {'pca': baselines.Linear.fit(part, config.baselines.pca, config.seed),
            'mean_image': baselines.Linear.fit(part, 0)}
  spread = {name: reconstruction.spread(of.recon, part, config.score.blur) for name, of in linear.items()}
  neighbours = None
  if scoring.on_features(config):
    neighbours = baselines.Neighbours.fit(jax.device_put(features.load('vgg16')), _some(config, good, _BANK_TILES),
                                          config.baselines.bank, config.seed)
  return found.with_baselines(linear, spread, neighbours)


def _some(config, good, most):
  chosen = np.random.default_rng(config.seed).permutation(len(good))[:most]
  return good[np.sort(chosen)]
