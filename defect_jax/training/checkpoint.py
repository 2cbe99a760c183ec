"""Checkpoints: orbax, with a SHA-256 of every file, whole or not there, the newest three kept.

orbax restores a file with a flipped bit without a word, so the digests are checked before anything is restored. Its
CheckpointManager is not used: it gives a checkpoint its name before our digests could lie beside it, and takes an empty
folder with a number for the newest step.
"""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from flax import traverse_util

from defect_jax.config import UserError
from defect_jax.runs.atomic import disk_full_named, write_atomic
from defect_jax.runs.folder import Workdir
from defect_jax.training import layouts

KEEP = 3
Tree = dict[str, Any]
_DIGEST = 'digest.json'


def save(workdir: Workdir, step: int, tree: Tree) -> None:
  """Writes a tree of arrays as the checkpoint of `step`; raises DiskFull with the older ones intact."""
  final = workdir.checkpoint(step)
  making = final.with_name(f'.making-{step}')
  shutil.rmtree(making, ignore_errors=True)
  try:
    with disk_full_named(final):
      making.mkdir(parents=True)
      _write(making, tree)
      write_atomic(making / _DIGEST, json.dumps(_digests(making), indent=1))
      shutil.rmtree(final, ignore_errors=True)
      os.replace(making, final)
  except BaseException:
    shutil.rmtree(making, ignore_errors=True)
    raise
  tidy(workdir)


def tidy(workdir: Workdir) -> None:
  """Removes all but the newest checkpoints, and what a killed run left half written or half removed."""
  for leftover in [path for kind in ('.making-*', '.old-*') for path in workdir.checkpoints.glob(kind)]:
    shutil.rmtree(leftover)
  for step in steps(workdir)[:-KEEP]:
    # Renamed first: half removed under its own name it would look damaged.
    old = workdir.checkpoint(step).with_name(f'.old-{step}')
    os.replace(workdir.checkpoint(step), old)
    shutil.rmtree(old)


def restore(workdir: Workdir, template: Callable[[int], Tree]) -> tuple[int, Tree] | None:
  """The newest sound checkpoint: its step, and its arrays as NumPy's; None where there is none.

  A damaged one is set aside as damaged-<step>, with a warning. Metrics of the history that were not kept before are
  taken from the template.

  template: of a step, the tree of arrays whose structure and types are wanted; UserError where another version of the
  program saved others.
  """
  if newest := read(workdir, set_aside=True):
    step, saved = newest
    return step, _fitted(workdir.checkpoint(step), saved, template(step))
  return None


def read(workdir: Workdir, set_aside: bool = False) -> tuple[int, Tree] | None:
  """The newest sound checkpoint in the layout of `layouts`, (step, tree of NumPy arrays), or None.

  Damaged ones are passed over with a warning; only the run itself may set them aside, since it may be at work.
  """
  for step in reversed(steps(workdir)):
    folder = workdir.checkpoint(step)
    if not (reason := _damage(folder)):
      with ocp.PyTreeCheckpointer() as checkpointer:
        return step, layouts.current(checkpointer.restore((folder / 'state').absolute()))
    if set_aside:
      aside = folder.with_name(f'damaged-{step}')
      shutil.rmtree(aside, ignore_errors=True)
      os.replace(folder, aside)
      logging.warning('checkpoint %s is damaged (%s) and set aside as %s; the one before it is used', step, reason,
                      aside.name)
    else:
      logging.warning('checkpoint %s is damaged (%s); the one before it is used', folder, reason)
  return None


def steps(workdir: Workdir) -> list[int]:
  """Steps of the checkpoints, sorted; those half written or damaged are not among them."""
  return sorted(int(path.name) for path in workdir.checkpoints.glob('*') if path.name.isdigit())


def _fitted(folder, saved, wanted):
  """What was saved, in the structure and types wanted: orbax fills gaps and leaves other shapes as they are."""
  saved = traverse_util.flatten_dict(saved)
  leaves = traverse_util.flatten_dict(wanted, keep_empty_nodes=True)
  new = {path for path in leaves if path[0] == 'history' and path not in saved}
  full = {path: leaf for path, leaf in leaves.items() if leaf is not traverse_util.empty_node}
  differing = sorted('/'.join(path) for path in (saved.keys() | full.keys()) - new
                     if path not in saved or path not in full or np.shape(saved[path]) != np.shape(full[path]))
  if differing:
    raise UserError(f'{folder}: was saved by another version of defect_jax (differs in {differing[0]}); go on with '
                    'that version, or begin anew in another --workdir')
  return traverse_util.unflatten_dict(leaves | {
      path: np.asarray(saved[path], np.asarray(leaf).dtype) for path, leaf in full.items() if path not in new})


def _write(folder, tree):
  """Saves, with a full disk as OSError: orbax buries it in its threads' tracebacks, or has tensorstore's ValueError."""
  if shutil.disk_usage(folder).free < sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(tree)):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
  try:
    with ocp.PyTreeCheckpointer() as checkpointer:
      checkpointer.save((folder / 'state').absolute(), tree)
  except ValueError as error:
    if code := re.search(r"os_error_code='(\d+)'", str(error)):
      raise OSError(int(code[1]), os.strerror(int(code[1]))) from error
    raise


def _digests(folder):
  files = (path for path in sorted(folder.rglob('*')) if path.is_file() and path.name != _DIGEST)
  return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _damage(folder):
  """What is wrong with a checkpoint, or ''."""
  try:
    wanted = json.loads((folder / _DIGEST).read_text())
    if not isinstance(wanted, dict):
      raise ValueError('not an object')
  except (OSError, ValueError) as error:
    return f'{_DIGEST}: {error}'
  found = _digests(folder)
  for name in sorted({*wanted, *found}):
    if name not in wanted:
      return f'{name} is not listed'
    if found.get(name) != wanted[name]:
      return f'{name} has changed' if name in found else f'{name} is missing'
  return ''
