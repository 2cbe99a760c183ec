"""A trained inpainting pipeline: a finished run of the task inpaint_train, opened again."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from defect_jax.data.samples import Sample
from defect_jax.data.tiles import Tiling
from defect_jax.diffusion import finetuner, pipeline
from defect_jax.diffusion.sampler import Encoded
from defect_jax.errors import UserError
from defect_jax.runs.folder import Workdir
from defect_jax.trained import base


@dataclasses.dataclass(frozen=True)
class InpainterPredictor:
  """A pipeline that a run has trained, with its LoRA weights merged if it has trained these alone.

  It makes images and scores none: `tiling` and `predict` raise UserError.
  """
  workdir: Workdir
  config: ConfigDict
  summary: dict[str, Any]
  model: pipeline.Pipeline

  kind: ClassVar[str] = 'inpaint_train'
  threshold = None
  good_scores = notes = ()

  @property
  def step(self) -> int:
    return self.summary['steps']

  @property
  def digest(self) -> str:
    return self.model.digest

  @property
  def classes(self) -> Sequence[str]:
    return self.config.data.classes

  @property
  def about(self) -> dict[str, Any]:
    return {'classes': list(self.classes)}

  @property
  def tiling(self) -> Tiling:
    raise UserError(self._refusal)

  @property
  def _refusal(self):
    return (f'run: {self.workdir.root} has trained a pipeline that makes defects and scores no photos; name it in '
            'weights of configs/inpaint.py')

  def predict(self, samples: Iterable[Sample], heatmaps: bool) -> Iterator[base.Prediction]:
    raise UserError(self._refusal)

  def functions(self) -> dict[str, base.Function]:
    """unet: what it predicts of {'latents', 'timestep', 'masked', 'mask', 'context'}. decode: images of latents."""
    model, params = self.model, self.model.params
    side, tokens = model.native // model.factor, self.model.ids(['']).shape[1]
    shapes = {'latents': (side, side, model.channels), 'masked': (side, side, model.channels), 'timestep': (),
              'mask': (side, side), 'context': (tokens, model.configs['unet']['cross_attention_dim'])}
    inputs = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}

    def unet(params, inputs):
      encoded = Encoded(inputs['masked'], inputs['masked'], inputs['mask'])
      return model.predict({'unet': params}, inputs['latents'], inputs['timestep'], encoded, inputs['context'])

    return {'unet': base.Function(unet, params['unet'], inputs), 'decode': base.Function(
        lambda params, latents: model.decode({'vae': params}, latents), params['vae'], inputs['latents'])}


def open_inpainter(root: str | Path, *, key: str = 'run', dtype: str | None = None) -> InpainterPredictor:
  """The pipeline of a finished run, in `dtype` or as it was trained; UserError, which names `key`, for another."""
  workdir, config = base.read_run(root, key, ('inpaint_train',))
  summary = workdir.read_summary()
  if summary is None:
    raise UserError(f'{key}: {root} is not finished; run it to its end')
  weights = (str(workdir.root), None) if workdir.path(finetuner.PIPELINE).is_dir() else (
      config.weights, workdir.path(finetuner.LORA))
  return InpainterPredictor(workdir, config, summary, pipeline.load(weights[0], dtype or config.dtype, weights[1]))


def load(weights: str | None, dtype: str, adapters: str | None = None) -> pipeline.Pipeline:
  """The pipeline of a config's `weights` and `lora`; weights may be a run that has trained LoRA weights."""
  if weights and not adapters and (Path(weights) / finetuner.LORA.name).is_dir():
    return open_inpainter(weights, key='weights', dtype=dtype).model
  return pipeline.load(weights, dtype, adapters)
