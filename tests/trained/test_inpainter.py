"""A finished run of inpaint_train is opened again: a whole pipeline, or LoRA weights beside theirs; nothing else is."""

import json
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from defect_jax.diffusion import lora, pipeline
from defect_jax.errors import UserError
from defect_jax.trained import base, inpainter

sys.path.append(str(Path(__file__).resolve().parents[1] / 'diffusion'))
from small_pipeline import write


def run_of(root, config, **summary):
  """A run's folder with what an opener reads."""
  root.mkdir()
  (root / 'config.json').write_text(json.dumps({'task': 'inpaint_train', 'dtype': 'float32'} | config))
  if summary:
    (root / 'summary.json').write_text(json.dumps({'task': 'inpaint_train'} | summary))
  return root


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  root = run_of(tmp_path_factory.mktemp('runs') / 'mine', {'weights': None, 'data': {'classes': ['dent', 'good']}},
                steps=7)
  return root, write(root / 'pipeline')


def test_a_whole_pipeline_has_its_weights_and_pure_functions(whole):
  root, params = whole
  opened = base.open(root)
  assert (opened.kind, opened.step, list(opened.classes)) == ('inpaint_train', 7, ['dent', 'good'])
  assert opened.digest == pipeline.load(str(root)).digest and opened.model.model.startswith('mine ')
  jax.tree.map(np.testing.assert_array_equal, opened.model.params['unet'], params['unet'])
  for function in opened.functions().values():
    batched = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((2, *leaf.shape) if leaf.shape else (), leaf.dtype),
                           function.spec)
    assert jax.eval_shape(function.function, function.params, batched).shape[0] == 2
  with pytest.raises(UserError, match='scores no photos; name it in weights'):
    _ = opened.tiling


def test_lora_weights_are_merged_into_those_they_were_trained_beside(whole, tmp_path):
  root, params = whole
  plain = pipeline.load(str(root))
  adapters = jax.tree.map(lambda leaf: leaf + 0.1, lora.init(params['unet'], 2, 0))
  tuned = run_of(tmp_path / 'tuned', {'weights': str(root), 'data': {'classes': ['dent', 'good']}}, steps=3)
  lora.write(tuned / 'lora', adapters, plain.digest)
  merged = lora.merged(params['unet'], adapters)
  for model in (inpainter.open_inpainter(tuned).model, inpainter.load(str(tuned), 'float32')):
    assert model.digest != plain.digest
    jax.tree.map(np.testing.assert_array_equal, model.params['unet'], merged)
  assert inpainter.load(str(root), 'float32').digest == plain.digest


def test_other_folders_are_refused(tmp_path):
  with pytest.raises(UserError, match='is not finished'):
    inpainter.open_inpainter(run_of(tmp_path / 'begun', {}))
  (tmp_path / 'vae').mkdir()
  (tmp_path / 'vae/config.json').write_text(json.dumps({'task': 'vae'}))
  with pytest.raises(UserError, match="a run of the task 'vae'"):
    inpainter.open_inpainter(tmp_path / 'vae')
