"""The detector of a job: its VAE, opened or trained, what else is fitted to good photos, and its threshold."""

import dataclasses
import json

import jax
import numpy as np
from ml_collections import ConfigDict

from defect_jax import trained
from defect_jax.config import UserError
from defect_jax.data import tiles
from defect_jax.evaluation import baselines, detector, residuals
from defect_jax.models import features
from defect_jax.tasks import vae as vae_task
from defect_jax.tasks.anomaly import photos
from defect_jax.workdir import Workdir

_HELD_OUT = 512  # tiles that the training watches
_MEASURED = 2048  # tiles that spread, components and patches come from, at most


def vae_config(config):
  """The config of the VAE that is trained: an ordinary one, on good photos."""
  data = config.data.to_dict() | {'defects': ('good',)}
  return ConfigDict(config.train.to_dict() | {'task': 'vae', 'seed': config.seed, 'data': data})


def open_vae(config):
  """trained.Trained of `config.vae`, the workdir of a VAE or of an anomaly run; None where none is named."""
  if not config.vae:
    return None
  root = Workdir(config.vae)
  saved = root.read_config()
  inner = saved is not None and saved.get('task') == 'anomaly'
  vae = trained.open_vae(saved.vae or root.vae) if inner else trained.open_vae(config.vae)
  data = config.data
  if (vae.vae.size, vae.vae.channels) != (data.size, data.channels):
    raise UserError(f'vae: {config.vae} takes images of {vae.vae.size} px and {vae.vae.channels} channels, data.size = '
                    f'{data.size} and data.channels = {data.channels}; set them alike')
  if vae.config.data.part != 'pool':
    raise UserError(f'vae: {config.vae} was trained on photos of the part {vae.config.data.part}, which the threshold '
                    'or the test is about; train it on pool')
  return vae


def train(config, workdir, good, held_out):
  """Trains a VAE on good tiles in workdir.vae, or finds it trained; Trained."""
  inner, wanted = Workdir(workdir.vae, workdir), vae_config(config)
  inner.check(wanted)
  if not inner.finished():
    print(f'training a VAE in {inner.root}', flush=True)
    try:
      inner.finish(vae_task.train(wanted, inner, tiles.TileSet(good), tiles.TileSet(held_out)))
    except BaseException as error:
      inner.close('stopping', str(error))
      raise
  return trained.open_vae(inner.root)


def fit(config, vae, view, good, with_baselines=True):
  """detector.Detector with what is fitted to good tiles `[N, S, S, C]`."""
  rng = np.random.default_rng(config.seed)
  part = good[np.sort(rng.permutation(len(good))[:_MEASURED])]
  linear, neighbours = {}, None
  if with_baselines:
    linear = {name: baselines.Linear.fit(part, count, config.seed)
              for name, count in (('pca', config.baselines.pca), ('mean_image', 0))}
    neighbours = baselines.Neighbours.fit(jax.device_put(features.load('vgg16')), part[:512], config.baselines.bank,
                                          config.seed)
  recons = {'vae': lambda image: vae.decode(vae.vae.encode(vae.params['encoder'], vae.standard, image).mean)}
  recons |= {name: of.recon for name, of in linear.items()}
  spread = {name: detector.spread(jax.jit(recon), part) for name, recon in recons.items()}
  return detector.Detector(vae, view, config.batch, config.score.layers, spread, linear, neighbours)


def tiles_of(config, records, view, most, notes):
  """Tiles `[n, S, S, C]` of records, at most so many."""
  shown = photos.usable(records, view, config.data.max_broken, notes)
  return tiles.draw((one.image for one in shown), view, most, config.seed)


@dataclasses.dataclass(frozen=True)
class Score:
  """One figure a photo: an anomaly map and how it is reduced. `name` is the key of tables."""
  map: str
  reduction: str

  @property
  def name(self):
    return self.map if self.map in ('kld',) else f'{self.map}_{self.reduction}'


def all_scores():
  """Every Score of the VAE and the baselines; KLD is the largest of a photo's tiles."""
  names = [name for name in (*detector.OF_VAE, *detector.OF_BASELINES) if name != 'kld']
  return [Score(name, reduction) for name in names for reduction in residuals.REDUCTIONS] + [Score('kld', 'max')]


def chosen_score(config):
  """The Score that a config names."""
  score = config.score
  return Score(score.map, 'max' if score.map == 'kld' else score.reduce)


def save(workdir, config, threshold, spread, good_scores):
  """Writes detector.json: what `predict` needs beside the VAE."""
  from defect_jax.atomic import plain, write_atomic  # noqa
  text = json.dumps(plain({'threshold': dataclasses.asdict(threshold), 'score': config.score.to_dict(),
                           'good_scores': sorted(good_scores), 'spread': spread}))
  write_atomic(workdir.detector_json, text + '\n')
