"""What is trained in the latents: a pipeline from scratch, given weights as a whole, or LoRA adapters beside them."""

import dataclasses
import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import optax
from absl import logging

from defect_jax import parallel
from defect_jax.data.dataset import InMemory
from defect_jax.diffusion import examples, lora, pipeline, saving, small_model, vocabulary
from defect_jax.diffusion.sampler import Encoded
from defect_jax.diffusion.taught import Taught
from defect_jax.diffusion.vocabulary import Texts
from defect_jax.errors import UserError
from defect_jax.runs.artefacts import Artefact
from defect_jax.runs.atomic import plain, write_atomic
from defect_jax.runs.folder import Workdir

PIPELINE = Artefact('pipeline')  # as diffusers saves one
LORA = Artefact('lora')  # weights that were trained beside given ones
_MEASURED = 128  # areas whose latents say what all are scaled by
_DECAY, _B2 = 0.01, 0.99  # of AdamW
Tree = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Finetuner:
  """What is trained of a pipeline: of `model`, which was `before` any training, and has `params` {part: tree}.

  moved: what is trained. frozen: what the loss needs besides. join: see finetune.Denoising. write: saves `moved`.
  """
  before: pipeline.Pipeline
  model: pipeline.Pipeline
  params: Tree
  moved: Tree
  frozen: Tree
  join: Callable[[Tree, Tree], Tree]
  write: Callable[[Workdir, Mapping[str, Any]], None]

  def whole(self, moved: Mapping[str, Any]) -> Tree:
    """{part: tree} with what was trained."""
    joined = self.join(parallel.to_host(moved), {'unet': self.params['unet']})
    return self.params | {part: joined[part] for part in self.params if part in joined}

  @classmethod
  def of(cls, model: pipeline.Pipeline, params: Tree, texts: Texts, moved: Tree, join: Callable[[Tree, Tree], Tree],
         write: Callable[[Workdir, Mapping[str, Any]], None], frozen: Tree | None = None) -> 'Finetuner':
    """Encodes texts once if their encoder is not trained."""
    contexts = {} if 'text_encoder' in moved else {'contexts': model.encode_text(texts.all)}
    ids = np.asarray(pipeline.ids_of(model.tokenizer, texts.all))
    return cls(model, model, params, moved, {'ids': ids, **(frozen or {}), **contexts}, join, write)


@dataclasses.dataclass(frozen=True)
class Scratch:
  """A pipeline to be trained from scratch: what is known before. name: of its folder. configs: of its parts."""
  name: str
  configs: Tree
  tokenizer: pipeline.CLIPTokenizer
  dtype: str
  seed: int

  @classmethod
  def of(cls, name: str, texts: Texts, size: int, dtype: str, seed: int, *, autoencoder: Tree, unet: Tree,
         text: Mapping[str, int]) -> 'Scratch':
    """See small_model.configs; text has 'length' too. Raises UserError for what cannot be made."""
    with tempfile.TemporaryDirectory() as folder:
      tokens = vocabulary.write(folder, texts.all, text['length'])
      tokenizer = pipeline.tokenizer_of(folder)
    texts.check(pipeline.ids_of(tokenizer, texts.all))
    configs = small_model.configs(size, autoencoder, unet, text, tokens, text['length'])
    return cls(name, configs, tokenizer, dtype, seed)

  def begin(self) -> dict[str, Any]:
    """The parameters that training begins with."""
    return small_model.begin(pipeline.shapes(self.configs), self.seed)

  def finetuner(self, vae: Tree, texts: Texts, areas: InMemory, dtype: str) -> Finetuner:
    """Trains UNet and text encoder in the latents of a trained autoencoder; dtype: of the files that it writes."""
    begin = self.begin()
    params = begin | {'vae': vae}
    measured = _encode(self._pipeline(params, self.configs), examples.few(areas, _MEASURED))
    # So that latents deviate by about 1 from their mean.
    scaling = {'scaling_factor': 1 / float(np.std(np.stack([area.original for area in measured])))}
    model = self._pipeline(params, self.configs | {'vae': self.configs['vae'] | scaling})
    return dataclasses.replace(_full(model, params, texts, ('unet', 'text_encoder'), dtype),
                               before=self._pipeline(begin, self.configs))

  def _pipeline(self, params, configs):
    return pipeline.Pipeline(self.name, configs, params, self.tokenizer, small_model.VELOCITY, '', self.dtype)


def of_weights(weights: str, texts: Texts, size: int, arithmetic: str, dtype: str, seed: int, *, method: str,
               text: bool, rank: int, scale: float) -> Finetuner:
  """Goes on from `weights`, as a config's `tune` says; UserError if they can't be used for areas of `size` pixels."""
  model = pipeline.load(weights, arithmetic)
  texts.check(pipeline.ids_of(model.tokenizer, texts.all))
  if size % model.multiple:
    raise UserError(f'data.size = {size}: must be a multiple of {model.multiple} for {weights}; it was made for '
                    f'{model.native}')
  if size != model.native:
    logging.warning('data.size = %d: %s was made for areas of %d px, to which inpainting scales them; set it to that, '
                    'unless memory does not allow it', size, weights, model.native)
  exact = model if arithmetic == 'float32' else pipeline.load(weights)  # small steps vanish in bfloat16
  params = parallel.to_host(exact.params)
  if method == 'full':
    return _full(model, params, texts, ('unet', 'text_encoder') if text else ('unet',), dtype)
  if text:
    raise UserError('tune.text = True: LoRA adapters are of the UNet alone; set it to false, or tune.method=full')

  def join(moved, frozen):
    return frozen | {'unet': lora.merged(frozen['unet'], moved['lora'], scale)}

  def write(workdir, moved):
    lora.write(workdir.path(LORA), moved['lora'], model.digest, scale)

  return Finetuner.of(model, params, texts, {'lora': lora.init(params['unet'], rank, seed)}, join, write,
                      {'unet': params['unet']})


def _full(model: pipeline.Pipeline, params: Tree, texts: Texts, parts: Iterable[str], dtype: str) -> Finetuner:
  def write(workdir, moved):
    saving.save(workdir.path(PIPELINE), model, params | parallel.to_host(moved), dtype)
  return Finetuner.of(model, params, texts, {part: params[part] for part in parts},
                      lambda moved, frozen: frozen | moved, write)


def record(workdir: Workdir, values: dict[str, Any], known: Taught) -> None:
  """Writes beside the weights what they were taught, and training.json: how they came about, without the place of the
  photos."""
  values['config']['data'].pop('path')
  folder = workdir.path(PIPELINE if workdir.path(PIPELINE).exists() else LORA)
  known.write(folder)
  write_atomic(folder / 'training.json', json.dumps(plain(values), indent=2) + '\n')


def encoded(model: pipeline.Pipeline, areas: InMemory, texts: Texts) -> dict[str, np.ndarray]:
  """Areas as the model sees them, encoded once: original, masked, mask (see Encoded), and the row of their text."""
  masked, original, mask = (np.stack(arrays) for arrays in zip(*_encode(model, areas), strict=True))
  return {'original': original, 'masked': masked, 'mask': mask, 'text': texts.rows(areas.labels)}


def _encode(model: pipeline.Pipeline, areas: InMemory) -> list[Encoded]:
  assert areas.masks is not None, 'areas to learn from have masks'
  return model.encode_photos(list(areas.images()), list(areas.masks))


def optimizer(rate: float, steps: int, warmup: int, clip: float) -> optax.GradientTransformation:
  """AdamW after a clipped gradient; the rate rises over the warm-up and falls to 0 by a cosine."""
  schedule = optax.warmup_cosine_decay_schedule(0. if warmup else rate, rate, min(warmup, steps - 1), steps)
  return optax.chain(optax.clip_by_global_norm(clip), optax.adamw(schedule, b2=_B2, weight_decay=_DECAY))
