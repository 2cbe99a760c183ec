"""Weights by hand: what is missing, damaged or of another model is one line; PyTorch's and Flax's give one pipeline."""

import errno
import functools
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from huggingface_hub import errors as hub_errors
from small_pipeline import as_pytorch, write

from defect_jax.config import UserError
from defect_jax.diffusion import pipeline, weights

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp('weights') / 'pipe'
  write(path)
  return path


@pytest.fixture
def copied(folder, tmp_path):
  return shutil.copytree(folder, tmp_path / 'pipe')


def leaves(model):
  import jax
  return [np.asarray(leaf) for leaf in jax.tree.leaves((model._params, model._text_params))]


def test_safetensors_are_converted_to_the_very_parameters(tmp_path):
  params = write(tmp_path / 'flax')
  shutil.copytree(tmp_path / 'flax', tmp_path / 'torch')
  as_pytorch(tmp_path / 'torch', params)
  flax, torch = (pipeline.load(str(tmp_path / name)) for name in ('flax', 'torch'))
  for one, other in zip(leaves(flax), leaves(torch), strict=True):
    np.testing.assert_array_equal(one, other)
  assert flax.model != torch.model and flax.model.startswith('flax ')


def edit(file, **changes):
  def change(folder):
    values = json.loads((folder / file).read_text()) | changes
    (folder / file).write_text(json.dumps(values))
  return change


def remove(file):
  return lambda folder: (folder / file).unlink() if (folder / file).is_file() else shutil.rmtree(folder / file)


def write_bytes(file, data):
  return lambda folder: (folder / file).write_bytes(data)


def only_bin(folder):
  (folder / 'unet/diffusion_flax_model.msgpack').rename(folder / 'unet/diffusion_pytorch_model.bin')


@pytest.mark.parametrize(('change', 'part'), [
  (edit('unet/config.json', in_channels=4), 'the UNet takes 4 channels, so this is no inpainting pipeline'),
  (remove('model_index.json'), r'model_index\.json cannot be read'), (remove('vae'), 'vae/config.json cannot be read'),
  (remove('unet/diffusion_flax_model.msgpack'), 'has neither diffusion_flax_model.msgpack nor diffusion_pytorch_model'),
  (only_bin, r'a \.bin is not read: save it as \.safetensors'), (remove('tokenizer/vocab.json'), 'no CLIP tokenizer'),
  (write_bytes('vae/diffusion_flax_model.msgpack', b'\x81\xa1'), 'is damaged or no weights file'),
  (write_bytes('scheduler/scheduler_config.json', b'{'), 'is damaged'),
  (edit('unet/config.json', cross_attention_dim=64), r'is \[32, .*its config.json says \[64'),
  (edit('unet/config.json', layers_per_block=2), r'is incomplete: \d+ of \d+ arrays are missing'),
  (edit('text_encoder/config.json', num_hidden_layers=1), 'arrays that its config.json has no place for'),
  (edit('unet/config.json', norm_num_groups=16), 'norm_num_groups = 16 is not what the Flax models')])
def test_what_is_no_whole_inpainting_pipeline(copied, change, part):
  change(copied)
  with pytest.raises(UserError, match=part) as error:
    pipeline.load(str(copied))
  assert '\n' not in str(error.value) and str(error.value).startswith('weights: ')


@pytest.mark.parametrize(('name', 'part'), [
  (None, 'none are named; give --config.weights=default'), ('', 'none are named'),
  ('no/such/folder', 'there is no folder no/such/folder'), ('./pipe', 'there is no folder ./pipe')])
def test_names_of_nothing(name, part):
  with pytest.raises(UserError, match=part):
    weights.folder_of(name)


@pytest.mark.parametrize(('error', 'raised', 'part'), [
  (hub_errors.GatedRepoError, UserError, 'who have accepted its terms'),
  (hub_errors.RepositoryNotFoundError, UserError, 'neither a folder nor a pipeline on the hub'),
  (functools.partial(OSError, errno.ENOSPC), OSError, 'No space left')])
def test_what_the_hub_says_is_told(monkeypatch, error, raised, part):
  def fetch(**_):
    raise error('No space left') if raised is OSError else error('no', response=httpx.Response(403, request=request))

  request = httpx.Request('GET', 'http://127.0.0.1')
  monkeypatch.setattr(weights.huggingface_hub, 'snapshot_download', fetch)
  with pytest.raises(raised, match=part):
    weights.folder_of('someone/inpainting')


def test_without_network_a_hub_name_is_refused_within_seconds(tmp_path, clean_env):
  code = ('from defect_jax.diffusion import weights\n'
          'try:\n  weights.folder_of("someone/inpainting")\nexcept Exception as error:\n  print(repr(error))')
  env = clean_env | {'HF_HOME': str(tmp_path), 'HF_ENDPOINT': 'http://127.0.0.1:9', 'PYTHONPATH': str(ROOT)}
  began = time.monotonic()
  done = subprocess.run([sys.executable, '-c', code], env=env, capture_output=True, text=True, timeout=60)
  assert 'UserError' in done.stdout and 'the hub cannot be reached' in done.stdout, done.stdout + done.stderr
  assert time.monotonic() - began < 20
