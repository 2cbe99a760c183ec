"""Opens the workdir of a trained VAE: what generating, finding anomalies and analysis start from."""

import dataclasses
import functools
import hashlib

import flax.serialization
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from defect_jax import parallel
from defect_jax.config import UserError
from defect_jax.data import dataset, regions
from defect_jax.models import vae as models
from defect_jax.runs.folder import Workdir
from defect_jax.training import checkpoint

_CHUNK = 128  # images encoded at once

_encode = jax.jit(models.Vae.encode, static_argnums=0)


@dataclasses.dataclass(frozen=True)
class Trained:
  """A trained VAE.

  Attributes:
    config: the run's config, a ConfigDict. step: of the checkpoint.
    vae: models.vae.Vae. standard: models.vae.Standard. params: {'encoder', 'decoder'}.
  """
  config: ml_collections.ConfigDict
  step: int
  vae: models.Vae
  standard: models.Standard
  params: dict

  def encode(self, images):
    """Posterior of `[N, S, S, C]` in [0, 1], NumPy `[N, Z]`."""
    return parallel.in_chunks(functools.partial(_encode, self.vae, self.params['encoder'], self.standard), images,
                              _CHUNK)

  def decode(self, z):
    """Images `[B, S, S, C]`, not clipped, of z `[B, Z]`; to be used inside jit."""
    return self.vae.decode(self.params['decoder'], self.standard, z)

  def digest(self):
    """SHA-256 of its parameters and constants, hex: tells VAEs of one config apart."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves((self.params, self.standard)):
      found.update(np.ascontiguousarray(leaf))
    return found.hexdigest()

  def photos(self, **changes):
    """PhotoSet that the VAE was trained on; `changes` to sets.open_set, such as part='dev', few_shot=0."""
    return photos_of(self.config, **changes)


def open_vae(root):
  """The Trained of a workdir's newest sound checkpoint; changes nothing there.

  Raises UserError for a folder without a run, a run of another task, and one without a usable checkpoint.
  """
  if not root:
    raise UserError('vae: is not set; name the workdir of a trained VAE, such as --config.vae=runs/vae_split')
  workdir = Workdir(root)
  config = workdir.read_config()
  if config is None:
    raise UserError(f'vae: {root} holds no run (no config.json); name the workdir of a trained VAE')
  if config.get('task') != 'vae':
    raise UserError(f'vae: {root} is a run of the task {config.get("task")!r}; name the workdir of a trained VAE')
  model = model_of(config)
  found = checkpoint.read(workdir)
  if found is None:
    raise UserError(f'vae: {root} has no usable checkpoint; train it with the same command again')
  step, tree = found
  like = jax.eval_shape(model.init, jax.random.key(0))
  try:
    params = flax.serialization.from_state_dict(like, tree['state'].get('average') or tree['state']['params'])
    standard = models.Standard(*(jnp.asarray(tree['state']['standard'][name]) for name in models.Standard._fields))
  except (KeyError, ValueError) as error:
    raise UserError(f'vae: {workdir.checkpoint(step)} was saved by another version of defect_jax; train the VAE anew '
                    'with this one') from error
  return Trained(config, step, model, standard, jax.tree.map(jnp.asarray, params))


def model_of(config):
  """The Vae that a config describes; UserError where its size does not fit its widths."""
  size, factor = config.data.size, models.factor(config.model.patch, config.model.widths)
  if size % factor:
    raise UserError(f'data.size = {size}: with model.patch = {config.model.patch} and {len(config.model.widths)} '
                    f'model.widths the size must be a multiple of {factor}')
  return models.Vae(size=size, channels=config.data.channels, dtype=config.dtype, **config.model)


def check_photos(center, mean):
  """UserError where the mean image of photos, `[S, S, C]`, is not the `center` that a VAE was trained with."""
  if not np.allclose(center, mean, rtol=0, atol=1e-6):
    raise UserError('data: the photos are others than those that the run began with; put them back, or begin another '
                    'run by another --workdir')


def photos_of(config, **changes):
  """The PhotoSet that a config's `data` describes, with `changes` to what sets.open_set is called with."""
  data = config.data
  geometry = regions.Geometry(data.size, data.channels, data.region, data.context, data.box, data.fit)
  wanted = {'source': data.source, 'path': data.path, 'part': data.part, 'classes': data.defects,
            'few_shot': data.few_shot, 'seed': config.seed, 'geometry': geometry, 'cell_type': data.cell_type,
            'max_broken': data.max_broken}
  return dataset.open_set(**wanted | changes)
