"""Writes a pipeline as diffusers saves one, so that `pipeline.load` and others open it."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from defect_jax.diffusion import pipeline, weights
from defect_jax.runs.atomic import disk_full_named

_INDEX = {'_class_name': 'FlaxStableDiffusionInpaintPipeline', 'unet': ('diffusers', 'FlaxUNet2DConditionModel'),
          'vae': ('diffusers', 'FlaxAutoencoderKL'), 'text_encoder': ('transformers', 'FlaxCLIPTextModel'),
          'tokenizer': ('transformers', 'CLIPTokenizer'), 'scheduler': ('diffusers', 'FlaxDDIMScheduler'),
          'safety_checker': (None, None), 'feature_extractor': (None, None)}


def save(folder: Path, model: pipeline.Pipeline, params: Mapping[str, Any], dtype: str = 'float32') -> None:
  """Writes a folder that is whole or as it was; raises DiskFull or another OSError. dtype: of the files' weights."""
  making, before = (folder.with_name(f'.{folder.name}.{word}') for word in ('making', 'before'))
  shutil.rmtree(making, ignore_errors=True)
  try:
    with disk_full_named(folder):
      making.mkdir(parents=True)
      _write(making, model, params, dtype)
      shutil.rmtree(before, ignore_errors=True)
      if folder.exists():
        os.replace(folder, before)  # a moment between two renames, not the time that deleting takes
      os.replace(making, folder)
  finally:
    for leftover in (making, before):
      shutil.rmtree(leftover, ignore_errors=True)


def _write(folder, model, params, dtype):
  cast = jax.tree.map(lambda leaf: np.asarray(leaf).astype(jnp.dtype(dtype)), dict(params))
  for part, module in zip(weights.PARTS, pipeline.modules(model.configs, 'float32'), strict=True):
    module.save_pretrained(folder / part, params=cast[part])
  model.tokenizer.save_pretrained(folder / 'tokenizer')
  (folder / 'scheduler').mkdir()
  scheduler = {'_class_name': 'FlaxDDIMScheduler'} | model.scheduler
  for file, values in (('scheduler/scheduler_config.json', scheduler), ('model_index.json', _INDEX)):
    (folder / file).write_text(json.dumps(values, indent=2) + '\n')
