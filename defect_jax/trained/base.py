"""What every trained run is opened as, whichever task trained it."""

import dataclasses
import hashlib
import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from defect_jax.data.samples import Sample
from defect_jax.data.tiles import Tiling
from defect_jax.detectors.threshold import Threshold
from defect_jax.errors import UserError
from defect_jax.registry import Registry, import_plugins
from defect_jax.runs.folder import Workdir
from defect_jax.training import checkpoint

T = TypeVar('T')
# How the runs of a task are opened; tasks that train nothing are not here.
PREDICTORS = Registry('trained run', {
    'vae': 'defect_jax.trained.vae:open_vae', 'classifier': 'defect_jax.trained.classifier:open_classifier',
    'anomaly': 'defect_jax.trained.detector:open_detector',
    'inpaint_train': 'defect_jax.trained.inpainter:open_inpainter'})


class Function(NamedTuple):
  """A pure function `(params, inputs) -> outputs` of a trained run, for export."""
  function: Callable[[Any, Any], Any]
  params: Any  # tree of arrays
  spec: Any  # shapes and dtypes of the inputs, a tree, without the batch axis that comes first


@dataclasses.dataclass(frozen=True)
class Prediction:
  """What a predictor says of a photo."""
  sample: Sample
  score: float  # the higher, the more defective
  label: str | None  # of the class, None where the predictor knows no classes
  anomaly_map: Float[np.ndarray, 'h w'] | None  # at least 0; None where none was asked for
  scale: float  # value of the map that a heat map shows at full strength
  probabilities: Float[np.ndarray, 'k'] | None = None


class Predictor(Protocol):
  """A trained run."""
  kind: str  # a key of PREDICTORS
  workdir: Workdir
  config: ConfigDict
  step: int
  digest: str  # SHA-256, hex, of what predictions depend on
  tiling: Tiling  # how a photo becomes images
  classes: Sequence[str]  # good first; empty where it knows none
  threshold: Threshold | None  # score above which a photo is defective; None where the run has none
  good_scores: Sequence[float]  # of the good photos that the threshold comes from
  notes: Sequence[str]  # lines for the user
  about: dict[str, Any]  # further keys of a summary

  def predict(self, samples: Iterable[Sample], heatmaps: bool) -> Iterator[Prediction]:
    """Predictions of samples that can be used, in order, a few ahead; heatmaps: whether maps are needed."""

  def functions(self) -> dict[str, Function]:
    """What can be exported, by name."""


def open(root: str, **own: Any) -> Predictor:
  """The predictor of a workdir; of `own`, such as `threshold`, its kind takes what it knows.

  Raises UserError for a folder without a run, a run that trained nothing, and one that is not at its end.
  """
  workdir, config = read_run(root, 'run', PREDICTORS)
  opener = PREDICTORS[config.task]
  known = {name: value for name, value in own.items() if name in inspect.signature(opener).parameters}
  return opener(workdir.root, key='run', **known)


def read_run(root: Any, key: str, tasks: Iterable[str]) -> tuple[Workdir, ConfigDict]:
  """The workdir and config of a run of one of `tasks`; UserError, which names the config's `key`, for anything else."""
  what = f'name the workdir of a trained {" or ".join(tasks)}'
  if not root:
    raise UserError(f'{key}: is not set; {what}, such as --config.{key}=runs/NAME')
  workdir = Workdir(root)
  config = workdir.read_config()
  if config is None:
    raise UserError(f'{key}: {root} holds no run (no config.json); {what}')
  if config.get('task') not in tasks:
    raise UserError(f'{key}: {root} is a run of the task {config.get("task")!r}; {what}')
  import_plugins(config.get('plugins', ()))
  return workdir, config


def read_checkpoint(workdir: Workdir, key: str, take: Callable[[dict[str, Any]], T]) -> tuple[int, T]:
  """Step of the newest sound checkpoint and what `take` makes of its tree; UserError if it has not what is taken."""
  newest = checkpoint.read(workdir)
  if newest is None:
    raise UserError(f'{key}: {workdir.root} has no usable checkpoint; train it with the same command again')
  try:
    return newest[0], take(newest[1])
  except (KeyError, ValueError) as error:
    raise UserError(f'{key}: {workdir.root} was saved by another version of defect_jax; train it anew with this one'
                    ) from error


def params_of(model: Any, saved: Any) -> Any:
  """A checkpoint's parameters of a model with `init`; raises ValueError if they are not like its own."""
  like = jax.eval_shape(model.init, jax.random.key(0))
  params = flax.serialization.from_state_dict(like, saved)
  if jax.tree.map(np.shape, params) != jax.tree.map(np.shape, like):
    raise ValueError('its parameters are of other shapes')
  return jax.tree.map(jnp.asarray, params)


def digest(tree: Any) -> str:
  """SHA-256, hex, of the leaves of a tree: tells models of one config apart."""
  sha256 = hashlib.sha256()
  for leaf in jax.tree.leaves(tree):
    sha256.update(np.ascontiguousarray(leaf))
  return sha256.hexdigest()


def batched(samples: Iterable[Sample], size: int) -> Iterator[tuple[list[Sample], Float[np.ndarray, 'b h w c']]]:
  """Lists of at most `size` samples, with their images, which are of one shape."""
  iterator = iter(samples)
  while batch := list(itertools.islice(iterator, size)):
    yield batch, np.stack([sample.image for sample in batch])
