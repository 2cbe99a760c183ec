"""Pretrained weights: found on disk or on the hub, read in Flax's or PyTorch's format, and checked to be whole.

A pipeline's folder, as diffusers saves it:

  model_index.json  scheduler/scheduler_config.json  tokenizer/vocab.json, merges.txt
  unet/  vae/  text_encoder/: each a config.json and either Flax's .msgpack or PyTorch's .safetensors
"""

import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flax.serialization
import huggingface_hub
import numpy as np
from flax import traverse_util
from huggingface_hub import errors as hub_errors
from safetensors.flax import load_file

from defect_jax.errors import UserError

RANDOM = 'random'
DEFAULT = 'default'  # what comes with this package: pitting on ball screws, see ball_screw/LICENSE.txt
_OWN = Path(__file__).parent / 'ball_screw'
SURFACES = _OWN / 'surfaces'  # photos to try it on, which it has made itself
EXAMPLE = 'stable-diffusion-v1-5/stable-diffusion-inpainting'
PARTS = ('unet', 'vae', 'text_encoder')
_STEMS = {'unet': 'diffusion', 'vae': 'diffusion', 'text_encoder': ''}
_HELP = (f'give --config.weights={DEFAULT}, --config.weights=FOLDER with a diffusers inpainting pipeline, with network '
         f'--config.weights={EXAMPLE}, or --config.weights={RANDOM} to try the command itself')
_SECONDS = 5.0  # to wait for the hub's first answer
_WANTED = ['*.json', 'tokenizer/*', 'unet/diffusion_pytorch_model*.safetensors', 'vae/diffusion_pytorch_model*',
           'text_encoder/model*.safetensors', '*/*.msgpack']
_UNWANTED = ['*.fp16.*', '*.non_ema.*', '*.bin', 'safety_checker/*', 'feature_extractor/*']


def folder_of(name: str | None) -> Path:
  """The folder of a pipeline: `name`, or that of a hub name, which is fetched unless it is there; UserError if none."""
  if not name:
    raise UserError(f'weights: none are named; {_HELP}')
  if name == DEFAULT:
    return _OWN
  if os.path.isdir(name):
    inside = Path(name) / 'pipeline'  # a workdir of configs/inpaint_train.py
    return inside if inside.is_dir() and not (Path(name) / 'model_index.json').exists() else Path(name)
  if not re.fullmatch(r'[\w.-]+/[\w.-]+', name) or name.startswith('.'):
    raise UserError(f'weights: there is no folder {name}; {_HELP}')
  try:
    return Path(huggingface_hub.snapshot_download(repo_id=name, allow_patterns=_WANTED, ignore_patterns=_UNWANTED,
                                                  etag_timeout=_SECONDS))
  except hub_errors.GatedRepoError as error:
    raise UserError(f'weights: the hub gives {name} to those alone who have accepted its terms; do so there and log in '
                    'by huggingface-cli, or place the weights by hand; ' + _HELP) from error
  except hub_errors.RepositoryNotFoundError as error:
    raise UserError(f'weights: neither a folder nor a pipeline on the hub is called {name}; {_HELP}') from error
  except (hub_errors.HfHubHTTPError, hub_errors.LocalEntryNotFoundError, OSError, ValueError) as error:
    if getattr(error, 'errno', None) in (errno.ENOSPC, errno.EDQUOT):
      raise  # reported as a full disk
    raise UserError(f'weights: there is no folder {name}, and the hub cannot be reached ({type(error).__name__}); '
                    f'connect to the network, or place the weights by hand; {_HELP}') from error


def config(folder: str | os.PathLike, file: str) -> dict[str, Any]:
  """The object in a JSON file of the pipeline; raises UserError if it is missing or damaged."""
  path = Path(folder) / file
  try:
    values = json.loads(path.read_text())
  except OSError as error:
    raise UserError(f'weights: {path} cannot be read ({error.strerror}), so this is no whole pipeline; {_HELP}'
                    ) from error
  except ValueError as error:
    raise UserError(f'weights: {path} is damaged ({error}); copy it again') from error
  if not isinstance(values, dict):
    raise UserError(f'weights: {path} holds no object; copy it again')
  return values


def read(folder: str | os.PathLike, part: str, like: Mapping[str, Any],
         rename: Callable[[str, np.ndarray, dict], tuple[tuple, np.ndarray]]) -> tuple[dict[str, Any], str]:
  """The parameters of a part of a pipeline, in float32, and the SHA-256 of their files, hex.

  like: tree of what has to be there. rename: (PyTorch's name, array, flat `like`) -> (Flax's path, Flax's array).
  Raises UserError for a part without usable files, and for arrays that are missing, of another shape, or too many.
  """
  flat, digest, arrays = traverse_util.flatten_dict(like), hashlib.sha256(), {}
  for path in _files(Path(folder) / part, _STEMS[part]):
    try:
      with open(path, 'rb') as file:
        digest.update(hashlib.file_digest(file, 'sha256').digest())
      if path.suffix == '.msgpack':
        arrays |= traverse_util.flatten_dict(flax.serialization.msgpack_restore(path.read_bytes()))
      else:  # without the buffers of older versions
        arrays |= dict(rename(name, np.asarray(array), flat) for name, array in load_file(path).items()
                       if not name.endswith('position_ids'))
    except Exception as error:  # whatever damaged bytes make the decoders raise
      raise UserError(f'weights: {path} is damaged or no weights file ({" ".join(str(error).split())}); copy it again'
                      ) from error
  _check(arrays, flat, Path(folder) / part)
  return traverse_util.unflatten_dict({path: np.asarray(arrays[path], np.float32) for path in flat}), digest.hexdigest()


def _files(folder, stem):
  flax_name, name = (f'{stem}_' if stem else '') + 'flax_model.msgpack', (f'{stem}_pytorch_' if stem else '') + 'model'
  for file in (flax_name, f'{name}.safetensors', f'{name}.safetensors.index.json', f'{name}.fp16.safetensors'):
    if (folder / file).is_file():
      return [folder / each for each in (sorted(set(config(folder, file)['weight_map'].values()))
                                         if file.endswith('.json') else [file])]
  hint = '; a .bin is not read: save it as .safetensors' if list(folder.glob('*.bin')) else ''
  raise UserError(f'weights: {folder} has neither {flax_name} nor {name}.safetensors{hint}; {_HELP}')


def _check(arrays, flat, part):
  if missing := sorted(flat.keys() - arrays.keys()):
    raise UserError(f'weights: {part} is incomplete: {len(missing)} of {len(flat)} arrays are missing, such as '
                    f'{"/".join(missing[0])}; copy it again')
  if more := sorted(arrays.keys() - flat.keys()):
    raise UserError(f'weights: {part} holds {len(more)} arrays that its config.json has no place for, such as '
                    f'{"/".join(map(str, more[0]))}; it is of another model')
  for path, wanted in flat.items():
    if arrays[path].shape != wanted.shape:
      raise UserError(f'weights: {part}: {"/".join(path)} is {list(arrays[path].shape)}, its config.json says '
                      f'{list(wanted.shape)}; it is of another model')
