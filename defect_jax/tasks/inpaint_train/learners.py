"""Who learns in the latents: a pipeline from scratch, given weights as a whole, or LoRA adapters beside them."""

import dataclasses
import json
import tempfile
from collections.abc import Callable

import numpy as np
from absl import logging

from defect_jax.config import UserError
from defect_jax.diffusion import finetune, lora, pipeline, saving, small_model, vocabulary
from defect_jax.runs.artefacts import Artefact
from defect_jax.runs.atomic import plain, write_atomic
from defect_jax.tasks.inpaint_train import stages
from defect_jax.training.trainer import as_tree

PIPELINE = Artefact('pipeline')  # as diffusers saves one
LORA = Artefact('lora')  # weights that were trained beside given ones


@dataclasses.dataclass(frozen=True)
class Finetuner:
  """What the second stage trains.

  Attributes:
    before: Pipeline as it is before any training. model: the one whose parts stay, or are trained from here; params:
      {part: tree} of it.
    moved: what is trained. frozen: what the loss needs besides. join: of learning.Denoising.
    write: (workdir, trained `moved`) saves it.
  """
  before: pipeline.Pipeline
  model: pipeline.Pipeline
  params: dict
  moved: dict
  frozen: dict
  join: Callable
  write: Callable

  def whole(self, moved):
    """{part: tree} with what was trained."""
    joined = self.join(as_tree(moved), {'unet': self.params['unet']})
    return self.params | {part: joined[part] for part in self.params if part in joined}

  def record(self, workdir, values):
    """Lays beside what was written how it came about, training.json: `values` without the photos' place."""
    values['config']['data'].pop('path')
    folder = workdir.path(PIPELINE) if workdir.path(PIPELINE).exists() else workdir.path(LORA)
    write_atomic(folder / 'training.json', json.dumps(plain(values), indent=2) + '\n')

  @classmethod
  def of(cls, model, params, texts, moved, join, write, frozen=None):
    """The Finetuner of a Pipeline; texts that do not learn are encoded once."""
    ids = np.asarray(model.ids(texts.all))
    frozen = {'ids': ids, **(frozen or {})}
    if 'text_encoder' not in moved:
      frozen['contexts'] = model.encode_text(texts.all)
    return cls(model, model, params, moved, frozen, join, write)


def from_scratch(config, workdir, texts, train, configs, tokenizer):
  """(Finetuner, summary of the autoencoder's training); trains the autoencoder, or finds it trained."""
  vae, stage = stages.fit_autoencoder(config, workdir, configs, train)
  begin = small_model.begin(configs, config.seed)
  before = _pipeline(config, workdir, configs, begin, tokenizer)
  params = begin | {'vae': vae}
  scale = _scale(_pipeline(config, workdir, configs, params, tokenizer), train)
  configs = configs | {'vae': configs['vae'] | {'scaling_factor': scale}}
  model = _pipeline(config, workdir, configs, params, tokenizer)
  return dataclasses.replace(_full(config, model, params, texts, ('unet', 'text_encoder')), before=before), stage


def _pipeline(config, workdir, configs, params, tokenizer):
  return pipeline.Pipeline(workdir.root.name, configs, params, tokenizer, small_model.SCHEDULER, '', config.dtype)


def configs_of(config, texts):
  """({part: dict of its config.json}, tokenizer) of a pipeline from scratch, before anything else is done."""
  with tempfile.TemporaryDirectory() as folder:
    tokens = vocabulary.write(folder, texts.all, config.model.text.length)
    tokenizer = pipeline.tokenizer_of(folder)
    texts.check(pipeline.ids_of(tokenizer, texts.all))
    return stages.configs_of(config, tokens), tokenizer


def of_weights(config, texts):
  """The Finetuner that goes on from `config.weights`; UserError where they cannot be used or do not fit."""
  model = pipeline.load(config.weights, config.dtype)
  texts.check(model.ids(texts.all))
  if config.data.size % model.multiple:
    raise UserError(f'data.size = {config.data.size}: must be a multiple of {model.multiple} for {config.weights}; it '
                    f'was made for {model.native}')
  if config.data.size != model.native:
    logging.warning('data.size = %d: %s was made for areas of %d px, to which inpainting scales them; set it to that, '
                    'unless memory does not allow it', config.data.size, config.weights, model.native)
  exact = model if config.dtype == 'float32' else pipeline.load(config.weights)  # small steps vanish in bfloat16
  params, tune = as_tree(exact.params), config.tune
  if tune.method == 'full':
    return _full(config, model, params, texts, ('unet', 'text_encoder') if tune.text else ('unet',))
  if tune.text:
    raise UserError('tune.text = True: LoRA adapters are of the UNet alone; set it to false, or tune.method=full')

  def join(moved, frozen):
    return frozen | {'unet': lora.merged(frozen['unet'], moved['lora'], tune.scale)}

  def write(workdir, moved):
    lora.write(workdir.path(LORA), moved['lora'], model.digest, tune.scale)

  return Finetuner.of(model, params, texts, {'lora': lora.init(params['unet'], tune.rank, config.seed)},
                    join, write, {'unet': params['unet']})


def _full(config, model, params, texts, parts):
  def write(workdir, moved):
    saving.save(workdir.path(PIPELINE), model, params | as_tree(moved), config.save.dtype)
  return Finetuner.of(model, params, texts, {part: params[part] for part in parts},
                    lambda moved, frozen: frozen | moved, write)


def _scale(plain, train):
  """What latents of a Pipeline that does not scale them are multiplied by: 1 over their deviation on some areas."""
  rows = np.unique(np.linspace(0, len(train) - 1, min(len(train), 128)).astype(int))
  chosen = train.only(rows)
  return 1 / finetune.scale_of(plain.encode_photos([*chosen.images()], [*chosen.masks]))
