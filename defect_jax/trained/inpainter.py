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
from defect_jax.diffusion import finetuner, pipeline, taught
from defect_jax.diffusion.sampler import Encoded
from defect_jax.errors import UserError
from defect_jax.runs.folder import Workdir
from defect_jax.trained import base


@dataclasses.dataclass(frozen=True)
class InpainterPredictor:
  """A pipeline that a run has trained. It makes images and scores none: `tiling` and `predict` raise UserError."""
  workdir: Workdir
  config: ConfigDict
  summary: dict[str, Any]
  model: pipeline.Pipeline
  step: int
  digest: str
  classes: Sequence[str]
  about: dict[str, Any]

  kind: ClassVar[str] = 'inpaint_train'
  threshold, good_scores, notes = None, (), ()

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
    model, params, side = self.model, self.model.params, self.model.native // self.model.factor
    context = model.tokenizer.model_max_length, model.configs['unet']['cross_attention_dim']
    shapes = {'latents': (side, side, model.channels), 'masked': (side, side, model.channels), 'timestep': (),
              'mask': (side, side), 'context': context}
    inputs = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}

    def unet(params, inputs):
      encoded = Encoded(inputs['masked'], inputs['masked'], inputs['mask'])
      return model.predict({'unet': params}, inputs['latents'], inputs['timestep'], encoded, inputs['context'])

    return {'unet': base.Function(unet, params['unet'], inputs), 'decode': base.Function(
        lambda params, latents: model.decode({'vae': params}, latents), params['vae'], inputs['latents'])}


def open_inpainter(root: str | Path, *, key: str = 'run', dtype: str | None = None) -> InpainterPredictor:
  """The pipeline of a finished run, in `dtype` or as it was trained; UserError, which names `key`, if it is none."""
  workdir, config = base.read_run(root, key, ('inpaint_train',))
  summary = workdir.read_summary()
  if summary is None:
    raise UserError(f'{key}: {root} is not finished; run it to its end')
  adapters = None if workdir.path(finetuner.PIPELINE).is_dir() else workdir.path(finetuner.LORA)
  model = pipeline.load(config.weights if adapters else str(workdir.root), dtype or config.dtype, adapters)
  classes = config.data.classes
  return InpainterPredictor(workdir, config, summary, model, summary['steps'], model.digest, classes,
                            {'classes': list(classes)})


def load(weights: str | None, dtype: str, adapters: str | None = None) -> pipeline.Pipeline:
  """The pipeline of a config's `weights` and `lora`; weights may be a run that has trained LoRA weights."""
  if weights and not adapters and (Path(weights) / finetuner.LORA.name).is_dir():
    return open_inpainter(weights, key='weights', dtype=dtype).model
  return pipeline.load(weights, dtype, adapters)


def knowledge(name: str | None, adapters: str | None = None) -> taught.Taught | None:
  """What a config's `weights` and `lora` were taught, see taught.of_weights; also of a run that has trained LoRA
  weights."""
  own = Path(name) / finetuner.LORA.name if name else None
  return taught.of_weights(name, own if own and own.is_dir() and not adapters else adapters)
