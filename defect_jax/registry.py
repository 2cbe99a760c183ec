"""What configs choose by name: tasks, data sources, losses and detectors, each imported only when it is used.

A plugin, a module or file named by the config key `plugins`, adds its own: `LOSSES.add('ssim', Loss(...))`.
"""

import importlib
import importlib.util
import os
import sys
import threading
from collections import UserDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from defect_jax.errors import UserError, nearest


class Registry(UserDict[str, Any]):
  """Names to objects. The names are known without importing anything; `registry[name]` imports the object."""

  def __init__(self, noun: str, entries: Mapping[str, Any]):
    """`entries`: an object, or the text 'module' or 'module:attribute' that says where it is."""
    self._noun, self.data, self.built_in = noun, dict(entries), frozenset(entries)

  def add(self, name: str, entry: Any) -> None:
    """Registers another entry; raises UserError if the name is taken."""
    if self.data.setdefault(name, entry) is not entry:
      raise UserError(f'{name}: there is a {self._noun} of this name already; give yours another')

  def __getitem__(self, name: str) -> Any:
    """Raises UserError for an unknown name."""
    if name not in self.data:
      raise UserError(f'{name!r}: no such {self._noun}{nearest(name, self)}')
    entry = self.data[name]
    if not isinstance(entry, str):
      return entry
    module, _, attribute = entry.partition(':')
    loaded = importlib.import_module(module)
    return getattr(loaded, attribute) if attribute else loaded


_NAMES = ('vae', 'generate', 'anomaly', 'inpaint', 'inpaint_train', 'classifier', 'predict', 'inspect')
# `run(config, workdir) -> summary` of each task, which opens the workdir once it has checked its data.
TASKS = Registry('task', {name: f'defect_jax.tasks.{name}:run' for name in _NAMES})
# The module of each task's keys: `table()`, and where needed `check(config)` for values that do not go together and
# `fixed_steps(config)`, the keys of `steps` that a schedule depends on; `ANEW = True`: each start does all of it again;
# `check_finished(config, summary)`, a UserError where what a finished run was made with has changed since;
# `settle(config)`, which gives the open keys of an unlocked config their values and returns lines that say which.
KEYS = Registry('task', {name: f'defect_jax.tasks.keys.{name}' for name in _NAMES})
SOURCES = Registry('data source', {
    name: f'defect_jax.data.sources.{name}' for name in (
        'elpv', 'folder', 'mvtec_ad', 'mvtec_ad2', 'mvtec_loco', 'btad', 'visa', 'kolektor', 'kolektor2', 'mpdd',
        'dagm', 'severstal', 'annotated', 'classes', 'photos', 'table')})
LOSSES = Registry('loss', {
    'kld': 'defect_jax.losses:KLD', 'mse': 'defect_jax.losses:MSE', 'elbo': 'defect_jax.losses:ELBO',
    'lpips': 'defect_jax.models.lpips:LPIPS'})
DETECTORS = Registry('detector', {
    'vae': 'defect_jax.detectors.reconstruction:Reconstruction', 'pca': 'defect_jax.detectors.pca:Pca',
    'mean_image': 'defect_jax.detectors.pca:MeanImage', 'neighbours': 'defect_jax.detectors.neighbours:Neighbours'})


_IMPORTING = threading.RLock()  # jobs of a study are looked at by several threads


def import_plugins(names: Iterable[str]) -> None:
  """Imports modules or .py files, once each, so that they register what they bring. Raises UserError."""
  for name in names:
    try:
      with _IMPORTING:
        if name.endswith('.py'):
          load_file(Path(os.path.abspath(name)), once=True)
        else:
          importlib.import_module(name)
    except UserError:
      raise
    except Exception as error:
      raise UserError(f'plugins: {name} cannot be imported: {type(error).__name__}: {error}') from error


def load_file(path: Path, once: bool = False) -> ModuleType:
  """The module of a .py file that belongs to no package, executed anew unless `once`."""
  known = f'defect_jax_plugin:{path}'
  if once and known in sys.modules:
    return sys.modules[known]
  spec = importlib.util.spec_from_file_location(known if once else f'{path.stem}_file', path)
  assert spec and spec.loader
  module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # dataclasses look for their module there
  try:
    spec.loader.exec_module(module)
  except BaseException:
    del sys.modules[spec.name]
    raise
  return module
