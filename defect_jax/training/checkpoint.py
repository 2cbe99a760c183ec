"""Checkpoints: orbax, with a SHA-256 of every file, whole or not there, the newest three kept.

orbax restores a file with a flipped bit without a word, so the digests are checked before anything is restored.
"""

import errno
import hashlib
import json
import os
import re
import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from flax import traverse_util

from defect_jax.config import UserError
from defect_jax.runs.atomic import disk_full_named, write_atomic

KEEP = 3
_DIGEST = 'digest.json'


def save(workdir, step, tree):
  """Writes a tree of arrays as the checkpoint of `step`; raises DiskFull with the older ones intact."""
  final = workdir.checkpoint(step)
  making = final.with_name(f'.making-{step}')
  shutil.rmtree(making, ignore_errors=True)
  try:
    with disk_full_named(final):
      making.mkdir(parents=True)
      _check_space(making, tree)
      with ocp.PyTreeCheckpointer() as checkpointer:
        _save_tree(checkpointer, making / 'state', tree)
      write_atomic(making / _DIGEST, json.dumps(_digests(making), indent=1))
      shutil.rmtree(final, ignore_errors=True)
      os.replace(making, final)
  except BaseException:
    shutil.rmtree(making, ignore_errors=True)
    raise
  tidy(workdir)


def tidy(workdir):
  """Removes all but the newest checkpoints, and what a killed run left half written or half removed."""
  for leftover in [path for kind in ('.making-*', '.old-*') for path in workdir.checkpoints.glob(kind)]:
    shutil.rmtree(leftover)
  for step in steps(workdir)[:-KEEP]:
    # Renamed first: half removed under its own name it would look damaged.
    old = workdir.checkpoint(step).with_name(f'.old-{step}')
    os.replace(workdir.checkpoint(step), old)
    shutil.rmtree(old)


def restore(workdir, template):
  """The newest sound checkpoint, or None where there is none.

  A damaged one is set aside as damaged-<step>, with a warning.

  Args:
    workdir: Workdir. template: function of the step, the tree of arrays whose structure and types it has.

  Returns (step, tree of NumPy arrays). Raises UserError where another version of the program saved another state.
  """
  for step in reversed(steps(workdir)):
    folder = workdir.checkpoint(step)
    if reason := _damage(folder):
      aside = folder.with_name(f'damaged-{step}')
      shutil.rmtree(aside, ignore_errors=True)
      os.replace(folder, aside)
      logging.warning('checkpoint %s is damaged (%s) and set aside as %s; the one before it is used', step, reason,
                      aside.name)
      continue
    with ocp.PyTreeCheckpointer() as checkpointer:
      wanted = template(step)
      _check_structure(folder, checkpointer.metadata((folder / 'state').absolute()).item_metadata.tree, wanted)
      return step, checkpointer.restore((folder / 'state').absolute(), item=wanted)
  return None


def read(workdir):
  """The newest sound checkpoint as it was saved, (step, tree of NumPy arrays), or None. Changes nothing.

  Damaged ones are passed over with a warning: the run may be at work, and what is set aside is its own business.
  """
  for step in reversed(steps(workdir)):
    folder = workdir.checkpoint(step)
    if reason := _damage(folder):
      logging.warning('checkpoint %s is damaged (%s); the one before it is used', folder, reason)
      continue
    with ocp.PyTreeCheckpointer() as checkpointer:
      return step, checkpointer.restore((folder / 'state').absolute())
  return None


def steps(workdir):
  """Steps of the checkpoints, sorted; those half written or damaged are not among them."""
  if not workdir.checkpoints.is_dir():
    return []
  return sorted(int(path.name) for path in workdir.checkpoints.iterdir() if path.name.isdigit())


def _check_structure(folder, saved, wanted):
  """Both trees have the same paths and shapes; orbax would fill gaps and leave arrays of another shape as they are."""
  saved, wanted = ({path: tuple(leaf.shape) for path, leaf in traverse_util.flatten_dict(tree, sep='/').items()}
                   for tree in (saved, wanted))
  if differing := sorted(path for path in saved.keys() | wanted.keys() if saved.get(path) != wanted.get(path)):
    raise UserError(f'{folder}: was saved by another version of defect_jax (differs in {differing[0]}); go on with '
                    'that version, or begin anew in another --workdir')


def _save_tree(checkpointer, folder, tree):
  """Saves, with tensorstore's ValueError for a full disk as the OSError that it is."""
  try:
    checkpointer.save(folder.absolute(), tree)
  except ValueError as error:
    if found := re.search(r"os_error_code='(\d+)'", str(error)):
      raise OSError(int(found[1]), os.strerror(int(found[1]))) from error
    raise


def _check_space(folder, tree):
  """orbax reports a full disk too, but buried in the tracebacks of its threads."""
  if shutil.disk_usage(folder).free < sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(tree)):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


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
