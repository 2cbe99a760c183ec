"""Registries: names without imports, one entry a name, and what plugins add to configs."""

import json
import subprocess
import sys

import pytest

from defect_jax import registry
from defect_jax.config import config_hash, from_command_line, load, table_of
from defect_jax.errors import UserError
from defect_jax.registry import LOSSES, Registry, import_plugins
from defect_jax.schema import check

PLUGIN = """
from types import SimpleNamespace
from defect_jax.registry import LOSSES
LOSSES.add('ssim', SimpleNamespace(is_sum=False))
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
  """A file that registers the loss ssim, in the working directory; forgotten after the test."""
  (tmp_path / 'ssim_loss.py').write_text(PLUGIN)
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(LOSSES, 'data', dict(LOSSES.data))
  yield 'ssim_loss.py'
  sys.modules.pop(f'defect_jax_plugin:{tmp_path / "ssim_loss.py"}', None)


def test_entries_are_imported_when_they_are_used():
  names = Registry('thing', {'decoder': 'json:JSONDecoder', 'module': 'json', 'own': 3})
  assert list(names) == ['decoder', 'module', 'own'] and len(names) == 3 and 'own' in names
  assert names['decoder'] is json.JSONDecoder and names['module'] is json and names['own'] == 3
  with pytest.raises(UserError, match=r"'decodr': no such thing \(did you mean decoder\?\)"):
    names['decodr']


def test_a_name_belongs_to_one_entry():
  names = Registry('thing', {'a': 1})
  names.add('b', 2)
  names.add('b', 2)
  assert dict(names) == {'a': 1, 'b': 2}
  with pytest.raises(UserError, match='b: there is a thing of this name already'):
    names.add('b', 3)


@pytest.mark.parametrize('name', ['TASKS', 'KEYS', 'SOURCES', 'LOSSES', 'DETECTORS'])
def test_what_the_package_registers_is_there(name):
  entries = getattr(registry, name)
  assert all(entries[key] is not None for key in entries)


def test_a_plugin_adds_keys_and_leaves_the_hash_of_other_configs(plugin):
  before = config_hash(load('configs/vae_split.py'))
  _, config, _ = from_command_line([
    '--config=configs/vae_split.py', f'--config.plugins={plugin}', '--config.control.weights.ssim=2',
    '--config.targets.ssim=0.5', '--config.streams.D.loss=ssim'])
  assert (config.control.weights.ssim, config.control.speed.ssim, config.targets.ssim) == (2.0, 1.5, 0.5)
  check(config, table_of(config))
  assert config_hash(load('configs/vae_split.py')) == before


def test_a_loss_without_its_plugin_is_refused():
  _, config, _ = from_command_line(['--config=configs/vae_split.py', '--config.streams.D.loss=ssim'])
  with pytest.raises(UserError, match=r"streams\.D\.loss = 'ssim': must be one of kld, mse, elbo, lpips"):
    check(config, table_of(config))


def test_a_plugin_is_imported_once(plugin):
  import_plugins([plugin, plugin])
  assert LOSSES['ssim'].is_sum is False


@pytest.mark.parametrize(('name', 'part'), [
  ('nowhere.py', 'FileNotFoundError'), ('no_such_module', 'ModuleNotFoundError'), ('broken.py', 'ZeroDivisionError')])
def test_plugins_that_cannot_be_imported(tmp_path, monkeypatch, name, part):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'broken.py').write_text('1 / 0')
  with pytest.raises(UserError, match=f'plugins: {name} cannot be imported: {part}'):
    import_plugins([name])


def test_the_registry_imports_nothing_heavy():
  code = 'import sys, defect_jax.registry; print([m for m in ("numpy", "jax", "ml_collections") if m in sys.modules])'
  assert subprocess.run([sys.executable, '-c', code], text=True, capture_output=True).stdout == '[]\n'


def test_a_plugin_with_postponed_annotations_and_its_place(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'postponed.py').write_text(
      'from __future__ import annotations\nimport dataclasses\n\n@dataclasses.dataclass\nclass Mine:\n  a: int = 1\n')
  for arguments in (['--config.plugins=postponed.py'], ['--config.plugins', 'postponed.py']):
    _, config, rest = from_command_line(['--config=configs/vae_split.py', *arguments])
    assert config.plugins == (str(tmp_path / 'postponed.py'),) and rest == []
