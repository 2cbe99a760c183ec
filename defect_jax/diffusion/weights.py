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
  """The folder of a pipeline: `name` itself, or that of a hub name, which is fetched unless it is there.

  Raises UserError if nothing is named, there is no such folder, or the hub does not answer within seconds.
  """
  if not name:
    raise UserError(f'weights: none are named; {_HELP}')
  if name == DEFAULT:
    return _OWN
  if os.path.isdir(name):
    inside = Path(name) / 'pipeline'  # a workdir of configs/inpaint_train.py
    return inside if inside.is_dir() and not (Path(name) / 'model_index.json').exists() else Path(name)
  if not re.fullmatch(r'[\w.-]+/[\w.-]+', name) or name.startswith('.'):
    raise UserError(f'weights: there is no folder {name}; {_HELP}')
  wanted: dict[str, Any] = {'repo_id': name, 'allow_patterns': _WANTED, 'ignore_patterns': _UNWANTED}
  try:
    return Path(huggingface_hub.snapshot_download(**wanted, etag_timeout=_SECONDS))
  except hub_errors.GatedRepoError as error:
    raise UserError(f'weights: the hub gives {name} to those alone who have accepted its terms; do so there and log in '
                    'by huggingface-cli, or place the weights by hand; ' + _HELP) from error
  except hub_errors.RepositoryNotFoundError as error:
    raise UserError(f'weights: neither a folder nor a pipeline on the hub is called {name}; {_HELP}') from error
  except (hub_errors.HfHubHTTPError, hub_errors.LocalEntryNotFoundError, OSError, ValueError) as error:
    if getattr(error, 'errno', None) in (errno.ENOSPC, errno.EDQUOT):
      raise  # told as a full disk
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

  Args:
    part: one of PARTS. like: tree of what has to be there, each with `shape`.
    rename: (PyTorch's name, array, flat `like`) -> (path in Flax's tree, array in Flax's layout).

  Raises UserError for a part without usable files, and for arrays that are missing, of another shape, or too many.
  """
  files = _files(Path(folder) / part, _STEMS[part])
  flat = traverse_util.flatten_dict(like)
  digest, arrays = hashlib.sha256(), {}
  for path in files:
    try:
      with open(path, 'rb') as file:
        digest.update(hashlib.file_digest(file, 'sha256').digest())
      arrays |= _flax(path) if path.suffix == '.msgpack' else _pytorch(path, flat, rename)
    except Exception as error:  # whatever damaged bytes make the decoders raise
      detail = ' '.join(str(error).split())
      raise UserError(f'weights: {path} is damaged or no weights file ({detail}); copy it again') from error
  _check(arrays, flat, Path(folder) / part)
  return traverse_util.unflatten_dict({path: np.asarray(arrays[path], np.float32) for path in flat}), digest.hexdigest()


def _files(folder, stem):
  names = (f'{stem}_' if stem else '') + 'flax_model.msgpack', (f'{stem}_pytorch_' if stem else '') + 'model'
  if (folder / names[0]).is_file():
    return [folder / names[0]]
  if (folder / f'{names[1]}.safetensors').is_file():
    return [folder / f'{names[1]}.safetensors']
  index = folder / f'{names[1]}.safetensors.index.json'
  if index.is_file():
    return [folder / name for name in sorted(set(config(folder, index.name)['weight_map'].values()))]
  half = folder / f'{names[1]}.fp16.safetensors'
  if half.is_file():
    return [half]
  hint = '; a .bin is not read: save it as .safetensors' if list(folder.glob('*.bin')) else ''
  raise UserError(f'weights: {folder} has neither {names[0]} nor {names[1]}.safetensors{hint}; {_HELP}')


def _flax(path):
  return traverse_util.flatten_dict(flax.serialization.msgpack_restore(path.read_bytes()))


def _pytorch(path, flat, rename):
  """The arrays of a file, without the buffers of older versions."""
  arrays = {name: array for name, array in load_file(path).items() if not name.endswith('position_ids')}
  return dict(rename(name, np.asarray(array), flat) for name, array in arrays.items())


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
